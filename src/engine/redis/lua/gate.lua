-- Whether the tasks of this store are moving away, or have: then it takes nothing new. Scripts that would, refuse.
local moved = call('GET', P .. 'moved')

local function refusal()
  return redis.error_reply('TQMOVED ' .. moved)
end
