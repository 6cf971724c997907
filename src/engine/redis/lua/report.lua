-- News of a run while it lasts, fenced like its end.
--
-- KEYS[1] -> the prefix
-- ARGV    -> id, epoch, worker, how many notes, each: "p", fraction, "" or "=" and the message; "m", key, value; or "o" and one
--            piece of output as keep_output reads it
-- Returns    "ok" or "lost"

local id, epoch, worker = arg(), tonumber(arg()), arg()
local t = load(id)
if not t or t.status ~= 'r' or t.epoch ~= epoch or t.worker ~= worker then return 'lost' end
for _ = 1, tonumber(arg()) do
  local kind = arg()
  if kind == 'm' then
    store_memo(t, arg(), arg())
  elseif kind == 'p' then
    set(t, 'pg', arg())
    local message = arg()
    set(t, 'pm', message ~= '' and message or nil)
  else
    keep_output(t, epoch, t.retry + t.crashes + 1)
  end
end
flush()
return 'ok'
