-- Leasing tasks to workers. Needs base.lua and life.lua.

-- live, dead or superseded, as the contract says.
local function standing_of(worker, session)
  local known, status = unpack(call('HMGET', P .. 'worker:' .. worker, 'session', 'status'))
  if not known or status == 'dead' then return 'dead' end
  return tonumber(session) < tonumber(known) and 'superseded' or 'live'
end

-- A claim as it is told: id, record, epoch, priority, retries, crashes, the fields of x or 0.
local function tell_claim(claims, t, fixed)
  local n = #claims
  claims[n + 1], claims[n + 2], claims[n + 3], claims[n + 4] = t.id, fixed, t.epoch, t.priority
  claims[n + 5], claims[n + 6] = t.retry, t.crashes
  claims[n + 7] = t.extra and call('HGETALL', x_key(t)) or 0
end

local function lease_to(t, worker, started)
  local ids = leased[worker]
  if not ids then
    ids = {}
    leased[worker] = ids
  end
  ids[#ids + 1] = t.id
  t.epoch = t.epoch + 1
  t.worker, t.started, t.startedAt, t.reason = worker, started, now, nil
  if t.extra then
    -- Once started, nothing expires it.
    if extra(t).exp then call('ZREM', P .. 'late', t.id) end
    set_unserved(t, false)
  end
  if t.status == 'r' then save(t) else shift(t, 'r') end
end

-- What a claim may still take.
local demand = { claims = {}, taken = 0, bytes = 0 }

-- The longest body seen, for a guess of how many can be fetched at once.
local longest = 1024

-- Fetches what is needed of the tasks in `entries` (each { seq, id }) from i to j.
local function fetch(entries, i, j)
  local ids, unknown = {}, {}
  for k = i, j do
    local id = entries[k].id
    ids[#ids + 1] = id
    if tasks[id] == nil then unknown[#unknown + 1] = id end
  end
  local records = call('HMGET', TASK, unpack(ids))
  for k = i, j do
    entries[k].fixed = records[k - i + 1]
    if entries[k].fixed and #entries[k].fixed > longest then longest = #entries[k].fixed end
  end
  if #unknown == 0 then return end
  local states = call('HMGET', STATE, unpack(unknown))
  for k, state in ipairs(states) do
    if state then tasks[unknown[k]] = decode(unknown[k], state) or quarantine(unknown[k]) end
  end
end

-- The first `n` entries of a level in push order, from the two places where they are.
local function front_of(fifo, back, n)
  local pushed, returned = call('LRANGE', fifo, 0, n - 1), call('ZRANGE', back, 0, n - 1)
  local entries, i, j = {}, 1, 1
  while #entries < n and (pushed[i] or returned[j]) do
    local a, b = tonumber(pushed[i]), tonumber(returned[j])
    if a and (not b or a <= b) then
      entries[#entries + 1] = { seq = a, pushed = true }
      i = i + 1
    else
      entries[#entries + 1] = { seq = b }
      j = j + 1
    end
  end
  return entries
end

-- Leases from one level of a queue, no more than there is room for. Returns the room that is left.
local function lease_level(queue, priority, room)
  local fifo, back = P .. 'fifo:' .. priority .. ':' .. queue, P .. 'back:' .. priority .. ':' .. queue
  local passed = 0
  while room > 0 do
    local entries = front_of(fifo, back, math.min(room, 200))
    if #entries == 0 then
      call('ZREM', P .. 'ready', priority .. ' ' .. queue)
      return room
    end
    for _, entry in ipairs(entries) do entry.id = id_of(entry.seq) or '' end
    local i, met = 1, false
    local gone, taken_back = 0, {}
    while i <= #entries and not met do
      local portion = math.max(1, math.min(200, math.floor((demand.limit_bytes - demand.bytes) / longest) + 1, 4 * i))
      local j = math.min(#entries, i + portion - 1)
      fetch(entries, i, j)
      while i <= j do
        local entry = entries[i]
        local t = tasks[entry.id]
        if t == nil and entry.fixed then
          t = fresh(entry.id, entry.fixed) or quarantine(entry.id)
          tasks[entry.id] = t
        end
        local counts = t and entry.fixed and t.seq == entry.seq and t.status == 'p' and not t.parked and t.priority == priority
        if counts then
          local size = #entry.fixed - (string.find(entry.fixed, '\n', 1, true) or 0)
          if demand.taken > 0 and demand.bytes + size > demand.limit_bytes then
            met = true
            break
          end
          demand.bytes = demand.bytes + size
          lease_to(t, demand.worker, demand.taken < demand.starting)
          demand.taken = demand.taken + 1
          tell_claim(demand.claims, t, entry.fixed)
          room = room - 1
        else
          passed = passed + 1
        end
        if entry.pushed then gone = gone + 1 else taken_back[#taken_back + 1] = entry.seq end
        i = i + 1
      end
    end
    if gone > 0 then call('LPOP', fifo, gone) end
    many('ZREM', back, taken_back)
    if met then
      demand.met = true
      return room
    end
    -- Many are left over from a purge: the others get their turn first.
    if passed >= 2000 then
      demand.unfinished = true
      return room
    end
  end
  if call('EXISTS', fifo, back) == 0 then call('ZREM', P .. 'ready', priority .. ' ' .. queue) end
  return room
end

local function is_paused(queue)
  return call('SISMEMBER', P .. 'paused', queue) == 1
end

local function lease_queue(queue, room)
  if is_paused(queue) then return end
  local levels = {}
  for priority = 0, 10 do levels[priority + 1] = priority .. ' ' .. queue end
  for i, score in ipairs(call('ZMSCORE', P .. 'ready', unpack(levels))) do
    if score and room > 0 and not demand.met then room = lease_level(queue, i - 1, room) end
  end
end

-- The push order of the first entry of a level.
local function head_of(queue, priority)
  local first = front_of(P .. 'fifo:' .. priority .. ':' .. queue, P .. 'back:' .. priority .. ':' .. queue, 1)[1]
  return first and first.seq or math.huge
end

-- From all queues: by level, of one level the queue whose head is oldest first.
local function lease_any(room)
  local levels = {}
  for _, member in ipairs(call('ZRANGE', P .. 'ready', 0, -1)) do
    local priority, queue = string.match(member, '^(%d+) (.*)$')
    if priority and not is_paused(queue) then
      levels[#levels + 1] = { queue = queue, priority = tonumber(priority), head = head_of(queue, priority) }
    end
  end
  table.sort(levels, function(a, b)
    if a.priority ~= b.priority then return a.priority < b.priority end
    return a.head < b.head
  end)
  for _, level in ipairs(levels) do
    if room > 0 and not demand.met then room = lease_level(level.queue, level.priority, room) end
  end
end

-- Whether anything may be ready in a queue, or in any.
local function has_ready(queue)
  if queue == '*' then
    for _, member in ipairs(call('ZRANGE', P .. 'ready', 0, -1)) do
      if not is_paused(string.match(member, ' (.*)$') or '') then return true end
    end
    return false
  end
  if is_paused(queue) then return false end
  local levels = {}
  for priority = 0, 10 do levels[priority + 1] = priority .. ' ' .. queue end
  for _, score in ipairs(call('ZMSCORE', P .. 'ready', unpack(levels))) do
    if score then return true end
  end
  return false
end
