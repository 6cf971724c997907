-- The worker is gone for good, by its own will: its leases go back uncharged.
--
-- KEYS[1] -> the prefix
-- ARGV    -> id, session
-- Returns    nothing

local worker, session = arg(), arg()
if standing_of(worker, session) ~= 'superseded' then
  give_back(worker)
  flush()
  forget(worker)
end
return 0
