-- The moments in a task's life that touch more than its own state: when it may run, when it has to wait, and when it ends; and
-- the cascade that tells children about their parents. Needs base.lua.

-- Puts a task among the ready of its level, where its push order places it.
local function make_ready(t)
  local level = t.priority .. ' ' .. t.queue
  call('ZADD', P .. 'back:' .. t.priority .. ':' .. t.queue, t.seq, t.seq)
  call('ZADD', P .. 'ready', t.priority, level)
  ring(t.queue)
end

-- What is left of it in `fifo` is passed over when its turn comes.
local function leave_ready(t)
  call('ZREM', P .. 'back:' .. t.priority .. ':' .. t.queue, t.seq)
end

local function release(t)
  if not t.worker then return end
  collect(released, t.worker, text(t.seq))
  t.worker, t.started = nil, false
end

-- Whether the task is the front of its serial key, or becomes it now.
local function is_front(key, t)
  if call('HSETNX', P .. 'serial', key, t.id) == 1 then return true end
  return call('HGET', P .. 'serial', key) == t.id
end

-- The task is done with its serial key: if it was the front, the next one comes forward.
local function leave_serial(key, t)
  if call('HGET', P .. 'serial', key) ~= t.id then return end
  local parked = P .. 'parked:' .. key
  while true do
    local id = call('ZRANGE', parked, 0, 0)[1]
    if not id then
      call('HDEL', P .. 'serial', key)
      return
    end
    call('ZREM', parked, id)
    local following = load(id)
    if following and following.status == 'p' and following.parked then
      call('HSET', P .. 'serial', key, id)
      following.parked = false
      save(following)
      make_ready(following)
      return
    end
  end
end

-- Makes a task pending. Of those with one serial key the first becomes the front and keeps that place until it ends, retries
-- and waits included; the others are parked. One that has begun only goes on: that it was to start in time counts no more.
local function become_pending(t, has_begun)
  local x = extra(t)
  release(t)
  if x then
    if x.due then
      call('ZREM', P .. 'due', t.id)
      set(t, 'due', nil)
    end
    if x.exp and not has_begun then call('ZADD', P .. 'late', x.exp, t.id) end
    if x.sk and not is_front(x.sk, t) then
      t.parked = true
      call('ZADD', P .. 'parked:' .. x.sk, t.seq, t.id)
    end
  end
  shift(t, 'p')
  if not t.parked then make_ready(t) end
end

-- Whoever sleeps until the next due time must hear of an earlier one.
local function put_due(t, at)
  local first = call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')[2]
  call('ZADD', P .. 'due', at, t.id)
  set(t, 'due', at)
  if not first or at < tonumber(first) then ring(t.queue) end
end

local function become_scheduled(t, at)
  release(t)
  put_due(t, at)
  local x = extra(t)
  if x.exp then call('ZADD', P .. 'late', x.exp, t.id) end
  shift(t, 's')
end

-- Who holds a unique key; one that nobody holds any more is let go on the way.
local function holder_of(key)
  local id = call('HGET', P .. 'unique', key)
  if not id then return nil end
  local t = load(id)
  if t and (not is_end(t.status) or (x_number(t, 'uu') or 0) > now) then return id end
  call('HDEL', P .. 'unique', key)
end

-- The task other than this one that holds its unique key.
local function holder_in_the_way(t)
  local x = extra(t)
  local holder = x and x.uk and holder_of(x.uk)
  return holder and holder ~= t.id and holder or nil
end

-- Makes an ended task wait for parents again; it holds its unique key as before.
local function become_blocked(t, blockers)
  local x = extra(t)
  set(t, 'bl', blockers)
  if x.exp then call('ZADD', P .. 'late', x.exp, t.id) end
  if x.uk then call('HSET', P .. 'unique', x.uk, t.id) end
  t.reason, t.finishedAt = nil, nil
  shift(t, 'b')
end

-- Children hear the parent's latest news only; what an earlier cascade had not told them yet is obsolete. One thing is not: a
-- parent may complete before all its children have heard that it was retried, and those must be revived first ("rc").
local function start_cascade(t, news)
  local before = call('HGET', P .. 'news', t.id)
  if before and news == 'c' and string.sub(before, 1, 1) == 'r' then news = 'rc' end
  call('HSET', P .. 'news', t.id, news .. ' -1 ' .. t.id)
  call('ZADD', P .. 'cascade', t.seq, t.id)
end

local function set_unserved(t, is)
  local x = extra(t)
  local was = x ~= nil and x.un ~= nil
  if was == is then return end
  set(t, 'un', is and 1 or nil)
  local field = t.queue .. ' unserved'
  if call('HINCRBY', P .. 'depth', field, is and 1 or -1) == 0 then call('HDEL', P .. 'depth', field) end
end

-- The end of a task with all its bookkeeping: nothing of it is due or late any more, its unique key is let go, the next of its
-- serial key comes forward, its children are to be told. The caller has set what the end leaves: reason, result.
local function finish(t, to)
  local x = extra(t)
  if t.status == 'p' and not t.parked then leave_ready(t) end
  release(t)
  if x then
    if x.due then
      call('ZREM', P .. 'due', t.id)
      set(t, 'due', nil)
    end
    if x.exp then call('ZREM', P .. 'late', t.id) end
    if x.uk and (tonumber(x.uu) or 0) <= now and call('HGET', P .. 'unique', x.uk) == t.id then
      call('HDEL', P .. 'unique', x.uk)
    end
    if x.we then
      call('HDEL', P .. 'waiting:' .. x.we, t.id)
      set(t, 'we', nil)
    end
    set_unserved(t, false)
    if t.parked then call('ZREM', P .. 'parked:' .. x.sk, t.id) end
  end
  t.parked = false
  t.finishedAt = now
  shift(t, to)
  note_end(to, t.queue, text(t.seq))
  if x and x.sk then leave_serial(x.sk, t) end
  if t.kids then start_cascade(t, to == 'c' and 'c' or 'n') end
end

local function cancel(t, reason)
  t.reason = reason
  finish(t, 'x')
end

-- The edges to its parents: parent, edge, parent, edge … Many parents in a row may ask the same child.
local function edges_of(t)
  t.edges = t.edges or call('HGETALL', P .. 'deps:' .. t.id)
  return t.edges
end

local function set_edge(t, parent, edge)
  call('HSET', P .. 'deps:' .. t.id, parent, edge)
  t.edges = nil
end

-- Counts how a task stands with its parents. One that was removed counts no more, and what it has not told yet is of no interest
-- any more; not so the one that has just told of its end. Returns how many are open, or nil and one that has ended otherwise than
-- the task needs.
local function open_parents(t, teller)
  local open, edges = 0, edges_of(t)
  -- Where one was found before, there may be one again: with ten thousand parents a search is long.
  local n, from = #edges / 2, t.dead_at or 0
  for k = 0, n - 1 do
    local place = (from + k) % n
    local id, edge = edges[2 * place + 1], edges[2 * place + 2]
    local is_open = string.sub(edge, 2, 2) == '0'
    if is_open and id == teller then
      open = open + 1
    elseif is_open and not call('ZSCORE', P .. 'kids:' .. id, t.id) then
      call('HDEL', P .. 'deps:' .. t.id, id)
    elseif is_open then
      local parent = load(id)
      local ended_badly = parent and (parent.status == 'f' or parent.status == 'x')
      if ended_badly and string.sub(edge, 1, 1) == 'C' then
        t.dead_at = place
        return nil, id
      end
      if parent then open = open + 1 end
    end
  end
  return open
end

local function revive(t, teller)
  if t.status ~= 'x' or t.reason ~= 'parent' then return end
  if holder_in_the_way(t) then return end
  local open = open_parents(t, teller)
  if not open or open == 0 then return end
  become_blocked(t, open)
  if t.kids then start_cascade(t, 'r') end
end

local function satisfy(t, parent, edge)
  set_edge(t, parent, string.sub(edge, 1, 1) .. '1' .. string.sub(edge, 3))
  local blockers = x_number(t, 'bl') or 0
  if t.status ~= 'b' or blockers <= 0 then return end
  set(t, 'bl', blockers - 1)
  if blockers > 1 then return end
  local run = not t.startedAt and x_number(t, 'run')
  if run and run > now then become_scheduled(t, run) else become_pending(t, t.startedAt ~= nil) end
end

local function tell(t, parent, edge, news)
  if news == 'r' or news == 'rc' then revive(t, parent) end
  if news == 'c' or news == 'rc' or (news == 'n' and string.sub(edge, 1, 1) == 'E') then
    satisfy(t, parent, edge)
  elseif news == 'n' and t.status == 'b' then
    cancel(t, 'parent')
  end
end

-- Tells up to `limit` children of one list. Returns how many.
local function drain_portion(list, limit)
  local seen = call('HGET', P .. 'news', list)
  local news, cursor, parent = string.match(seen or '', '^(%l+) (%-?%d+) (.*)$')
  local key = P .. 'kids:' .. list
  local kids = news and call('ZRANGEBYSCORE', key, '(' .. cursor, '+inf', 'WITHSCORES', 'LIMIT', 0, limit) or {}
  local told = #kids / 2
  local is_orphaned = string.sub(list, 1, 1) == '#'
  for i = 1, #kids, 2 do
    local t = load(kids[i])
    local edge = t and call('HGET', P .. 'deps:' .. t.id, parent)
    if edge and string.sub(edge, 2, 2) == '0' then tell(t, parent, edge, news) end
    if edge and is_orphaned then
      call('HDEL', P .. 'deps:' .. t.id, parent)
      t.edges = nil
    end
  end
  if told < limit then
    call('ZREM', P .. 'cascade', list)
    call('HDEL', P .. 'news', list)
    if is_orphaned then call('DEL', key) end
  else
    call('HSET', P .. 'news', list, news .. ' ' .. kids[#kids] .. ' ' .. parent)
  end
  return told
end

-- Drains up to `limit` children, and lists. Returns whether there are more.
local function drain_cascades(limit)
  while true do
    local list = call('ZRANGE', P .. 'cascade', 0, 0)[1]
    if not list then return false end
    if limit <= 0 then return true end
    limit = limit - math.max(1, drain_portion(list, limit))
  end
end

local function store_memo(t, key, value)
  local memo = P .. 'memo:' .. t.id
  local before = call('HGET', memo, key)
  local n = before and string.match(before, '^%d+') or call('HLEN', memo)
  call('HSET', memo, key, n .. ' ' .. value)
end

-- The first event since the task was pushed that it has not consumed yet. A producer's clock may run ahead of the server's: what came
-- since the run began counts in any case.
local function arrived(t, event, key)
  local created = string.match(call('HGET', TASK, t.id), '^%S+ %S+ %S+ (%d+)')
  local since = math.min(tonumber(created) or 0, t.startedAt or math.huge)
  local log = P .. 'event:' .. event .. (key == '' and '' or '\n' .. string.sub(key, 2))
  local from = 0
  while true do
    local numbers = call('ZRANGEBYSCORE', log, since, '+inf', 'LIMIT', from, 100)
    for _, number in ipairs(numbers) do
      if call('SISMEMBER', P .. 'eaten:' .. t.id, number) == 0 then return number end
    end
    if #numbers < 100 then return nil end
    from = from + 100
  end
end

-- Returns what the task's memo says of the event.
local function eat(t, number)
  call('SADD', P .. 'eaten:' .. t.id, number)
  return '{"event":' .. call('HGET', P .. 'payload', number) .. '}'
end

-- Ends the wait of a task for an event.
local function wake(t, memo_value)
  local x = extra(t)
  store_memo(t, x.wm, memo_value)
  call('HDEL', P .. 'waiting:' .. x.we, t.id)
  set(t, 'we', nil)
  set(t, 'wk', nil)
  set(t, 'wm', nil)
  set(t, 'run', nil)
  become_pending(t, true)
end

local function by_seq(a, b)
  return a.seq < b.seq
end

-- The tasks with these ids, in push order.
local function in_order(ids)
  local found = {}
  for _, id in ipairs(ids) do
    local t = id and load(id)
    if t then found[#found + 1] = t end
  end
  table.sort(found, by_seq)
  return found
end

-- The same of SEQs.
local function in_order_of(seqs)
  local ids = {}
  for i, seq in ipairs(seqs) do ids[i] = id_of(tonumber(seq) or -1) or false end
  return in_order(ids)
end

-- Brings forward up to `limit` tasks that are due. Returns whether there may be more.
local function promote_due(limit)
  local due = call('ZRANGEBYSCORE', P .. 'due', '-inf', now, 'LIMIT', 0, limit)
  if #due == 0 then return false end
  -- Those with one serial key come forward in push order, also when they fall due together.
  for _, t in ipairs(in_order(due)) do
    if t.status == 'w' then
      -- It may be one of too many for the script that stored the event (send.lua).
      local x = extra(t)
      local number = arrived(t, x.we, x.wk)
      wake(t, number and eat(t, number) or '{"timeout":true}')
    elseif t.status == 's' then
      become_pending(t)
    end
  end
  -- What is left of removed tasks goes too.
  many('ZREM', P .. 'due', due)
  return #due == limit
end

-- Cancels up to `limit` tasks that were not started in time. Returns whether there may be more.
local function expire_late(limit)
  local late = call('ZRANGEBYSCORE', P .. 'late', '-inf', now, 'LIMIT', 0, limit)
  if #late == 0 then return false end
  for _, t in ipairs(in_order(late)) do
    if not is_end(t.status) and t.status ~= 'r' then cancel(t, 'expired') end
  end
  many('ZREM', P .. 'late', late)
  return #late == limit
end

-- Milliseconds until the next due time, or -1.
local function until_due()
  local first = call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')[2]
  return first and math.max(0, first - now) or -1
end
