-- The memos of a task.
--
-- KEYS[1] -> the prefix
-- ARGV    -> id
-- Returns    key, "N value" …, in no order

return call('HGETALL', P .. 'memo:' .. arg())
