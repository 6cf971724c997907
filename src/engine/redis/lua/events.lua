-- Every event that is kept.
--
-- KEYS[1] -> the prefix
-- Returns    name or name, line feed, key; then number, time …: of each log

local found = {}
for _, log in ipairs(call('SMEMBERS', P .. 'eventnames')) do
  found[#found + 1] = log
  found[#found + 1] = call('ZRANGE', P .. 'event:' .. log, 0, -1, 'WITHSCORES')
end
return found
