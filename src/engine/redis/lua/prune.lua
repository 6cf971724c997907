-- Removes ended tasks that the retention no longer covers.
--
-- KEYS[1] -> the prefix
-- ARGV    -> limit; how long completed and cancelled ones are kept, failed ones; how many completed ones a queue; younger than that
--            the count spares them; bytes of output kept; how many queues have a count of their own, each: queue, count
-- Returns    how many were removed, 1 if there may be more to remove

local limit, completed_for, failed_for, keep, spare, budget =
  tonumber(arg()), tonumber(arg()), tonumber(arg()), tonumber(arg()), tonumber(arg()), tonumber(arg())
local keeps = {}
for _ = 1, tonumber(arg()) do
  local queue = arg()
  keeps[queue] = tonumber(arg())
end

-- Events, for waits that come after them: of some logs whose oldest is too old, some.
local too_old = '(' .. text(now - 7 * 86400000)
for _, log in ipairs(call('ZRANGEBYSCORE', P .. 'eventages', '-inf', too_old, 'LIMIT', 0, 200)) do
  local old = call('ZRANGEBYSCORE', P .. 'event:' .. log, '-inf', too_old, 'LIMIT', 0, 500)
  many('ZREM', P .. 'event:' .. log, old)
  if not string.find(log, '\n', 1, true) then many('HDEL', P .. 'payload', old) end
  local oldest = call('ZRANGE', P .. 'event:' .. log, 0, 0, 'WITHSCORES')[2]
  if oldest then
    call('ZADD', P .. 'eventages', oldest, log)
  else
    call('ZREM', P .. 'eventages', log)
    call('SREM', P .. 'eventnames', log)
  end
end

-- Children, steps and entries that have been looked at: a script must not take long.
local looks, most_looks = 0, 4000

-- Never removed: parents of live dependents or of such that have not been told, held unique keys, a flow's run of which a step is
-- live again.
local function is_untied(t)
  local x = extra(t)
  if x and x.uk and (tonumber(x.uu) or 0) > now and call('HGET', P .. 'unique', x.uk) == t.id then return false end
  if x and x.fs == '' then
    local steps = call('HKEYS', P .. 'deps:' .. t.id)
    looks = looks + #steps
    for _, id in ipairs(steps) do
      local step = load(id)
      if step and not is_end(step.status) then return false end
    end
  end
  if not t.kids then return true end
  if call('HEXISTS', P .. 'news', t.id) == 1 then return false end
  local from = 0
  while true do
    local kids = call('ZRANGE', P .. 'kids:' .. t.id, from, from + 99)
    for _, id in ipairs(kids) do
      local child = load(id)
      if child and not is_end(child.status) then return false end
    end
    looks = looks + #kids
    if #kids < 100 then return true end
    from = from + 100
  end
end

-- The run that a step belongs to.
local function run_of(t)
  local x = extra(t)
  return x and x.fr and x.fs ~= '' and load(x.fr) or nil
end

-- A run goes first and its steps after it, whatever their own age: without them it could not be resumed.
local function is_removable(t)
  return not run_of(t) and is_untied(t)
end

-- The ended task that an entry speaks of, if it has not been run again or removed since.
local function ended_as(entry, status)
  local seq, finished = string.match(entry, '^(%d+) (%d+)$')
  local id = seq and id_of(tonumber(seq))
  local t = id and load(id)
  if t and t.seq == tonumber(seq) and t.status == status and t.finishedAt == tonumber(finished) then return t end
end

local pruned = 0

-- Of those that were spared before. Those that still cannot go must not keep others waiting: each time goes on where the last
-- one stopped.
local function prune_spared(queue, status, before, most)
  local spared, cursor = P .. 'spared:' .. status .. ':' .. queue, 'spared ' .. status .. ' ' .. queue
  local present = call('HGET', FACT, cursor)
  local rank, n, at_end = tonumber(present or 0), 0, false
  while n < most and looks < most_looks and not at_end do
    local entries = call('ZRANGE', spared, rank, rank + 99, 'WITHSCORES')
    at_end = #entries < 200
    for i = 1, #entries, 2 do
      if n >= most or looks >= most_looks then
        at_end = false
        break
      end
      if tonumber(entries[i + 1]) >= before then
        at_end = true
        break
      end
      looks = looks + 1
      local t = ended_as(entries[i], status)
      if t and not is_removable(t) then
        rank = rank + 1
      else
        call('ZREM', spared, entries[i])
        if t then
          erase(t)
          n = n + 1
        end
      end
    end
  end
  if at_end then rank = 0 end
  if rank > 0 then call('HSET', FACT, cursor, rank) elseif present then call('HDEL', FACT, cursor) end
  return n
end

-- Removes the oldest that ended before `before`, up to `most`.
local function prune_older(queue, status, before, most)
  local n = prune_spared(queue, status, before, most)
  local list = P .. 'ended:' .. status .. ':' .. queue
  while n < most and looks < most_looks do
    local entries = call('LRANGE', list, 0, 99)
    local gone = 0
    for _, entry in ipairs(entries) do
      local finished = tonumber(string.match(entry, ' (%d+)$'))
      if n >= most or looks >= most_looks or (finished and finished >= before) then break end
      gone, looks = gone + 1, looks + 1
      local t = ended_as(entry, status)
      if t and is_removable(t) then
        erase(t)
        n = n + 1
      elseif t then
        call('ZADD', P .. 'spared:' .. status .. ':' .. queue, finished, entry)
      end
    end
    if gone > 0 then call('LPOP', list, gone) end
    if gone < 100 then break end
  end
  return n
end

local kinds = {}
local counts = call('HGETALL', P .. 'depth')
for i = 1, #counts, 2 do
  local queue, status = string.match(counts[i], '^(%S+) ([cfx]) %d+$')
  if queue then
    local kind = status .. ':' .. queue
    kinds[kind] = kinds[kind] or { queue = queue, status = status, n = 0 }
    kinds[kind].n = kinds[kind].n + tonumber(counts[i + 1])
  end
end
local names = {}
for name in pairs(kinds) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  local kind = kinds[name]
  local age = kind.status == 'f' and failed_for or completed_for
  local aged = prune_older(kind.queue, kind.status, now - age, limit - pruned)
  pruned = pruned + aged
  if kind.status ~= 'f' then
    local excess = math.min(kind.n - aged - (keeps[kind.queue] or keep), limit - pruned)
    if excess > 0 then pruned = pruned + prune_older(kind.queue, kind.status, now - spare, excess) end
  end
end

-- Over the budget, the oldest results and logs go first, whatever their age; those of a step with its run.
local excess = tonumber(call('HGET', FACT, 'bytes') or 0) + bytes - budget
if excess > 0 and pruned < limit then
  flush()
  local from = tonumber(call('HGET', FACT, 'heavy') or 0)
  local following = walk({ states = 'cfx' }, from, true, 2000, function(t)
    if (t.length or 0) > 0 or (x_number(t, 'out') or 0) > 0 then
      local run = run_of(t)
      if is_untied(t) and (not run or (is_end(run.status) and is_untied(run))) then
        for _, gone in ipairs(run and { run, t } or { t }) do
          excess = excess - erase(gone)
          pruned = pruned + 1
        end
      end
    end
    return excess <= 0 or pruned >= limit or looks >= most_looks
  end)
  -- What could not go is passed over until the end is reached.
  call('HSET', FACT, 'heavy', following or 0)
end
flush()

-- Bitmaps of chunks in which nothing is left go, from the oldest chunk on, a few at a time.
local low, last = tonumber(call('HGET', FACT, 'low') or 0), tonumber(call('HGET', FACT, 'seq') or 0)
local sweep_at = math.max(low, tonumber(call('HGET', FACT, 'tidy') or 0))
local queue_names = {}
for i = 1, #counts, 2 do queue_names[string.match(counts[i], '^(%S+) ')] = true end
for _ = 1, 8 do
  if sweep_at >= math.floor(last / CHUNK) then
    sweep_at = low
    break
  end
  local left = false
  local maps = {}
  for status in string.gmatch('prswbcfxo', '.') do maps[#maps + 1] = P .. 'is:' .. status .. ':' .. text(sweep_at) end
  for queue in pairs(queue_names) do maps[#maps + 1] = P .. 'of:' .. queue .. ':' .. text(sweep_at) end
  for _, map in ipairs(maps) do
    if call('BITPOS', map, 1) == -1 then call('DEL', map) else left = true end
  end
  if not left then call('DEL', P .. 'names:' .. text(sweep_at), P .. 'named:' .. text(sweep_at)) end
  if not left and sweep_at == low then
    low = low + 1
    call('HSET', FACT, 'low', low)
  end
  sweep_at = sweep_at + 1
end
call('HSET', FACT, 'tidy', sweep_at)
-- Where all of this was in vain, the next one is not due at once.
return { pruned, (pruned >= limit or (pruned > 0 and looks >= most_looks)) and 1 or 0 }
