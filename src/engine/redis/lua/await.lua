-- Whether a worker should look: for orders, or for work.
--
-- KEYS[1] -> the prefix
-- ARGV    -> id, how many queues, their names
-- Returns    "orders", "work" or "nothing"; milliseconds until something falls due, or -1

local worker = arg()
local status, drain = unpack(call('HMGET', P .. 'worker:' .. worker, 'status', 'drain'))
local ordered = status == 'dead' or (drain == '1' and status == 'running')
if ordered or call('EXISTS', P .. 'notices:' .. worker) == 1 then return { 'orders', -1 } end
local queues = tonumber(arg())
for _ = 1, queues do
  local queue = arg()
  if has_ready(queue) or (queue ~= '*' and has_documents(queue)) then return { 'work', -1 } end
end
local due = queues > 0 and until_due() or -1
return { due == 0 and 'work' or 'nothing', due }
