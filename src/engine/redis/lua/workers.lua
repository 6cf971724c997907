-- Workers believed alive: those that have beaten within a quarter of a minute.
--
-- KEYS[1] -> the prefix
-- Returns    info, milliseconds since its last beat … of each

local found = {}
for _, worker in ipairs(call('ZRANGEBYSCORE', P .. 'alive', now - 15000, '+inf')) do
  local info, at_ = unpack(call('HMGET', P .. 'worker:' .. worker, 'info', 'at'))
  if info then
    found[#found + 1] = info
    found[#found + 1] = math.max(0, now - (tonumber(at_) or now))
  end
end
return found
