-- Puts one failed job back to wait, fenced by its failure. If it is gone, and what was kept of it is given, makes it anew and
-- puts that back. A part of a flow goes back while its parent waits for its children; where its failure is noted with the
-- parent, the parent depends on it again, as after reprocessJob of BullMQ 5.81 and 6. For the layouts of BullMQ 4 to 6.
-- KEYS 1 job  2 failed  3 wait  4 paused  5 active  6 prioritized  7 pc  8 meta  9 marker  10 events  11 guard  12 id
--      13 epoch
-- ARGV 1 job id  2 finishedOn of the failure  3 order id  4 guard's life in ms  5 "1": all tries again, else one
--      6 epoch of the lease
--      then what was kept, if anything: name and value of each field
-- Returns 1 moved, 2 the same order was carried out, 0 gone, -3 not failed, -4 failed again since, -5 part of a flow that went
-- on without it, -7 a newer job that stands for the same is under way, -8 a later holder of the lease has acted here.
local call = redis.call
local epoch, acted = tonumber(ARGV[6]), tonumber(call("GET", KEYS[13])) or 0
if epoch < acted then return -8 end
if call("GET", KEYS[11]) == ARGV[3] then return 2 end
local is_here = call("EXISTS", KEYS[1]) == 1
local kept = {}
for at = 7, #ARGV, 2 do kept[ARGV[at]] = ARGV[at + 1] end
local job = {kept.finishedOn, kept.priority, kept.opts, kept.parentKey, kept.attemptsMade, kept.parent, kept.deid}
if is_here then
  if not call("ZSCORE", KEYS[2], ARGV[1]) then return -3 end
  job = call("HMGET", KEYS[1], "finishedOn", "priority", "opts", "parentKey", "attemptsMade", "parent", "deid")
elseif #ARGV == 6 then
  return 0
end
if job[1] ~= ARGV[2] then return -4 end
local parent_key, is_noted = job[4], false
if parent_key then
  local is_read, parent = pcall(cjson.decode, job[6] or "")
  local is_known = is_read and type(parent) == "table" and type(parent.queueKey) == "string" and parent.id
    and parent.queueKey .. ":" .. parent.id == parent_key
  -- What goes with its child is gone from its parent, too.
  if not is_here or not is_known or call("EXISTS", parent_key) == 0 then return -5 end
  if not call("ZSCORE", parent.queueKey .. ":waiting-children", parent.id) then return -5 end
  if call("SISMEMBER", parent_key .. ":dependencies", KEYS[1]) == 0 then
    is_noted = call("HEXISTS", parent_key .. ":failed", KEYS[1]) == 1
      or call("ZSCORE", parent_key .. ":unsuccessful", KEYS[1])
    if not is_noted then return -5 end
  end
end
if job[7] then
  local base = KEYS[2]:sub(1, -7)
  local newer = call("GET", base .. "de:" .. job[7])
  -- Its key may outlive it.
  local is_under_way = newer and newer ~= ARGV[1] and call("EXISTS", base .. newer) == 1
    and not call("HGET", base .. newer, "finishedOn")
  if is_under_way then return -7 end
end
local is_of_4 = job[5]
local is_read, options = pcall(cjson.decode, job[3] or "{}")
if not is_read or type(options) ~= "table" then options = {} end
local meta = call("HMGET", KEYS[8], "paused", "concurrency", "opts.maxLenEvents")
local is_paused = meta[1]
local most_at_once = tonumber(meta[2])
local is_full = most_at_once and call("LLEN", KEYS[5]) >= most_at_once
local priority = tonumber(job[2]) or 0

-- First what Redis may refuse, so that nothing is half done.
if priority > 0 then
  local count = call("INCR", KEYS[7])
  call("ZADD", KEYS[6], string.format("%.0f", priority * 4294967296 + count % 4294967296), ARGV[1])
  -- The workers of BullMQ 4 sleep at `wait`, and are woken by this; later ones throw it away.
  if is_of_4 and not is_paused and call("LLEN", KEYS[3]) == 0 then call("LPUSH", KEYS[3], "0:0") end
else
  local push = options.lifo == true and "RPUSH" or "LPUSH"
  -- Also where BullMQ 6 would leave it in `wait`: 5 renames `paused` over it when it goes on, 6 empties both.
  call(push, is_paused and KEYS[4] or KEYS[3], ARGV[1])
end
if epoch > acted then call("SET", KEYS[13], ARGV[6]) end
call("SET", KEYS[11], ARGV[3], "PX", ARGV[4])
call("ZREM", KEYS[2], ARGV[1])
if is_noted then
  call("HDEL", parent_key .. ":failed", KEYS[1])
  call("ZREM", parent_key .. ":unsuccessful", KEYS[1])
  call("SADD", parent_key .. ":dependencies", KEYS[1])
end

if not is_here then
  for field, value in pairs(kept) do call("HSET", KEYS[1], field, value) end
  -- A Redis that lost its jobs lost what counts them, too: a new job must not take this one's id.
  local number = ARGV[1]:match("^[1-9]%d*$") and #ARGV[1] < 16 and tonumber(ARGV[1])
  if number and number > (tonumber(call("GET", KEYS[12])) or 0) then call("SET", KEYS[12], ARGV[1]) end
end
-- `ats` also where only one try is left: a worker with `maxStartedAttempts` would not take the job.
local of_the_failure = {"finishedOn", "processedOn", "failedReason", "returnvalue", "defa", "stc", "stalledCounter", "ats"}
call("HDEL", KEYS[1], unpack(of_the_failure))
call("HSET", KEYS[1], "delay", 0)
if ARGV[5] == "1" then
  call("HDEL", KEYS[1], "atm", "attemptsMade")
else
  -- One try and no more, also for a job that gave up before it had used its tries.
  local all_but_one = math.max((tonumber(options.attempts) or 1) - 1, 0)
  -- BullMQ 4 counts in the second field only, 6 in the first one only; a queue may have moved on since.
  for _, made in ipairs({"atm", is_of_4 and "attemptsMade" or nil}) do
    if (tonumber(call("HGET", KEYS[1], made)) or 0) < all_but_one then call("HSET", KEYS[1], made, all_but_one) end
  end
end

if not is_paused and not is_full then call("ZADD", KEYS[9], 0, "0") end
local most_events = tonumber(meta[3]) or 10000
call("XADD", KEYS[10], "MAXLEN", "~", most_events, "*", "event", "waiting", "jobId", ARGV[1], "prev", "failed")
return 1
