-- Puts one failed job back to wait, fenced by its failure. For the layouts of BullMQ 4 to 6.
-- KEYS 1 job  2 failed  3 wait  4 paused  5 active  6 prioritized  7 pc  8 meta  9 marker  10 events  11 guard
-- ARGV 1 job id  2 finishedOn of the failure  3 order id  4 guard's life in ms  5 "1": all tries again, else one
-- Returns 1 moved, 2 the same order was carried out, 0 gone, -3 not failed, -4 failed again since, -5 part of a flow.
local call = redis.call
if call("GET", KEYS[11]) == ARGV[3] then return 2 end
if call("EXISTS", KEYS[1]) == 0 then return 0 end
if not call("ZSCORE", KEYS[2], ARGV[1]) then return -3 end
local job = call("HMGET", KEYS[1], "finishedOn", "priority", "opts", "parentKey")
if job[1] ~= ARGV[2] then return -4 end
if job[4] then return -5 end
call("SET", KEYS[11], ARGV[3], "PX", ARGV[4])
call("ZREM", KEYS[2], ARGV[1])
call("HDEL", KEYS[1], "finishedOn", "processedOn", "failedReason", "returnvalue", "defa", "stc")
local is_read, options = pcall(cjson.decode, job[3] or "{}")
if not is_read or type(options) ~= "table" then options = {} end
if ARGV[5] == "1" then
  call("HDEL", KEYS[1], "atm", "ats", "attemptsMade")
else
  -- One try and no more, also for a job that gave up before it had used its tries. BullMQ 4 counts in the other field.
  local most = tonumber(options.attempts) or 1
  for _, field in ipairs({"atm", "attemptsMade"}) do
    local made = tonumber(call("HGET", KEYS[1], field))
    if made and made < most - 1 then call("HSET", KEYS[1], field, most - 1) end
  end
end
call("HSET", KEYS[1], "delay", 0)
local meta = call("HMGET", KEYS[8], "paused", "concurrency", "opts.maxLenEvents")
local is_paused = meta[1]
local is_full = meta[2] and call("LLEN", KEYS[5]) >= tonumber(meta[2])
local priority = tonumber(job[2]) or 0
if priority > 0 then
  local count = call("INCR", KEYS[7])
  call("ZADD", KEYS[6], string.format("%.0f", priority * 4294967296 + count % 4294967296), ARGV[1])
else
  local push = options.lifo and "RPUSH" or "LPUSH"
  -- Also where BullMQ 6 would leave it in `wait`: 5 renames `paused` over it when it goes on, 6 empties both.
  call(push, is_paused and KEYS[4] or KEYS[3], ARGV[1])
end
if not is_paused and not is_full then call("ZADD", KEYS[9], 0, "0") end
call("XADD", KEYS[10], "MAXLEN", "~", meta[3] or 10000, "*", "event", "waiting", "jobId", ARGV[1], "prev", "failed")
return 1
