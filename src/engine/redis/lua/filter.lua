-- Walks the tasks that match a filter, in push order or against it. Needs base.lua.
--
-- Which tasks of a chunk have one of the wanted states, and are in the queue, say bitmaps, and on which of its pages there are tasks
-- of a name; of those only few are looked at in vain. Names, labels and times are compared with the records.

-- Bits of a bitmap: the first is the highest of the first byte.
local function bit_of(byte, k)
  return math.floor(byte / 2 ^ (7 - k)) % 2 == 1
end

-- The first set bit at or after `from`, or nil.
local function next_bit(map, from)
  local i = math.floor(from / 8) + 1
  local k = from % 8
  while i <= #map do
    local byte = string.byte(map, i)
    if byte ~= 0 then
      while k < 8 do
        if bit_of(byte, k) then return (i - 1) * 8 + k end
        k = k + 1
      end
    end
    k = 0
    i = string.find(map, '[^%z]', i + 1)
    if not i then return nil end
  end
end

-- The last set bit at or before `from`, or nil. `reversed` is the same map backwards.
local function last_bit(map, reversed, from)
  local i = math.floor(from / 8) + 1
  local k = from % 8
  if i > #map then
    i, k = #map, 7
  end
  while i >= 1 do
    local byte = string.byte(map, i)
    if byte ~= 0 then
      while k >= 0 do
        if bit_of(byte, k) then return (i - 1) * 8 + k end
        k = k - 1
      end
    end
    k = 7
    local j = string.find(reversed, '[^%z]', #map - i + 2)
    if not j then return nil end
    i = #map - j + 1
  end
end

-- Whether `name` matches a glob of `*`, `?` and literal characters.
local function glob_matches(glob, name)
  local at_glob, star, taken, i = 1, nil, 1, 1
  while i <= #name do
    local wanted = string.sub(glob, at_glob, at_glob)
    if wanted == '*' then
      star, taken = at_glob, i
      at_glob = at_glob + 1
    elseif wanted ~= '' and (wanted == '?' or wanted == string.sub(name, i, i)) then
      at_glob, i = at_glob + 1, i + 1
    elseif star then
      at_glob, taken = star + 1, taken + 1
      i = taken
    else
      return false
    end
  end
  while string.sub(glob, at_glob, at_glob) == '*' do at_glob = at_glob + 1 end
  return at_glob > #glob
end

local every_status = 'prswbcfx'

-- Reads a filter: states as letters, or "" for all; then, each "" or "=" and a value: queue, name, label, since, until.
local function read_filter()
  local states = arg()
  local filter = { states = states == '-' and '' or states == '' and every_status or states, verdicts = {} }
  for _, field in ipairs({ 'queue', 'name', 'label', 'since', 'until_' }) do
    local value = arg()
    if value ~= '' then filter[field] = string.sub(value, 2) end
  end
  filter.since, filter.until_ = tonumber(filter.since), tonumber(filter.until_)
  return filter
end

local function unescape(name)
  return (string.gsub(name, '%%(%x%x)', function(hex) return string.char(tonumber(hex, 16)) end))
end

-- Names come in great numbers, but few kinds.
local function name_fits(filter, name)
  local verdict = filter.verdicts[name]
  if verdict == nil then
    verdict = glob_matches(filter.name, unescape(name))
    filter.verdicts[name] = verdict
  end
  return verdict
end

local function fits(filter, t)
  return string.find(filter.states, t.status, 1, true) and (not filter.queue or t.queue == filter.queue)
end

local function needs_record(filter)
  return filter.name or filter.label or filter.since or filter.until_
end

local function fits_record(filter, fixed)
  local created, name, label = string.match(fixed, '^%S+ %S+ %S+ (%S+) (%S*) ([^\n]*)')
  created = tonumber(created)
  if not created then return false end
  if filter.name and not name_fits(filter, name) then return false end
  if filter.label and label ~= '=' .. filter.label then return false end
  return not (filter.since and created < filter.since) and not (filter.until_ and created >= filter.until_)
end

local nowhere = function() return nil end

-- The pages of a chunk on which tasks of the name may be; nil where that is not known: on any.
local function pages_of_name(filter, chunk, in_all)
  local names = call('HGETALL', P .. 'names:' .. text(chunk))
  local indexed, numbers = 0, {}
  for i = 1, #names, 2 do
    if names[i] == '' then
      indexed = tonumber(names[i + 1])
    elseif name_fits(filter, names[i]) then
      numbers[#numbers + 1] = tonumber(names[i + 1])
    end
  end
  if indexed ~= math.min(CHUNK, in_all - chunk * CHUNK) or #numbers == #names / 2 - 1 then return nil end
  local pages, map = {}, #numbers > 0 and call('GET', P .. 'named:' .. text(chunk)) or ''
  for _, number in ipairs(numbers) do
    local page = next_bit(map, number * PAGES)
    while page and page < (number + 1) * PAGES do
      pages[page - number * PAGES] = true
      page = next_bit(map, page + 1)
    end
  end
  return pages
end

-- Where `find` finds something on one of these pages.
local function find_on(pages, find, ascending)
  if next(pages) == nil then return nowhere end
  local step = ascending and 1 or -1
  return function(place)
    while true do
      place = find(place)
      local page = place and floor(place / PAGE)
      if not page or pages[page] then return place end
      repeat page = page + step until pages[page] or page < 0 or page >= PAGES
      if page < 0 or page >= PAGES then return nil end
      place = ascending and page * PAGE or page * PAGE + PAGE - 1
    end
  end
end

-- A function that finds the first place of a chunk, from a given one on, where a task may be that has one of the states and is in
-- the queue; nil where none may.
local function finder_of_states(filter, chunk, ascending)
  if filter.states == every_status and not filter.queue then
    return function(place) return place end
  end
  local maps = {}
  for status in string.gmatch(filter.states, '.') do
    local map = call('GET', of_status[status] .. text(chunk))
    if map then maps[#maps + 1] = { map, not ascending and string.reverse(map) } end
  end
  local own = filter.queue and call('GET', P .. 'of:' .. filter.queue .. ':' .. text(chunk))
  local own_reversed = own and not ascending and string.reverse(own)
  if #maps == 0 or (filter.queue and not own) then return nowhere end
  local function nearest(place)
    local best
    for _, map in ipairs(maps) do
      local hit
      if ascending then hit = next_bit(map[1], place) else hit = last_bit(map[1], map[2], place) end
      if hit and (not best or (ascending and hit < best) or (not ascending and hit > best)) then best = hit end
    end
    return best
  end
  return function(place)
    while true do
      local one = nearest(place)
      if not own or not one then return one end
      -- The two leap over each other until they meet.
      local other
      if ascending then other = next_bit(own, one) else other = last_bit(own, own_reversed, one) end
      if other == one or not other then return other end
      place = other
    end
  end
end

-- The same of the whole filter. `in_all` SEQs were given out.
local function finder(filter, chunk, ascending, in_all)
  local pages = filter.name and pages_of_name(filter, chunk, in_all)
  if not pages then return finder_of_states(filter, chunk, ascending) end
  return find_on(pages, next(pages) and finder_of_states(filter, chunk, ascending), ascending)
end

-- Loads those of these tasks that have not been, many in one command. `records` is what is stored of them, or false.
local function load_many(ids, records)
  local states = call('HMGET', STATE, unpack(ids))
  local stateless = {}
  for i, id in ipairs(ids) do
    if tasks[id] == nil and raw[id] == nil then
      if states[i] then raw[id] = states[i] else stateless[#stateless + 1] = id end
    end
  end
  if #stateless == 0 then return end
  if not records then
    ids, records = stateless, call('HMGET', TASK, unpack(stateless))
  end
  for i, id in ipairs(ids) do
    if records[i] and tasks[id] == nil and raw[id] == nil then tasks[id] = fresh(id, records[i]) end
  end
end

-- Calls `found(t)` for those of the tasks at these SEQs that match, in their order, until it returns true. Returns the SEQ at which
-- it did.
local function try_all(filter, seqs, found)
  local ids, places = {}, {}
  for _, seq in ipairs(seqs) do
    local id = id_of(seq)
    if id then
      ids[#ids + 1] = id
      places[#places + 1] = seq
    end
  end
  if #ids == 0 then return end
  local records = needs_record(filter) and call('HMGET', TASK, unpack(ids))
  if records then
    local fitting = { {}, {}, {} }
    for i, id in ipairs(ids) do
      if records[i] and fits_record(filter, records[i]) then
        local n = #fitting[1] + 1
        fitting[1][n], fitting[2][n], fitting[3][n] = id, places[i], records[i]
      end
    end
    ids, places, records = unpack(fitting)
    if #ids == 0 then return end
  end
  load_many(ids, records)
  for i, id in ipairs(ids) do
    local t = load(id)
    if t and t.seq == places[i] and fits(filter, t) and found(t) then return places[i] end
  end
end

-- Calls `found(t)` for the tasks that match, from SEQ `from` on (nil: from the end), until it returns true or `budget` tasks
-- and chunks have been looked at. Returns the SEQ at which to go on, or nil.
local function walk(filter, from, ascending, budget, found)
  local last = tonumber(call('HGET', FACT, 'seq') or 0)
  local low, high = tonumber(call('HGET', FACT, 'low') or 0), floor(last / CHUNK)
  local step = ascending and 1 or -1
  local seq = from or (ascending and 0 or last)
  if ascending then seq = math.max(seq, low * CHUNK) end
  if seq < 0 then return nil end
  local chunk = floor(seq / CHUNK)
  while chunk >= low and chunk <= high do
    local find = finder(filter, chunk, ascending, last)
    local place = find(seq - chunk * CHUNK)
    while place do
      -- Enough for one command, and on the far side of the last task nothing.
      local seqs = {}
      while place and #seqs < PAGE do
        seqs[#seqs + 1] = chunk * CHUNK + place
        place = place + step
        place = place >= 0 and place < CHUNK and find(place) or nil
      end
      if ascending and seqs[1] > last then return nil end
      local stopped = try_all(filter, seqs, found)
      if stopped then return stopped + step end
      budget = budget - #seqs
      if place and budget <= 0 then return chunk * CHUNK + place end
    end
    budget = budget - 1
    chunk = chunk + step
    seq = ascending and chunk * CHUNK or chunk * CHUNK + CHUNK - 1
    if budget <= 0 and chunk >= low and chunk <= high then return seq end
  end
end
