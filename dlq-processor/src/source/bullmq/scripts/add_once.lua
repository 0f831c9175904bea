-- Adds one job and puts it into wait, once for each order: under the id that is wanted, if nobody has it, else under one of the
-- order's own. For the layouts of BullMQ 4 to 6.
-- KEYS 1 job of the wanted id  2 job of the order's id  3 wait  4 paused  5 active  6 prioritized  7 pc  8 meta  9 marker
--      10 events  11 guard  12 id  13 epoch
-- ARGV 1 wanted id, "" for none  2 the order's id  3 order id  4 guard's life in ms  5 epoch of the lease
--      6 "1": all tries, else one
--      then name and value of each field
-- Returns 1 added under the wanted id, 2 the same order was carried out so, 7 added under the order's id, also if it was
-- before, -5 part of a flow, -8 a later holder of the lease has acted here.
local call = redis.call
local epoch, acted = tonumber(ARGV[5]), tonumber(call("GET", KEYS[13])) or 0
if epoch < acted then return -8 end
local carried_out = call("GET", KEYS[11])
if carried_out == ARGV[3] then return 2 elseif carried_out then return 7 end
local fields = {}
for at = 7, #ARGV, 2 do fields[ARGV[at]] = ARGV[at + 1] end
if fields.parentKey then return -5 end
local id, job, answer, carried_out_as = ARGV[1], KEYS[1], 1, ARGV[3]
if id == "" or call("EXISTS", job) == 1 then
  id, job, answer, carried_out_as = ARGV[2], KEYS[2], 7, ARGV[2]
  if call("EXISTS", job) == 1 then return 7 end
end
local is_of_4 = fields.attemptsMade
fields.attemptsMade = nil
local is_read, options = pcall(cjson.decode, fields.opts or "{}")
if not is_read or type(options) ~= "table" then options = {} end
local meta = call("HMGET", KEYS[8], "paused", "concurrency", "opts.maxLenEvents")
local is_paused = meta[1]
local most_at_once = tonumber(meta[2])
local is_full = most_at_once and call("LLEN", KEYS[5]) >= most_at_once
local priority = tonumber(fields.priority) or 0

-- First what Redis may refuse, so that nothing is half done; why so: see redrive_failed.lua.
if priority > 0 then
  local count = call("INCR", KEYS[7])
  call("ZADD", KEYS[6], string.format("%.0f", priority * 4294967296 + count % 4294967296), id)
  if is_of_4 and not is_paused and call("LLEN", KEYS[3]) == 0 then call("LPUSH", KEYS[3], "0:0") end
else
  call(options.lifo == true and "RPUSH" or "LPUSH", is_paused and KEYS[4] or KEYS[3], id)
end
if epoch > acted then call("SET", KEYS[13], ARGV[5]) end
call("SET", KEYS[11], carried_out_as, "PX", ARGV[4])
for field, value in pairs(fields) do call("HSET", job, field, value) end
local all_but_one = (tonumber(options.attempts) or 1) - 1
if ARGV[6] ~= "1" and all_but_one > 0 then
  call("HSET", job, "atm", all_but_one)
  if is_of_4 then call("HSET", job, "attemptsMade", all_but_one) end
end
-- A Redis that lost its jobs lost what counts them, too: a new job must not take this one's id.
local number = id:match("^[1-9]%d*$") and #id < 16 and tonumber(id)
if number and number > (tonumber(call("GET", KEYS[12])) or 0) then call("SET", KEYS[12], id) end
if not is_paused and not is_full then call("ZADD", KEYS[9], 0, "0") end
local most_events = tonumber(meta[3]) or 10000
call("XADD", KEYS[10], "MAXLEN", "~", most_events, "*", "event", "added", "jobId", id, "name", fields.name or "")
call("XADD", KEYS[10], "MAXLEN", "~", most_events, "*", "event", "waiting", "jobId", id)
return answer
