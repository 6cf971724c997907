-- The data model, and what every script needs of it. scripts.ts puts this text before each script that writes or reads tasks;
-- Redis has no includes. `call`, `P` (the prefix of all keys), `now` and `arg` come from prelude.lua.
--
-- All keys begin with P = `{NAMESPACE}:`, one hash slot of a cluster.
--
-- One task
--   task         hash    id -> what the push fixed: "SEQ PRIORITY QUEUE CREATED NAME =LABEL\nBODY". SEQ is push order. Lua
--                        reads the first line only; the body is never decoded.
--   state        hash    id -> what runs change, a msgpack sequence (see `encode`). None: pending, never claimed, nothing
--                        more to know of it. Three of four queued tasks have none.
--   x:ID         hash    what few tasks have, see "Fields of x" below
--   result       hash    id -> a result too long for the state
--   failures:ID  list    JSON of the last ten failures
--   memo:ID      hash    key -> "N value", N counting in the order of first storing
--   eaten:ID     set     numbers of the events that the task has consumed
--   out:ID       stream  e(poch) a(ttempt) s(tream) o(ffset) t(ime) d(ata)
--   deps:ID      hash    parent's id -> "C0SEQ" or "E1SEQ": needs C(ompletion) or any E(nd); satisfied or not; parent's SEQ
--   kids:ID      zset    children by SEQ. Without the child in it, an entry of deps counts no more: the parent is gone.
--
-- Finding tasks
--   ids:N             list    the ids of SEQ 64N .. 64N+63; "" where it was removed
--   is:STATUS:C       bitmap  which of SEQ 65536C .. have that status
--   of:QUEUE:C        bitmap  which are in that queue
--   depth             hash    "QUEUE STATUS PRIORITY" -> how many; "QUEUE unserved" -> how many
--   ready             zset    "PRIORITY QUEUE" by PRIORITY: where something may be ready
--   fifo:PRIORITY:QUEUE  list  SEQs as they were pushed; back:PRIORITY:QUEUE  zset  those that came later, by SEQ.
--                     An entry counts if its task is pending, not parked, and of that priority; else it is left over.
--                     (One zset for all would cost 120 bytes a task, and a list 6.)
--   due, late         zset    id by when it is to be promoted, and by when it expires
--   ended:STATUS:QUEUE  list  "SEQ FINISHED" in the order of the ends; spared:STATUS:QUEUE  zset  the same by FINISHED, of tasks
--                     that could not be pruned when it was their turn
--   unique            hash    key -> id of its holder
--   serial            hash    key -> id of its front; parked:KEY  zset  ids that wait behind it, by SEQ
--   waiting:EVENT     hash    id -> "=KEY" or ""
--   cascade           zset    kids lists to be told, by SEQ of the parent; news  hash  list -> "NEWS CURSOR PARENT". A parent that
--                     was removed leaves its list under another name, "#SEQ".
--
-- Workers
--   beats        hash    id -> how often it has beaten
--   worker:ID    hash    session, status, at (its last beat), name, info, drain; of a dead one, what it was doing (was)
--                        and how often it had beaten (beats)
--   leases:ID    set     ids of the tasks leased to it
--   notices:ID   list    "EPOCH TASK" of cancelled runs that it is to kill
--   dead         zset    id by its death
--   audience     hash    id -> what it serves, JSON; alive  zset  id by its last beat
--   bell:ID      zset    something waits for this worker: an order, or it was told to stop waiting
--   wake:QUEUE   zset    something in the queue waits for a worker; wake:*  the same of any queue. One member, however much
--                        there is: whoever takes it claims, and a claim that leaves something puts it back.
--
-- The rest
--   event:NAME, event:NAME\nKEY  zset  numbers of events by time; payload  hash  number -> payload; eventnames  set
--   cron:NAME    hash    revision spec next paused lastTick lastTasks skipped; crons  set; crondue  zset  by next
--   paused       set     queues
--   fact         hash    seq, event (numbers given out), bytes (of kept output), quarantined, low (first chunk of bitmaps)
--   moved        string  JSON: where the tasks of this store are moving, or were moved
--   inbox:QUEUE  list    documents of strangers; refused:QUEUE  list  those that are no tasks;
--                refusals  set  queues that have had any
--
-- Fields of x
--   run  when it was to run      due  when it is promoted     exp  expires       uk uu  unique key, held until
--   sk   serial key              bl   parents not ended       fr fs  flow run and step
--   pg pm  progress, its message pp   postponements           ty   tally         un   given back as unserved
--   fc   failures counted        fl   full length of a result out on  bytes of output, pieces numbered
--   we wk wm  event waited for, its "=KEY", the memo to write

local TASK, STATE, FACT = P .. 'task', P .. 'state', P .. 'fact'
local PAGE, CHUNK = 64, 65536
-- A result longer than this lives in `result`, so that a look at the state stays cheap.
local INLINE = 512

local function many(command, key, list)
  local n = #list
  for i = 1, n, 1000 do call(command, key, unpack(list, i, math.min(i + 999, n))) end
end

-- Everything below collects changes; `flush` writes them, many tasks in one command.
local tasks = {} -- id -> task, or false where there is none
local dirty = {}
local depth = {} -- queue -> status -> priority -> by how many more
local marks = {} -- bitmap -> BITFIELD operations
local leased, released = {}, {} -- worker -> ids
local appended = {} -- list -> values
local rung = {} -- queue -> true
local bytes = 0

local function save(t)
  if not t.dirty then
    t.dirty = true
    dirty[#dirty + 1] = t
  end
end

local function append(list, value)
  local values = appended[list]
  if not values then
    values = {}
    appended[list] = values
  end
  values[#values + 1] = value
end

-- A run of neighbours is one operation.
local function close_run(m)
  local n = #m
  m[n + 1], m[n + 2], m[n + 3] = 'SET', 'u' .. m.length, m.start
  m[n + 4] = m.value == 1 and 2 ^ m.length - 1 or 0
end

local function mark(bitmap, seq, value)
  local key = bitmap .. math.floor(seq / CHUNK)
  local at = seq % CHUNK
  local m = marks[key]
  if not m then
    marks[key] = { start = at, length = 1, value = value }
  elseif m.value == value and at == m.start + m.length and m.length < 32 then
    m.length = m.length + 1
  else
    close_run(m)
    m.start, m.length, m.value = at, 1, value
  end
end

local function count(t, status, by)
  local q = depth[t.queue]
  if not q then
    q = {}
    depth[t.queue] = q
  end
  local s = q[status]
  if not s then
    s = {}
    q[status] = s
  end
  s[t.priority] = (s[t.priority] or 0) + by
end

-- Moves a task from one state to another, in every index of states.
local function shift(t, to)
  count(t, t.status, -1)
  count(t, to, 1)
  mark(P .. 'is:' .. t.status .. ':', t.seq, 0)
  mark(P .. 'is:' .. to .. ':', t.seq, 1)
  t.status = to
  save(t)
end

local function encode(t)
  return cmsgpack.pack(t.status, t.extra, t.kids, t.parked, t.started, t.epoch, t.retry, t.crashes, t.priority, t.seq, t.queue,
    t.worker, t.startedAt, t.finishedAt, t.reason, t.exit, t.length, t.result)
end

local function decode(id, text)
  local t = { id = id }
  local fine
  fine, t.status, t.extra, t.kids, t.parked, t.started, t.epoch, t.retry, t.crashes, t.priority, t.seq, t.queue, t.worker,
    t.startedAt, t.finishedAt, t.reason, t.exit, t.length, t.result = pcall(cmsgpack.unpack, text)
  if fine and type(t.seq) == 'number' and type(t.queue) == 'string' and type(t.priority) == 'number' then return t end
end

-- A task that has no state yet.
local function fresh(id, fixed)
  local seq, priority, queue = string.match(fixed, '^(%d+) (%d+) (%S+) ')
  if not seq then return nil end
  return {
    id = id, status = 'p', extra = false, kids = false, parked = false, started = false, epoch = 0, retry = 0, crashes = 0,
    priority = tonumber(priority), seq = tonumber(seq), queue = queue,
  }
end

-- What somebody else wrote there is left alone and counted; nothing stops for its sake.
local function quarantine(id)
  call('HINCRBY', FACT, 'quarantined', 1)
  tasks[id] = false
  return false
end

local function load(id)
  local t = tasks[id]
  if t ~= nil then return t end
  local state = call('HGET', STATE, id)
  if state then
    t = decode(id, state)
  else
    local fixed = call('HGET', TASK, id)
    if not fixed then
      tasks[id] = false
      return false
    end
    t = fresh(id, fixed)
  end
  if not t then return quarantine(id) end
  tasks[id] = t
  return t
end

local function is_end(status)
  return status == 'c' or status == 'f' or status == 'x'
end

local function text(number)
  return string.format('%.0f', number)
end

local function x_key(t)
  return P .. 'x:' .. t.id
end

-- The fields of x, or nil where it has none.
local function extra(t)
  if not t.extra then return nil end
  if not t.x then
    t.x = {}
    local flat = call('HGETALL', x_key(t))
    for i = 1, #flat, 2 do t.x[flat[i]] = flat[i + 1] end
  end
  return t.x
end

-- Sets one field of x; nil removes it.
local function set(t, field, value)
  if type(value) == 'number' then value = text(value) end
  if not t.extra then
    if value == nil then return end
    t.extra, t.x = true, {}
    save(t)
  end
  local x = extra(t)
  if x[field] == value then return end
  x[field] = value
  if value == nil then call('HDEL', x_key(t), field) else call('HSET', x_key(t), field, value) end
end

local function x_number(t, field)
  local x = extra(t)
  return x and tonumber(x[field])
end

-- When an instant is meant: "i500" (from now), "a1763000000000", or "".
local function instant(when)
  if when == '' then return nil end
  local value = tonumber(string.sub(when, 2))
  return string.sub(when, 1, 1) == 'i' and now + value or value
end

local function ring(queue)
  rung[queue] = true
end

local function bell(worker, why)
  call('ZADD', P .. 'bell:' .. worker, 0, why)
end

local pages = {}

local function id_of(seq)
  local page = math.floor(seq / PAGE)
  if not pages[page] then pages[page] = call('LRANGE', P .. 'ids:' .. page, 0, -1) end
  local id = pages[page][seq % PAGE + 1]
  return id ~= '' and id or nil
end

local function flush_lists()
  for list, values in pairs(appended) do many('RPUSH', list, values) end
  appended = {}
end

local function flush()
  local states = {}
  for _, t in ipairs(dirty) do
    if t.dirty then
      t.dirty = nil
      states[#states + 1] = t.id
      states[#states + 1] = encode(t)
    end
  end
  dirty = {}
  many('HSET', STATE, states)
  for worker, ids in pairs(released) do many('SREM', P .. 'leases:' .. worker, ids) end
  for worker, ids in pairs(leased) do many('SADD', P .. 'leases:' .. worker, ids) end
  released, leased = {}, {}
  flush_lists()
  for key, m in pairs(marks) do
    close_run(m)
    many('BITFIELD', key, m)
  end
  marks = {}
  for queue, statuses in pairs(depth) do
    for status, priorities in pairs(statuses) do
      for priority, by in pairs(priorities) do
        local field = queue .. ' ' .. status .. ' ' .. priority
        if by ~= 0 and call('HINCRBY', P .. 'depth', field, by) == 0 then call('HDEL', P .. 'depth', field) end
      end
    end
  end
  depth = {}
  if bytes ~= 0 then call('HINCRBY', FACT, 'bytes', bytes) end
  bytes = 0
  local any = false
  for queue in pairs(rung) do
    call('ZADD', P .. 'wake:' .. queue, 0, '')
    any = true
  end
  if any then call('ZADD', P .. 'wake:*', 0, '') end
  rung = {}
end
