-- Writes what an instance has counted of a key, over what it wrote before, and removes what has left the window.
-- KEYS[1]: a hash of `<second>:<instance>`. ARGV: the first second of the window, then fields and counts in turn.
local key, first = KEYS[1], tonumber(ARGV[1])
for place = 2, #ARGV, 2 do
    redis.call('HSET', key, ARGV[place], ARGV[place + 1])
end
for _, field in ipairs(redis.call('HKEYS', key)) do
    local second = tonumber(string.match(field, '^%d+'))
    if not second or second < first then
        redis.call('HDEL', key, field)
    end
end
redis.call('EXPIRE', key, 300)
return 0
