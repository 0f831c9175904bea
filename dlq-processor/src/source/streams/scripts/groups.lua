-- Returns the names of a stream's groups.
local groups, names = redis.pcall("XINFO", "GROUPS", KEYS[1]), {}
if groups.err then return names end
for _, group in ipairs(groups) do
  for at = 1, #group, 2 do
    if group[at] == "name" then names[#names + 1] = group[at + 1] end
  end
end
return names
