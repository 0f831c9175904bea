-- Reads what is pending in a group, and changes nothing.
-- ARGV 2 id to begin with  3 how many, at most  4 deliveries  5 idle ms: with so many and so long it may be dead
--      6 of how many the payload is looked for, at most
-- Returns nothing if there is no such group; else whether this was the last of it, and of each entry its id, its consumer, how
-- long it is idle, how often it was delivered, 0 not looked for, 1 whole, 2 trimmed, and its root.
local found = pending(ARGV[2], "+", ARGV[3])
if not found then return false end
local least, idle, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
-- What is below the first entry was trimmed. In between it may be gone only up to the last one that somebody deleted, which
-- Redis tells from 7.0 on.
local first, deleted = nil, last_of_all
local about = redis.pcall("XINFO", "STREAM", KEYS[1])
if not about.err then
  for at = 1, #about, 2 do
    if about[at] == "first-entry" and about[at + 1] then first = about[at + 1][1] end
    if about[at] == "max-deleted-entry-id" then deleted = about[at + 1] end
  end
end
local seen, looked, is_end = {}, 0, #found < tonumber(ARGV[3])
-- They come in their order: what one is above, all later ones are.
local is_before_first, is_up_to_deleted = true, true
for _, one in ipairs(found) do
  local id, payload, root = one[1], 0, ""
  is_before_first = is_before_first and (not first or is_below(id, first))
  is_up_to_deleted = is_up_to_deleted and not is_below(deleted, id)
  if is_before_first then
    payload, root = 2, root_of(id, nil)
  elseif is_up_to_deleted or (one[4] >= least and one[3] >= idle) then
    if looked == most then
      is_end = false
      break
    end
    looked = looked + 1
    local fields = fields_of(id)
    payload, root = fields and 1 or 2, root_of(id, fields)
  end
  seen[#seen + 1] = {id, one[2], one[3], one[4], payload, root}
end
return {is_end and 1 or 0, seen}
