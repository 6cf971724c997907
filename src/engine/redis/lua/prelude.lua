-- Before every script.
local call = redis.call
local P = KEYS[1]

-- The arguments one after the other.
local at = 0
local function arg()
  at = at + 1
  return ARGV[at]
end
