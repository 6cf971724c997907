-- Stores an event and wakes every task that waits for it.
--
-- KEYS[1] -> the prefix
-- ARGV    -> name, "" or "=" and the key, payload
-- Returns    how many woke

if moved then return refusal() end

local name, key, payload = arg(), arg(), arg()
local number = call('HINCRBY', FACT, 'event', 1)
-- Of one millisecond in their order: equal scores are sorted as texts.
local member = string.format('%015.0f', number)
local function keep(log)
  call('ZADD', P .. 'event:' .. log, now, member)
  call('SADD', P .. 'eventnames', log)
  call('ZADD', P .. 'eventages', 'NX', now, log)
end
keep(name)
if key ~= '' then keep(name .. '\n' .. string.sub(key, 2)) end
call('HSET', P .. 'payload', member, payload)

local ids = {}
local waiting = call('HGETALL', P .. 'waiting:' .. name)
for i = 1, #waiting, 2 do
  if waiting[i + 1] == '' or waiting[i + 1] == key then ids[#ids + 1] = waiting[i] end
end
local woken = 0
for _, t in ipairs(in_order(ids)) do
  if t.status == 'w' then
    call('SADD', P .. 'eaten:' .. t.id, member)
    wake(t, '{"event":' .. payload .. '}')
    woken = woken + 1
  end
end
flush()
return woken
