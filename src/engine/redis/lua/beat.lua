-- The worker lives; the first beat of an unknown one registers it.
--
-- KEYS[1] -> the prefix
-- ARGV    -> id, session, status, name, info (JSON, opaque), audience (JSON, opaque),
--            how many leases have started, each: id, epoch;
--            "" or how many leases it holds, each: id, epoch
-- Returns    standing, now, 1 if it is to drain, cancelled runs ("EPOCH TASK"), numbers of the held leases that are lost

local worker, session, status, name, info, audience = arg(), arg(), arg(), arg(), arg(), arg()
local key = worker_key(worker)
local known, before, drain = unpack(call('HMGET', key, 'session', 'status', 'drain'))
local function refuse(standing)
  return { standing, now, 0, {}, {} }
end
if known and tonumber(session) < tonumber(known) then return refuse('superseded') end
-- A worker taken for dead comes back with a raised session, after it has killed its runs.
if known and before == 'dead' and tonumber(session) == tonumber(known) then return refuse('dead') end

call('HSET', key, 'session', session, 'status', status, 'name', name, 'info', info, 'at', now)
-- The count goes on after a death: whoever watched would take the same one for more silence.
if before == 'dead' then call('HSET', P .. 'beats', worker, call('HGET', key, 'beats') or 0) end
call('HINCRBY', P .. 'beats', worker, 1)
call('ZADD', P .. 'alive', now, worker)
call('ZREM', P .. 'dead', worker)
call('ZREM', P .. 'gone', worker)
if status == 'running' then call('HSET', P .. 'audience', worker, audience) else call('HDEL', P .. 'audience', worker) end

for _ = 1, tonumber(arg()) do
  local t, epoch = load(arg()), tonumber(arg())
  if t and t.status == 'r' and t.epoch == epoch and t.worker == worker and not t.started then
    t.started = true
    save(t)
  end
end

local lost = {}
local held = arg()
if held ~= '' then
  local numbers, epochs = {}, {}
  for number = 1, tonumber(held) do
    local id, epoch = arg(), tonumber(arg())
    numbers[id], epochs[id] = number, epoch
    lost[number] = true
  end
  give_back(worker, function(t)
    if epochs[t.id] ~= t.epoch then return false end
    lost[numbers[t.id]] = nil
    return true
  end)
end
local missing = {}
for number in pairs(lost) do missing[#missing + 1] = number end
table.sort(missing)

local notices = call('LRANGE', P .. 'notices:' .. worker, 0, -1)
call('DEL', P .. 'notices:' .. worker, P .. 'bell:' .. worker)
flush()
return { 'live', now, drain == '1' and 1 or 0, notices, missing }
