-- Changes tasks by their ids, or a portion of those that match a filter, in push order, and tells a portion of their dependents.
--
-- KEYS[1] -> the prefix
-- ARGV    -> "cancel", "retry", "delete" or "reprioritise"; the reason, the priority or "";
--            "ids", how many, those; or "filter", where to begin or "", the filter as read_filter reads it
-- Returns    by ids: for each "done"; "unknown"; or "refused", then its state and who is in the way or ""
--            by filter: where to go on or -1, the ids that were changed

local change, value, by = arg(), arg(), arg()
if moved and change ~= 'delete' then return refusal() end
if by == 'ids' then
  local results = {}
  for _ = 1, tonumber(arg()) do
    local t = load(arg())
    if not t then
      results[#results + 1] = { 'unknown' }
    else
      local fine, holder = revise(t, change, value)
      results[#results + 1] = fine and { 'done' } or { 'refused', t.status, holder or '' }
    end
  end
  if change ~= 'delete' then drain_cascades(250) end
  flush()
  return results
end

local from = tonumber(arg())
local filter = read_filter()
local matching = {}
local following = walk(filter, from, true, 2000, function(t)
  matching[#matching + 1] = t
  return #matching >= 250
end)
local changed, fresh_ones = {}, {}
-- A broker that delivers may have copies.
local goes_the_short_way = change == 'delete' and call('EXISTS', P .. 'copies') == 0
for _, t in ipairs(matching) do
  if goes_the_short_way and t.is_fresh and not t.dirty then
    fresh_ones[#fresh_ones + 1] = t
    changed[#changed + 1] = t.id
  elseif revise(t, change, value) then
    changed[#changed + 1] = t.id
  end
end
erase_fresh(fresh_ones)
if change ~= 'delete' then drain_cascades(250) end
flush()
return { following or -1, changed }
