-- Removes one failed job for good, fenced by its failure. For the layouts of BullMQ 4 to 6.
-- KEYS 1 job  2 failed  3 lock  4 events  5 meta  6 epoch
-- ARGV 1 job id  2 finishedOn of the failure  3 epoch of the lease
-- Returns 1 removed, 0 gone, -3 not failed, -4 failed again since, -5 part of a flow, -6 somebody works at it, -8 a later
-- holder of the lease has acted here.
local call = redis.call
local epoch, acted = tonumber(ARGV[3]), tonumber(call("GET", KEYS[6])) or 0
if epoch < acted then return -8 end
if call("EXISTS", KEYS[1]) == 0 then return 0 end
if call("EXISTS", KEYS[3]) == 1 then return -6 end
if not call("ZSCORE", KEYS[2], ARGV[1]) then return -3 end
local job = call("HMGET", KEYS[1], "finishedOn", "parentKey")
if job[1] ~= ARGV[2] then return -4 end
if job[2] then return -5 end
if epoch > acted then call("SET", KEYS[6], ARGV[3]) end
call("ZREM", KEYS[2], ARGV[1])
call("DEL", KEYS[1], KEYS[1] .. ":logs", KEYS[1] .. ":dependencies", KEYS[1] .. ":processed", KEYS[1] .. ":failed",
  KEYS[1] .. ":unsuccessful")
local most_events = tonumber(call("HGET", KEYS[5], "opts.maxLenEvents")) or 10000
call("XADD", KEYS[4], "MAXLEN", "~", most_events, "*", "event", "removed", "jobId", ARGV[1], "prev", "failed")
return 1
