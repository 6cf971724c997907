-- Removing tasks. Needs base.lua and life.lua.

-- Removes a task and everything that hangs on it. Returns how many bytes of results and logs went with it.
local function erase(t)
  local id, x = t.id, extra(t)
  local kept = (t.length or 0) + (x_number(t, 'out') or 0)
  bytes = bytes - kept
  if t.status == 'p' and not t.parked then leave_ready(t) end
  if call('HDEL', P .. 'copies', id) == 1 then
    call('ZREM', P .. 'sent:' .. t.queue, id)
    call('ZREM', P .. 'unconfirmed', id)
  end
  if t.kids then
    -- What it has not told its children yet is told under another name: its own may be used again.
    local orphaned = '#' .. text(t.seq)
    local news = call('HGET', P .. 'news', id)
    if news then
      call('HSET', P .. 'news', orphaned, news)
      call('ZADD', P .. 'cascade', t.seq, orphaned)
      call('ZREM', P .. 'cascade', id)
      call('HDEL', P .. 'news', id)
      if call('EXISTS', P .. 'kids:' .. id) == 1 then call('RENAME', P .. 'kids:' .. id, P .. 'kids:' .. orphaned) end
    else
      call('UNLINK', P .. 'kids:' .. id)
    end
  end
  if x then
    local edges = call('HKEYS', P .. 'deps:' .. id)
    for _, parent in ipairs(edges) do call('ZREM', P .. 'kids:' .. parent, id) end
    if x.exp then call('ZREM', P .. 'late', id) end
    if x.due then call('ZREM', P .. 'due', id) end
    if x.we then call('HDEL', P .. 'waiting:' .. x.we, id) end
    if x.uk and call('HGET', P .. 'unique', x.uk) == id then call('HDEL', P .. 'unique', x.uk) end
    if x.sk then
      call('ZREM', P .. 'parked:' .. x.sk, id)
      leave_serial(x.sk, t)
    end
    set_unserved(t, false)
    call('UNLINK', x_key(t), P .. 'failures:' .. id, P .. 'out:' .. id, P .. 'deps:' .. id)
  end
  -- Memos and eaten events come with state only.
  if t.epoch > 0 then call('UNLINK', P .. 'memo:' .. id, P .. 'eaten:' .. id) end
  if t.length and not t.result then call('HDEL', P .. 'result', id) end
  call('HDEL', TASK, id)
  call('HDEL', STATE, id)
  count(t, t.status, -1)
  mark(of_status[t.status], t.seq, 0)
  mark(P .. 'of:' .. t.queue .. ':', t.seq, 0)
  -- What somebody else wrote may have no place.
  if id_of(t.seq) ~= id then
    tasks[id], raw[id] = false, false
    t.dirty = nil
    return kept
  end
  local page = floor(t.seq / PAGE)
  local list = P .. 'ids:' .. text(page)
  call('LSET', list, t.seq % PAGE, '')
  pages[page] = nil
  -- A page that is full and has lost all its tasks is of no more use.
  if t.seq % PAGE == PAGE - 1 or t.seq % PAGE == 0 or call('LINDEX', list, -1) == '' then
    local ids = call('LRANGE', list, 0, -1)
    local empty = #ids == PAGE
    for _, other in ipairs(ids) do empty = empty and other == '' end
    if empty then call('DEL', list) end
  end
  t.dirty = nil
  tasks[id], raw[id] = false, false
  return kept
end
