-- Asks the workers of a name, or the one with that id, to drain.
--
-- KEYS[1] -> the prefix
-- ARGV    -> name or id
-- Returns    the ids of those asked

local wanted = arg()
local asked = {}
for _, worker in ipairs(call('HKEYS', P .. 'beats')) do
  if worker == wanted or call('HGET', P .. 'worker:' .. worker, 'name') == wanted then
    call('HSET', P .. 'worker:' .. worker, 'drain', 1)
    bell(worker, 'orders')
    asked[#asked + 1] = worker
  end
end
table.sort(asked)
return asked
