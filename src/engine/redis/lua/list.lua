-- A page of the tasks that match, newest first, without results.
--
-- KEYS[1] -> the prefix
-- ARGV    -> limit, where to begin or "", the filter as read_filter reads it
-- Returns    where the next page begins or -1; tasks as tell_task tells them

local limit, from = tonumber(arg()), tonumber(arg())
local filter = read_filter()
local page, n = {}, 0
local following = walk(filter, from, false, 2000, function(t)
  tell_task(page, t.id, false)
  n = n + 1
  return n >= limit
end)
return { following and following >= 0 and following or -1, page }
