-- Tasks as they are told to who looks. Needs base.lua.

-- id, record, status, epoch, priority, retries, crashes, worker, started, finished, reason, exit code, length of the result (each
-- "" where it has none), the result or 0, fields of x or 0, failures, edges to its parents, and the front of its serial key or "".
local function tell_task(found, id, with_result)
  local fixed = call('HGET', TASK, id)
  local t = fixed and load(id)
  if not t then
    found[#found + 1] = 0
    return nil
  end
  local result = 0
  if with_result and t.length then result = t.result or call('HGET', P .. 'result', id) or '' end
  local edges, front = {}, ''
  if t.extra then
    local all = call('HGETALL', P .. 'deps:' .. id)
    for i = 1, #all, 2 do
      if call('ZSCORE', P .. 'kids:' .. all[i], id) then
        edges[#edges + 1] = all[i]
        edges[#edges + 1] = all[i + 1]
      end
    end
    if t.parked then front = call('HGET', P .. 'serial', extra(t).sk) or '' end
  end
  found[#found + 1] = {
    id, fixed, t.status, t.epoch, t.priority, t.retry, t.crashes, t.worker or '', t.startedAt or '', t.finishedAt or '',
    t.reason or '', t.exit or '', t.length or '', result, t.extra and call('HGETALL', x_key(t)) or 0,
    t.extra and call('LRANGE', P .. 'failures:' .. id, 0, -1) or {}, edges, front, t.reason and 1 or 0,
  }
  return t
end
