-- Looks, without writing, for what a sweep would find.
--
-- KEYS[1] -> the prefix
-- Returns    1 if something is due, late, to be told, or leased to a dead worker, else 0; id and beats of each living worker

local beats = call('HGETALL', P .. 'beats')
local function is_past(index)
  local first = call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  return first and tonumber(first) <= now
end
local found = is_past(P .. 'due') or is_past(P .. 'late') or call('EXISTS', P .. 'cascade') == 1
for _, worker in ipairs(call('ZRANGE', P .. 'dead', 0, -1)) do
  found = found or call('EXISTS', P .. 'leases:' .. worker) == 1
end
return { found and 1 or 0, beats }
