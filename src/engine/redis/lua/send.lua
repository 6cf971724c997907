-- Stores an event and wakes every task that waits for it; of very many, the first at once.
--
-- KEYS[1] -> the prefix
-- ARGV    -> name, "" or "=" and the key, payload
-- Returns    how many woke

if moved then return refusal() end

local name, key, payload = arg(), arg(), arg()
local number = call('HINCRBY', FACT, 'event', 1)
-- Of one millisecond in their order: equal scores are sorted as texts.
local member = string.format('%015.0f', number)
local function keep(log)
  call('ZADD', P .. 'event:' .. log, now, member)
  call('SADD', P .. 'eventnames', log)
  call('ZADD', P .. 'eventages', 'NX', now, log)
end
keep(name)
if key ~= '' then keep(name .. '\n' .. string.sub(key, 2)) end
call('HSET', P .. 'payload', member, payload)

-- Those for whom a script has no time fall due: whoever brings forward what is due finds that their event has arrived.
local most_at_once = 500
local ids, others = {}, {}
local waiting = call('HGETALL', P .. 'waiting:' .. name)
for i = 1, #waiting, 2 do
  if waiting[i + 1] == '' or waiting[i + 1] == key then
    if #ids < most_at_once then
      ids[#ids + 1] = waiting[i]
    else
      others[#others + 1], others[#others + 2] = now, waiting[i]
    end
  end
end
local woken = #others / 2
for _, t in ipairs(in_order(ids)) do
  if t.status == 'w' then
    local x = extra(t)
    wake(t, eat(t, arrived(t, x.we, x.wk) or member))
    woken = woken + 1
  end
end
many('ZADD', P .. 'due', others)
flush()
return woken
