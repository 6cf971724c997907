-- Takes over the tasks of dead workers, brings forward what is due, expires what is late, tells children.
--
-- KEYS[1] -> the prefix
-- ARGV    -> the heir, its session, limit, how many workers are dead, each: id, how often it had beaten when it was last seen
-- Returns    1 if there is more, claims (as settle returns them), for each of them 2 if it had started, plus 1 if its worker was
--            stopping, the ids of those that are buried now, now

local heir, session, limit = arg(), arg(), tonumber(arg())
local buried = {}
for _ = 1, tonumber(arg()) do
  local worker, beats = arg(), arg()
  -- It may have beaten since.
  if worker ~= heir and call('HGET', P .. 'beats', worker) == beats then
    local was = call('HGET', worker_key(worker), 'status')
    call('HSET', worker_key(worker), 'status', 'dead', 'was', was or '', 'beats', beats)
    call('HDEL', P .. 'beats', worker)
    call('HDEL', P .. 'audience', worker)
    call('ZREM', P .. 'alive', worker)
    call('ZADD', P .. 'dead', now, worker)
    bell(worker, 'orders')
    buried[#buried + 1] = worker
  end
end

local claims, ways = {}, {}
local adopted = 0
if standing_of(heir, session) == 'live' then
  local dead = call('ZRANGE', P .. 'dead', 0, -1, 'WITHSCORES')
  for i = 1, #dead, 2 do
    if adopted >= limit then break end
    local worker = dead[i]
    local stopping = call('HGET', worker_key(worker), 'was') == 'stopping'
    local seqs = call('SRANDMEMBER', P .. 'leases:' .. worker, limit - adopted)
    local orphans = {}
    for _, t in ipairs(in_order_of(seqs)) do
      if t.status == 'r' and t.worker == worker then orphans[#orphans + 1] = t end
    end
    many('SREM', P .. 'leases:' .. worker, seqs)
    for _, t in ipairs(orphans) do
      ways[#ways + 1] = (t.started and 2 or 0) + (stopping and 1 or 0)
      local started, startedAt = t.started, t.startedAt
      lease_to(t, heir, started)
      t.startedAt = startedAt
      tell_claim(claims, t, call('HGET', TASK, t.id))
      adopted = adopted + 1
    end
    if call('EXISTS', P .. 'leases:' .. worker) == 0 then
      call('ZREM', P .. 'dead', worker)
      call('ZADD', P .. 'gone', dead[i + 1], worker)
    end
  end
end

local due, late = promote_due(limit), expire_late(limit)
local cascading = drain_cascades(limit)
flush()
-- Remembered for a day, so that one that was only suspended learns of it.
for _, worker in ipairs(call('ZRANGEBYSCORE', P .. 'gone', '-inf', now - 86400000, 'LIMIT', 0, 100)) do
  call('ZREM', P .. 'gone', worker)
  forget(worker)
end
local more = due or late or cascading or adopted >= limit
return { more and 1 or 0, claims, ways, buried, now }
