-- Fires one tick: of any number of callers exactly one gets "fired" or "skipped".
--
-- KEYS[1] -> the prefix
-- ARGV    -> name, revision, tick, next or "", the tick that becomes lastTick, overlap, how many tasks, each as push_next reads it
-- Returns    "fired", "skipped" or "lost"

if moved then return refusal() end

local name, revision, tick, following, last, overlap = arg(), arg(), arg(), arg(), arg(), arg()
local key = P .. 'cron:' .. name
local present, paused, planned, last_tasks, spec =
  unpack(call('HMGET', key, 'revision', 'paused', 'next', 'lastTasks', 'spec'))
if not spec or paused == '1' or present ~= revision or planned ~= tick then return 'lost' end

local n = tonumber(arg())
local function plan_next()
  if following == '' then
    call('HDEL', key, 'next')
    call('ZREM', P .. 'crondue', name)
  else
    call('HSET', key, 'next', following)
    call('ZADD', P .. 'crondue', following, name)
  end
end
if n == 0 then
  plan_next()
  return 'skipped'
end
local live = {}
if overlap ~= 'allow' then
  for id in string.gmatch(last_tasks or '', '[^\n]+') do
    local t = load(id)
    if t and not is_end(t.status) then live[#live + 1] = t end
  end
end
if #live > 0 and overlap == 'skip' then
  call('HINCRBY', key, 'skipped', 1)
  plan_next()
  return 'skipped'
end
for _, t in ipairs(live) do cancel_any(t, 'replaced') end
local ids = {}
for i = 1, n do
  ids[i] = ARGV[at + 1]
  push_next()
end
call('HSET', key, 'lastTick', last, 'lastTasks', table.concat(ids, '\n'))
plan_next()
flush()
return 'fired'
