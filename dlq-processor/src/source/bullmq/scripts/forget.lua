-- Removes one dead job for good: one that failed, fenced by its failure; or, of a queue that holds nothing but what is dead, one
-- that waits or failed there, fenced by when it was put in. For the layouts of BullMQ 4 to 6.
-- KEYS 1 job  2 failed  3 lock  4 events  5 meta  6 epoch
--      then, if it may also wait: 7 wait  8 paused  9 prioritized  10 delayed
-- ARGV 1 job id  2 finishedOn of the failure, or timestamp of the job  3 epoch of the lease
--      4 what begins keys of deduplication, if it may also wait
-- Returns 1 removed, 0 gone, -3 not there, -4 failed or put in again since, -5 part of a flow, -6 somebody works at it, -8 a
-- later holder of the lease has acted here.
local call = redis.call
local epoch, acted = tonumber(ARGV[3]), tonumber(call("GET", KEYS[6])) or 0
if epoch < acted then return -8 end
if call("EXISTS", KEYS[1]) == 0 then return 0 end
if call("EXISTS", KEYS[3]) == 1 then return -6 end
local may_wait = #KEYS > 6
local is_failed = call("ZSCORE", KEYS[2], ARGV[1])
if not is_failed and not may_wait then return -3 end
local job = call("HMGET", KEYS[1], may_wait and "timestamp" or "finishedOn", "parentKey", "deid")
if job[1] ~= ARGV[2] then return -4 end
if job[2] then return -5 end
local from = "failed"
if is_failed then
  call("ZREM", KEYS[2], ARGV[1])
elseif call("LREM", KEYS[7], 0, ARGV[1]) + call("LREM", KEYS[8], 0, ARGV[1]) + call("ZREM", KEYS[9], ARGV[1])
  + call("ZREM", KEYS[10], ARGV[1]) > 0 then
  from = "waiting"
else
  return -3
end
if epoch > acted then call("SET", KEYS[6], ARGV[3]) end
-- Nobody could put in another one with its key.
if may_wait and job[3] and call("GET", ARGV[4] .. job[3]) == ARGV[1] then call("DEL", ARGV[4] .. job[3]) end
call("DEL", KEYS[1], KEYS[1] .. ":logs", KEYS[1] .. ":dependencies", KEYS[1] .. ":processed", KEYS[1] .. ":failed",
  KEYS[1] .. ":unsuccessful")
local most_events = tonumber(call("HGET", KEYS[5], "opts.maxLenEvents")) or 10000
call("XADD", KEYS[4], "MAXLEN", "~", most_events, "*", "event", "removed", "jobId", ARGV[1], "prev", from)
return 1
