-- Marks the store as one whose tasks move away, or opens it again.
--
-- KEYS[1] -> the prefix
-- ARGV    -> where to, as JSON, or ""
-- Returns    nothing

local mark = arg()
if mark == '' then call('DEL', P .. 'moved') else call('SET', P .. 'moved', mark) end
-- Whoever sleeps hears of it with the next claim.
for _, queue in ipairs(call('HKEYS', P .. 'depth')) do call('ZADD', P .. 'wake:' .. string.match(queue, '^%S+'), 0, '') end
call('ZADD', P .. 'wake:*', 0, '')
return 0
