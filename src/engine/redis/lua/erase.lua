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

-- Removes neighbours of which there is no more to know than their records, as a purge does by the million.
local function erase_fresh(list)
  local ids, of_page = {}, {}
  for i, t in ipairs(list) do
    ids[i] = t.id
    count(t, 'p', -1)
    mark(of_status.p, t.seq, 0)
    mark(P .. 'of:' .. t.queue .. ':', t.seq, 0)
    local page = floor(t.seq / PAGE)
    of_page[page] = of_page[page] or {}
    collect(of_page, page, t.seq % PAGE)
    tasks[t.id], raw[t.id] = false, false
  end
  many('HDEL', TASK, ids)
  for page, places in pairs(of_page) do
    local key = P .. 'ids:' .. text(page)
    if #places < PAGE then
      for _, place in ipairs(places) do call('LSET', key, place, '') end
    end
    pages[page] = nil
    local left = #places < PAGE and call('LRANGE', key, 0, -1) or {}
    local empty = #places == PAGE or #left == PAGE
    for _, id in ipairs(left) do empty = empty and id == '' end
    if empty then call('DEL', key) end
  end
end
