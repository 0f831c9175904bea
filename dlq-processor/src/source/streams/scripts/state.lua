-- Says where the newest copy of a root is, and changes nothing.
-- ARGV 2 root  3 "1": the order of the guard has put it there
-- Returns 0 gone, 1 not delivered yet, 2 pending, 3 delivered and pending no more, 4 gone, and so is what is remembered of the
-- order; its id, and if it is pending its consumer, how long it is idle, and how often it was delivered.
local delivered = last_delivered()
local copy = call("GET", KEYS[3])
local id = copy or ARGV[2]
local one = delivered and one_pending(id)
if one then return {2, id, one[2], one[3], one[4]} end
local state = 0
if delivered and is_below(delivered, id) then
  state = fields_of(id) and 1 or 0
elseif delivered and copy then
  state = 3
end
if state == 0 and ARGV[3] == "1" and call("EXISTS", KEYS[4]) == 0 then state = 4 end
return {state, id, "", 0, 0}
