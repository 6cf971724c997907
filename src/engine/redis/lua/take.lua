-- Leases tasks to a worker that got copies of them from the broker.
--
-- KEYS[1] -> the prefix
-- ARGV    -> the worker, its session, how many of them begin at once, how many copies, each: the task, the number of the copy
-- Returns    the worker's standing, now, for each copy "claim", "stale" or "unknown", the claims (as settle returns them)

if moved then return refusal() end
local worker, session, starting = arg(), arg(), tonumber(arg())
local standing = standing_of(worker, session)
local ways, claims = {}, {}
expire_late(500)

local function take(id, copy)
  local t = load(id)
  if not t then return 'unknown' end
  if t.status ~= 'p' or t.parked or call('HGET', P .. 'copies', id) ~= copy then return 'stale' end
  call('ZREM', P .. 'sent:' .. t.queue, id)
  call('ZREM', P .. 'unconfirmed', id)
  -- Not one of those that are late may be started, however many there are.
  -- What only goes on is not on the list.
  if (tonumber(call('ZSCORE', P .. 'late', id) or '') or math.huge) <= now then
    cancel(t, 'expired')
    return 'stale'
  end
  if is_paused(t.queue) then
    -- Sent again when the queue is resumed.
    make_ready(t)
    return 'stale'
  end
  leave_ready(t)
  lease_to(t, worker, #claims / 3 < starting)
  tell_claim(claims, t, call('HGET', TASK, id))
  return 'claim'
end

for i = 1, tonumber(arg()) do
  local id, copy = arg(), arg()
  ways[i] = standing == 'live' and take(id, copy) or 'stale'
end
flush()
return { standing, now, ways, claims }
