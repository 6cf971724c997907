-- Walks the tasks that match a filter, in push order or against it. Needs base.lua.
--
-- Which tasks of a chunk have one of the wanted states, and are in the queue, say bitmaps; of those only few are looked at in
-- vain. Names, labels and times are compared with the records.

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

-- Reads a filter: states as letters, or "" for all; then, each "" or "=" and a value: queue, name, label, since, until.
local function read_filter()
  local states = arg()
  local filter = { states = states == '-' and '' or states == '' and 'prswbcfx' or states }
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

local function fits(filter, t, fixed)
  if not string.find(filter.states, t.status, 1, true) then return false end
  if filter.queue and t.queue ~= filter.queue then return false end
  if not (filter.name or filter.label or filter.since or filter.until_) then return true end
  local created, name, label = string.match(fixed, '^%S+ %S+ %S+ (%S+) (%S*) ([^\n]*)')
  created = tonumber(created)
  if not created then return false end
  if filter.name and not glob_matches(filter.name, unescape(name)) then return false end
  if filter.label and label ~= '=' .. filter.label then return false end
  return not (filter.since and created < filter.since) and not (filter.until_ and created >= filter.until_)
end

-- Calls `found(t)` for the tasks that match, from SEQ `from` on (nil: from the end), until it returns true or `budget` tasks
-- and chunks have been looked at. Returns the SEQ at which to go on, or nil.
local function walk(filter, from, ascending, budget, found)
  local last = tonumber(call('HGET', FACT, 'seq') or 0)
  local low = tonumber(call('HGET', FACT, 'low') or 0)
  local at_seq = from or (ascending and 0 or last)
  local step = ascending and 1 or -1
  local chunk = math.floor(math.max(0, at_seq) / CHUNK)
  if ascending and chunk < low then
    chunk = low
    at_seq = low * CHUNK
  end
  if at_seq < 0 then return nil end
  local last_chunk = math.floor(last / CHUNK)
  while chunk >= low and chunk <= last_chunk do
    local maps = {}
    for status in string.gmatch(filter.states, '.') do
      local map = call('GET', of_status[status] .. text(chunk))
      if map then maps[#maps + 1] = { map, not ascending and string.reverse(map) } end
    end
    local own = filter.queue and call('GET', P .. 'of:' .. filter.queue .. ':' .. text(chunk))
    local own_reversed = own and not ascending and string.reverse(own)
    local bit_at = at_seq - chunk * CHUNK
    if #maps == 0 or (filter.queue and not own) then bit_at = nil end
    while bit_at do
      local candidate
      for _, map in ipairs(maps) do
        local hit
        if ascending then hit = next_bit(map[1], bit_at) else hit = last_bit(map[1], map[2], bit_at) end
        if hit and (not candidate or (ascending and hit < candidate) or (not ascending and hit > candidate)) then candidate = hit end
      end
      if not candidate then break end
      local hit = candidate
      if own then
        if ascending then hit = next_bit(own, candidate) else hit = last_bit(own, own_reversed, candidate) end
      end
      if not hit then break end
      bit_at = hit
      if hit == candidate then
        local seq = chunk * CHUNK + hit
        local id = id_of(seq)
        local t = id and load(id)
        budget = budget - 1
        bit_at = hit + step
        local is_it = t and t.seq == seq
        local needs_record = filter.name or filter.label or filter.since or filter.until_
        if is_it and fits(filter, t, needs_record and (call('HGET', TASK, id) or '')) and found(t) then return seq + step end
        if budget <= 0 then return seq + step end
      end
      if bit_at < 0 or bit_at >= CHUNK then break end
    end
    budget = budget - 1
    chunk = chunk + step
    at_seq = ascending and chunk * CHUNK or chunk * CHUNK + CHUNK - 1
    if budget <= 0 and chunk >= low and chunk <= last_chunk then return at_seq end
  end
end
