-- What the workers believed alive serve, alike ones once.
--
-- KEYS[1] -> the prefix
-- Returns    each as its worker wrote it

local alive = call('ZRANGEBYSCORE', P .. 'alive', now - 15000, '+inf')
local found, seen = {}, {}
if #alive == 0 then return found end
for i = 1, #alive, 1000 do
  for _, audience in ipairs(call('HMGET', P .. 'audience', unpack(alive, i, math.min(i + 999, #alive)))) do
    if audience and not seen[audience] then
      seen[audience] = true
      found[#found + 1] = audience
    end
  end
end
return found
