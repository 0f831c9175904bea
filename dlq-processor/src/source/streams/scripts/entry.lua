-- Begins every script here: how one entry is found again by its root and by when it was put in.
-- KEYS 1 stream  2 what begins the keys that say whose copy an entry is  3 the newest copy of a root  4 guard of an order
-- ARGV 1 group
local call = redis.call
local kind = call("TYPE", KEYS[1]).ok
if kind ~= "stream" and kind ~= "none" then
  return redis.error_reply("WRONGTYPE " .. KEYS[1] .. " is a " .. kind .. ", and no stream")
end
local last_of_all = "18446744073709551615-18446744073709551615"

-- Ids have two numbers of 64 bits, more than a number has here.
local function is_below(id, other)
  local ms, sequence = id:match("^(%d+)%-(%d+)$")
  local other_ms, other_sequence = other:match("^(%d+)%-(%d+)$")
  -- What is no id is below nothing.
  if not (ms and other_ms) then return false end
  local a, b = ms, other_ms
  if a == b then a, b = sequence, other_sequence end
  return #a < #b or (#a == #b and a < b)
end

-- Nothing where there is no such stream or group.
local function pending(first, last, most)
  local found = redis.pcall("XPENDING", KEYS[1], ARGV[1], first, last, most)
  if found.err then return nil end
  return found
end

local function one_pending(id)
  local found = pending(id, id, 1)
  return found and found[1]
end

-- How far the group has come; nothing where there is none.
local function last_delivered()
  local groups = redis.pcall("XINFO", "GROUPS", KEYS[1])
  if groups.err then return nil end
  for _, group in ipairs(groups) do
    local is_it, last = false, nil
    for at = 1, #group, 2 do
      if group[at] == "name" then is_it = group[at + 1] == ARGV[1] end
      if group[at] == "last-delivered-id" then last = group[at + 1] end
    end
    if is_it then return last end
  end
  return nil
end

-- Names and values; nothing of an entry that was trimmed.
local function fields_of(id)
  local entry = call("XRANGE", KEYS[1], id, id)[1]
  return entry and entry[2]
end

-- The entry that this one is a copy of, or itself.
local function root_of(id, fields)
  if not fields then return call("GET", KEYS[2] .. id) or id end
  for at = 1, #fields, 2 do
    if fields[at] == "x-redrive-of" and #fields[at + 1] <= 41 and fields[at + 1]:match("^%d+%-%d+$") then
      return fields[at + 1]
    end
  end
  return id
end

-- The id of the entry of a root that was put in at that time.
local function find(root, ms)
  if root:match("^%d+") == ms then return root end
  local newest = call("GET", KEYS[3])
  if newest and newest:match("^%d+") == ms then return newest end
  -- A copy of which nothing is remembered any more, or that somebody else made.
  for _, one in ipairs(pending(ms, ms, 1000) or {}) do
    if root_of(one[1], fields_of(one[1])) == root then return one[1] end
  end
  return nil
end
