-- Counts the tasks that match, a portion of them.
--
-- KEYS[1] -> the prefix
-- ARGV    -> where to begin or "", the filter as read_filter reads it
-- Returns    where to go on or -1, how many matched

local from = tonumber(arg())
local filter = read_filter()
local n = 0
local following = walk(filter, from, false, 2000, function()
  n = n + 1
  return false
end)
return { following and following >= 0 and following or -1, n }
