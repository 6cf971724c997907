-- Reads out what tasks depend on, in push order.
--
-- KEYS[1] -> the prefix
-- ARGV    -> the SEQ to begin at
-- Returns    the SEQ to go on at or -1; id, its edges (parent, edge …) of each task that has any

local from = tonumber(arg())
local last = tonumber(call('HGET', FACT, 'seq') or 0)
local found, looked = {}, 0
local seq = from
while seq < last and looked < 5000 and #found < 400 do
  local id = id_of(seq)
  looked = looked + 1
  local t = id and load(id)
  if t and t.seq == seq and t.extra then
    local edges = {}
    local all = call('HGETALL', P .. 'deps:' .. id)
    for i = 1, #all, 2 do
      if call('ZSCORE', P .. 'kids:' .. all[i], id) then
        edges[#edges + 1], edges[#edges + 2] = all[i], all[i + 1]
      end
    end
    if #edges > 0 then
      found[#found + 1] = id
      found[#found + 1] = edges
    end
  end
  if not id and #pages[math.floor(seq / PAGE)] == 0 then
    seq = (math.floor(seq / PAGE) + 1) * PAGE
  else
    seq = seq + 1
  end
end
return { seq < last and seq or -1, found }
