-- Storing tasks. Needs base.lua and life.lua.

-- Names of a chunk that get a number. Where there are more, whoever looks for a name looks at every task (filter.lua).
local NUMBERED = 256

-- Remembers on which pages of a chunk the names of new tasks are.
local function index_names_of_chunk(chunk, records, i, last, first)
  local counts, pages_of, order = {}, {}, {}
  for k = i, last do
    local name = string.match(records[2 * k], '^%S+ %S+ %S+ (%S+)')
    if name then
      if not counts[name] then
        counts[name], pages_of[name] = 0, {}
        order[#order + 1] = name
      end
      counts[name] = counts[name] + 1
      local page = floor((first + k - 1) % CHUNK / PAGE)
      local its = pages_of[name]
      if its[#its] ~= page then its[#its + 1] = page end
    end
  end
  if #order == 0 then return end
  local names = P .. 'names:' .. text(chunk)
  local numbers = call('HMGET', names, unpack(order))
  local bits, n, indexed, following = {}, 0, 0, nil
  for k, name in ipairs(order) do
    local number = tonumber(numbers[k])
    if not number then
      following = following or math.max(0, call('HLEN', names) - 1)
      if following < NUMBERED then
        number = following
        call('HSET', names, name, number)
        following = following + 1
      end
    end
    if number then
      indexed = indexed + counts[name]
      for _, page in ipairs(pages_of[name]) do
        bits[n + 1], bits[n + 2], bits[n + 3], bits[n + 4] = 'SET', 'u1', number * PAGES + page, 1
        n = n + 4
      end
    end
  end
  if indexed > 0 then call('HINCRBY', names, '', indexed) end
  many('BITFIELD', P .. 'named:' .. text(chunk), bits)
end

local function index_names(records, n, first)
  local i = 1
  while i <= n do
    local chunk = floor((first + i - 1) / CHUNK)
    local last = math.min(n, (chunk + 1) * CHUNK - first)
    index_names_of_chunk(chunk, records, i, last, first)
    i = last + 1
  end
end

-- Registers tasks that are not there yet: their records, their places in push order. `pairs_` is id, record, id, record …
-- Returns the SEQ of the first.
local function register(records, n)
  local first = call('HINCRBY', FACT, 'seq', n) - n
  local stored = {}
  for i = 1, n do
    stored[2 * i - 1] = records[2 * i - 1]
    stored[2 * i] = text(first + i - 1) .. ' ' .. records[2 * i]
  end
  many('HSET', TASK, stored)
  local i = 1
  while i <= n do
    local page = floor((first + i - 1) / PAGE)
    local ids = {}
    local last = math.min(n, (page + 1) * PAGE - first)
    for k = i, last do ids[k - i + 1] = records[2 * k - 1] end
    call('RPUSH', P .. 'ids:' .. text(page), unpack(ids))
    pages[page] = nil
    i = last + 1
  end
  index_names(records, n, first)
  return first
end

-- Puts the SEQs from `first` on, all of one queue and priority, at the end of what is ready there.
local function enqueue(queue, priority, first, n)
  local fifo = P .. 'fifo:' .. priority .. ':' .. queue
  for seq = first, first + n - 1 do append(fifo, text(seq)) end
  mark_run(P .. 'of:' .. queue .. ':', first, n, 1)
  mark_run(of_status.p, first, n, 1)
  call('ZADD', P .. 'ready', priority, priority .. ' ' .. queue)
  count_at(queue, 'p', tonumber(priority), n)
  ring(queue)
end

local function plain(id, queue, priority, record)
  if call('HEXISTS', TASK, id) == 1 then return 'd', id end
  enqueue(queue, priority, register({ id, record }, 1), 1)
  tasks[id] = nil
  return 'p', id
end

-- One strictest entry for each parent.
local function parents_of(after)
  local known, order, hopeless = {}, {}, false
  for i = 1, #after, 2 do
    local on, id = after[i], after[i + 1]
    local parent = load(id)
    if not parent then return nil, id end
    if not known[id] then order[#order + 1] = id end
    if known[id] and known[id].on == 'C' then on = 'C' end
    local satisfied = parent.status == 'c' or (is_end(parent.status) and on == 'E')
    if is_end(parent.status) and not satisfied then hopeless = true end
    known[id] = { on = on, satisfied = satisfied, task = parent }
  end
  return { known = known, order = order, hopeless = hopeless }
end

local function adopt(parent, on, satisfied, t)
  set_edge(t, parent.id, on .. (satisfied and '1' or '0') .. text(parent.seq))
  call('ZADD', P .. 'kids:' .. parent.id, t.seq, t.id)
  if not parent.kids then
    parent.kids = true
    save(parent)
  end
end

-- Stores one task. `fields` is name, value, name, value … : run, exp (instants), uk, uf (milliseconds), sk, fr, fs, C and E
-- (a parent). Returns p, s, b or x (created so) and the id; d or u (there already: the id, the unique key) and the id of
-- that one; or "?" and the unknown parent.
local function push_task(id, queue, priority, record, fields)
  if #fields == 0 then return plain(id, queue, priority, record) end
  -- The id first: a repeated push finds its own task, whoever holds its unique key by now.
  if call('HEXISTS', TASK, id) == 1 then return 'd', id end
  local x, after = {}, {}
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name == 'C' or name == 'E' then
      after[#after + 1], after[#after + 2] = name, value
    else
      x[name] = value
    end
  end
  local holder = x.uk and holder_of(x.uk)
  if holder then return 'u', holder end
  local parents, unknown = parents_of(after)
  if not parents then return '?', unknown end
  local run, exp = x.run and instant(x.run), x.exp and instant(x.exp)
  local blockers = 0
  for _, parent in pairs(parents.known) do
    if not parent.satisfied then blockers = blockers + 1 end
  end
  local status = parents.hopeless and 'x' or blockers > 0 and 'b' or run and run > now and 's' or 'p'

  local seq = register({ id, record }, 1)
  local t = new_task(id, seq, queue, tonumber(priority), status)
  tasks[id] = t
  save(t)
  count(t, status, 1)
  mark(P .. 'of:' .. queue .. ':', seq, 1)
  mark(of_status[status], seq, 1)
  if run then set(t, 'run', run) end
  if exp then set(t, 'exp', exp) end
  if x.uk then
    set(t, 'uk', x.uk)
    if x.uf then set(t, 'uu', now + x.uf) end
    if status ~= 'x' or x.uf then call('HSET', P .. 'unique', x.uk, id) end
  end
  if x.sk then set(t, 'sk', x.sk) end
  if x.fr then
    set(t, 'fr', x.fr)
    set(t, 'fs', x.fs)
  end
  for _, parent in ipairs(parents.order) do
    local known = parents.known[parent]
    adopt(known.task, known.on, known.satisfied, t)
  end
  if exp and status ~= 'x' then call('ZADD', P .. 'late', exp, id) end
  if #after > 0 then set(t, 'bl', blockers) end
  if status == 's' then
    put_due(t, run)
  elseif status == 'x' then
    t.reason, t.finishedAt = 'parent', now
    note_end('x', queue, text(seq))
  elseif status == 'p' and x.sk and not is_front(x.sk, t) then
    t.parked = true
    call('ZADD', P .. 'parked:' .. x.sk, seq, id)
  elseif status == 'p' then
    make_ready(t)
  end
  return status, id
end

-- Reads the arguments of one task: id, queue, priority, record, how many fields, those; and stores it.
local function push_next()
  local id, queue, priority, record, n = arg(), arg(), arg(), arg(), tonumber(arg())
  local fields = {}
  for i = 1, 2 * n do fields[i] = arg() end
  return push_task(id, queue, priority, record, fields)
end
