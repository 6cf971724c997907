-- What becomes of a worker's leases. Needs base.lua and life.lua.

local function worker_key(worker)
  return P .. 'worker:' .. worker
end

-- Gives back every lease of the worker that `keeps` does not want kept.
local function give_back(worker, keeps)
  for _, t in ipairs(in_order_of(call('SMEMBERS', P .. 'leases:' .. worker))) do
    if t.status ~= 'r' or t.worker ~= worker then
      call('SREM', P .. 'leases:' .. worker, t.seq)
    elseif not (keeps and keeps(t)) then
      become_pending(t)
    end
  end
end

local function forget(worker)
  call('DEL', worker_key(worker), P .. 'notices:' .. worker, P .. 'bell:' .. worker, P .. 'leases:' .. worker)
  call('HDEL', P .. 'beats', worker)
  call('HDEL', P .. 'audience', worker)
  call('ZREM', P .. 'alive', worker)
end
