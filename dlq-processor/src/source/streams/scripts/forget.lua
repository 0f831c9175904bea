-- Takes one dead entry out of its group; in the stream it stays, for others.
-- ARGV 2 root  3 ms of its id  4 idle ms: with less somebody has taken it up again
-- Returns 1 taken out, 0 not pending, -6 somebody works at it.
local id = find(ARGV[2], ARGV[3])
local one = id and one_pending(id)
if not one then return 0 end
if one[3] < tonumber(ARGV[4]) and fields_of(id) then return -6 end
return call("XACK", KEYS[1], ARGV[1], id)
