-- The outbox of a store that RabbitMQ delivers for (src/engine/store.ts): what is ready here is to be sent to the broker.
--
--   copies       hash  id -> the number of its last copy
--   sent:QUEUE   zset  id by when that was sent, until it is taken
--   unconfirmed  zset  id by when that was sent, until the broker has it
--
-- KEYS[1] -> the prefix
-- ARGV    -> limit, 1 to advance first, how many queues have lost what they had, each
-- Returns    1 if there is more, milliseconds until the next due time or -1, now, claims (as settle returns them), for each of
--            them the number of its copy

local limit, advance = tonumber(arg()), arg() == '1'
local numbers = {}

local function send(id, queue)
  numbers[#numbers + 1] = call('HINCRBY', P .. 'copies', id, 1)
  call('ZADD', P .. 'sent:' .. queue, now, id)
  call('ZADD', P .. 'unconfirmed', now, id)
end

-- As a claim does, but nothing is leased.
lease_plain = function(id, fixed, _, _, queue)
  local claims = demand.claims
  local n = #claims
  claims[n + 1], claims[n + 2], claims[n + 3] = id, fixed, 0
  send(id, queue)
end

lease_to = function(t)
  send(t.id, t.queue)
end

-- The next copy of a task whose last one is not there any more.
local function send_again(id, list)
  local t = load(id)
  if not t or t.status ~= 'p' or t.parked then
    call('ZREM', list, id)
  elseif is_paused(t.queue) then
    -- Sent again when the queue is resumed.
    call('ZREM', list, id)
    make_ready(t)
  else
    send(id, t.queue)
    tell_claim(demand.claims, t, call('HGET', TASK, id))
    demand.taken = demand.taken + 1
  end
end

local function send_all_again(list, before)
  if demand.taken >= limit then return end
  for _, id in ipairs(call('ZRANGEBYSCORE', list, '-inf', before, 'LIMIT', 0, limit - demand.taken)) do
    send_again(id, list)
  end
end

local more = false
if advance then
  local due, late = promote_due(limit), expire_late(limit)
  more = drain_cascades(limit) or due or late
  flush_lists()
end
demand.worker, demand.starting, demand.limit_bytes = '', 0, 2 ^ 52
lease_any(limit)
send_all_again(P .. 'unconfirmed', now - 10000)
for _ = 1, tonumber(arg()) do send_all_again(P .. 'sent:' .. arg(), now - 30000) end
flush()
more = more or demand.unfinished or demand.taken >= limit
return { more and 1 or 0, until_due(), now, demand.claims, numbers }
