-- The tasks with these ids.
--
-- KEYS[1] -> the prefix
-- ARGV    -> how many, their ids
-- Returns    one for each, as tell_task tells it; 0 where there is none

local found = {}
for i = 1, tonumber(ARGV[1]) do tell_task(found, ARGV[i + 1], true) end
return found
