-- Notes that the broker has copies.
--
-- KEYS[1] -> the prefix
-- ARGV    -> how many, each: the task, the number of the copy

for _ = 1, tonumber(arg()) do
  local id, copy = arg(), arg()
  if call('HGET', P .. 'copies', id) == copy and call('ZREM', P .. 'unconfirmed', id) == 0 then
    -- Given back, and with it the copy: there is no other to send.
    local t = load(id)
    if t and t.status == 'p' and not t.parked then
      leave_ready(t)
      call('ZADD', P .. 'sent:' .. t.queue, now, id)
    end
  end
end
flush()
