-- Leasing tasks to workers. Needs base.lua and life.lua.

-- live, dead or superseded, as the contract says.
local function standing_of(worker, session)
  local known, status = unpack(call('HMGET', P .. 'worker:' .. worker, 'session', 'status'))
  if not known or status == 'dead' then return 'dead' end
  return tonumber(session) < tonumber(known) and 'superseded' or 'live'
end

-- A claim as it is told: id, record, and 0 for the first run of a task of which there is no more to know, else: epoch, priority,
-- retries, crashes, the fields of x.
local function tell_claim(claims, t, fixed)
  local n = #claims
  claims[n + 1], claims[n + 2] = t.id, fixed
  claims[n + 3] = { t.epoch, t.priority, t.retry, t.crashes, t.extra and call('HGETALL', x_key(t)) or {} }
end

local function lease_to(t, worker, started)
  collect(leased, worker, text(t.seq))
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

-- What a first run writes before and after the SEQ, the same for a whole level.
local first_run = {}

local function prepare_first_runs(queue, priority)
  first_run.begun = pack('>c1BI4I4I2B', 'r', 8, 1, 0, 0, priority)
  first_run.held = pack('>c1BI4I4I2B', 'r', 0, 1, 0, 0, priority)
  first_run.rest = pack('>I6Bc0Bc0I2', now, #queue, queue, #demand.worker, demand.worker, 0)
end

-- The first run of a task of which there is no more to know: most of them, so without the detours.
local function lease_plain(id, fixed, seq, seq_text, queue, priority)
  local head = demand.taken < demand.starting and first_run.begun or first_run.held
  write(id, head .. pack('>I6', seq) .. first_run.rest)
  collect(leased, demand.worker, seq_text)
  shift_soon(queue, priority, seq, 'p', 'r')
  local claims = demand.claims
  local n = #claims
  claims[n + 1], claims[n + 2], claims[n + 3] = id, fixed, 0
end

-- The longest record seen, for a guess of how many can be fetched at once.
local longest = 1024

-- The first `n` SEQs of a level in push order, from the two places where they are, as numbers and as they are stored; and which of
-- them are from `back`.
local function front_of(fifo, back, n)
  local pushed, returned = call('LRANGE', fifo, 0, n - 1), call('ZRANGE', back, 0, n - 1)
  local seqs, texts, from_back = {}, {}, {}
  local i, j = 1, 1
  for k = 1, math.min(n, #pushed + #returned) do
    -- What is no number names no task, and is passed over.
    local a, b = pushed[i] and (tonumber(pushed[i]) or -1), returned[j] and (tonumber(returned[j]) or -1)
    if a and (not b or a <= b) then
      seqs[k], texts[k] = a, pushed[i]
      i = i + 1
    else
      seqs[k], texts[k], from_back[k] = b, returned[j], true
      j = j + 1
    end
  end
  return seqs, texts, from_back
end

-- Leases one task if it still is what its place among the ready says. Returns false if there is no room for its bytes.
local function lease_one(id, fixed, seq, seq_text, queue, priority)
  local is_plain = tasks[id] == nil and not raw[id]
  local t = not is_plain and load(id)
  if not is_plain and not (t and t.seq == seq and t.status == 'p' and not t.parked and t.priority == priority) then return true end
  local size = #fixed - (string.find(fixed, '\n', 1, true) or 0)
  if demand.taken > 0 and demand.bytes + size > demand.limit_bytes then return false end
  demand.bytes = demand.bytes + size
  if is_plain then
    lease_plain(id, fixed, seq, seq_text, queue, priority)
  else
    lease_to(t, demand.worker, demand.taken < demand.starting)
    tell_claim(demand.claims, t, fixed)
  end
  demand.taken = demand.taken + 1
  return true
end

-- Whether `n` bits in a row have one value.
local function is_uniform(bitmap, first, n, value)
  local place = first % CHUNK
  local chunk = (first - place) / CHUNK
  if place + n > CHUNK then return false end
  local args, wanted = {}, {}
  local i = 0
  while i < n do
    local width = math.min(32, n - i)
    local k = #args
    args[k + 1], args[k + 2], args[k + 3] = 'GET', widths[width], place + i
    wanted[#wanted + 1] = value == 1 and 2 ^ width - 1 or 0
    i = i + width
  end
  for k, bits in ipairs(call('BITFIELD', bitmap .. text(chunk), unpack(args))) do
    if bits ~= wanted[k] then return false end
  end
  return true
end

-- Whether all at these places are pending and have never had a state: then there is none to ask for.
local function are_plain(seqs, i, last)
  local n = last - i + 1
  if seqs[last] - seqs[i] ~= n - 1 or seqs[i] < 0 then return false end
  return is_uniform(of_status.p, seqs[i], n, 1) and is_uniform(had_state, seqs[i], n, 0)
end

-- Leases the tasks at some places of a level. Returns how many places were passed, with or without a lease.
local function lease_front(seqs, texts, queue, priority)
  prepare_first_runs(queue, priority)
  local i = 1
  while i <= #seqs do
    local room = floor((demand.limit_bytes - demand.bytes) / longest) + 1
    local last = math.min(#seqs, i - 1 + math.max(1, math.min(200, room, 4 * i)))
    local ids = {}
    for k = i, last do ids[k - i + 1] = id_of(seqs[k]) or '' end
    local records = call('HMGET', TASK, unpack(ids))
    -- Marks of this call are not written yet: what it has touched is in `tasks` or `raw`.
    local states = are_plain(seqs, i, last) and {} or call('HMGET', STATE, unpack(ids))
    for k = i, last do
      local id, fixed, state = ids[k - i + 1], records[k - i + 1], states[k - i + 1]
      if fixed then
        if #fixed > longest then longest = #fixed end
        if raw[id] == nil and state then raw[id] = state end
        if not lease_one(id, fixed, seqs[k], texts[k], queue, priority) then
          demand.met = true
          return k - 1
        end
      end
    end
    i = last + 1
  end
  return #seqs
end

-- Leases from one level of a queue, no more than there is room for. Returns the room that is left.
local function lease_level(queue, priority, room)
  local level = text(priority) .. ':' .. queue
  local fifo, back = P .. 'fifo:' .. level, P .. 'back:' .. level
  local in_vain = 0
  while room > 0 and not demand.met and in_vain < 2000 do
    local seqs, texts, from_back = front_of(fifo, back, math.min(room, 200))
    if #seqs == 0 then break end
    local before = demand.taken
    local passed = lease_front(seqs, texts, queue, priority)
    local gone, returned = 0, {}
    for k = 1, passed do
      if from_back[k] then returned[#returned + 1] = texts[k] else gone = gone + 1 end
    end
    if gone > 0 then call('LPOP', fifo, gone) end
    many('ZREM', back, returned)
    room = room - (demand.taken - before)
    in_vain = in_vain + passed - (demand.taken - before)
  end
  -- Many are left over from a purge: the others get their turn first.
  if in_vain >= 2000 then demand.unfinished = true end
  if call('EXISTS', fifo, back) == 0 then call('ZREM', P .. 'ready', text(priority) .. ' ' .. queue) end
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
  local level = priority .. ':' .. queue
  return front_of(P .. 'fifo:' .. level, P .. 'back:' .. level, 1)[1] or math.huge
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
