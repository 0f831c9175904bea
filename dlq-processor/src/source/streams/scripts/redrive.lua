-- Adds a copy of one entry to its stream, and takes the entry itself out of its group, if it is pending there.
-- ARGV 2 root  3 ms of its id  4 order id  5 life of what is remembered, in ms
--      6 "1": from the names and values that follow; else from the entry, which must be pending
-- Returns 1 moved, 2 the same order was carried out, 0 gone, -3 another copy is under way, -7 there is no place for it.
if call("EXISTS", KEYS[4]) == 1 then return 2 end
local is_anew = ARGV[6] == "1"
local delivered = last_delivered()
if not delivered then return is_anew and -7 or 0 end
local id = find(ARGV[2], ARGV[3])
local is_pending = id and one_pending(id)
local newest = call("GET", KEYS[3])
if newest and newest ~= id and (one_pending(newest) or (is_below(delivered, newest) and fields_of(newest))) then return -3 end
local fields = {}
if is_anew then
  for at = 7, #ARGV do fields[at - 6] = ARGV[at] end
elseif is_pending then
  fields = fields_of(id) or fields
end
if #fields == 0 then return 0 end
-- A call here takes no more than 8000 words (LUAI_MAXCSTACK of Lua 5.1).
if #fields > 7900 then return -7 end
local add = {"XADD", KEYS[1], "*"}
for at = 1, #fields, 2 do
  if fields[at] ~= "x-redrive" and fields[at]:sub(1, 10) ~= "x-redrive-" then
    add[#add + 1] = fields[at]
    add[#add + 1] = fields[at + 1]
  end
end
for _, word in ipairs({"x-redrive-of", ARGV[2], "x-redrive", ARGV[4]}) do add[#add + 1] = word end
-- First what Redis may refuse, so that nothing is half done.
local copy = call(unpack(add))
call("SET", KEYS[4], copy, "PX", ARGV[5])
call("SET", KEYS[3], copy, "PX", ARGV[5])
call("SET", KEYS[2] .. copy, ARGV[2], "PX", ARGV[5])
if is_pending then call("XACK", KEYS[1], ARGV[1], id) end
return 1
