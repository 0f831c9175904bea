-- Reads one pending entry whole, and changes nothing.
-- ARGV 2 root  3 ms of its id
-- Returns nothing if it is not pending; else id, consumer, how long it is idle, how often it was delivered, and names and values,
-- which an entry that was trimmed does not have.
local id = find(ARGV[2], ARGV[3])
local one = id and one_pending(id)
if not one then return false end
return {one[1], one[2], one[3], one[4], fields_of(id) or {}}
