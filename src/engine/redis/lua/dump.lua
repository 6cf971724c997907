-- Reads out a portion of all tasks, in push order, whole.
--
-- KEYS[1] -> the prefix
-- ARGV    -> the SEQ to begin at; how many tasks, and how many bytes, make a portion
-- Returns    the SEQ to go on at or -1; for each task: what tell_task tells, its memos (key, "N value" …), the numbers of the events
--            it has consumed, what its runs wrote (pieces of six values)

local from, most, most_bytes = tonumber(arg()), tonumber(arg()), tonumber(arg())
local last = tonumber(call('HGET', FACT, 'seq') or 0)
local found, n, size, looked = {}, 0, 0, 0

local function pieces_of(id)
  local pieces = {}
  for _, entry in ipairs(call('XRANGE', P .. 'out:' .. id, '-', '+')) do
    local f = entry[2]
    for k = 2, 12, 2 do pieces[#pieces + 1] = f[k] end
    size = size + #f[12]
  end
  return pieces
end

local seq = from
while seq < last and n < most and size < most_bytes and looked < 20000 do
  local id = id_of(seq)
  looked = looked + 1
  if id then
    local told = {}
    local t = tell_task(told, id, true)
    if t and t.seq == seq then
      size = size + #told[1][2] + (t.length or 0)
      found[n * 4 + 1] = told[1]
      found[n * 4 + 2] = t.epoch > 0 and call('HGETALL', P .. 'memo:' .. id) or {}
      found[n * 4 + 3] = t.epoch > 0 and call('SMEMBERS', P .. 'eaten:' .. id) or {}
      found[n * 4 + 4] = t.extra and pieces_of(id) or {}
      n = n + 1
    end
    seq = seq + 1
  elseif #pages[math.floor(seq / PAGE)] == 0 then
    -- A page that is no more.
    seq = (math.floor(seq / PAGE) + 1) * PAGE
  else
    seq = seq + 1
  end
end
return { seq < last and seq or -1, found }
