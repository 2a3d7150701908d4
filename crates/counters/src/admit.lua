-- Counts one call of a key, if fewer than the limit are counted in the window of 61 seconds.
-- KEYS[1]: a hash of `second` (the latest that was seen), `total`, and a counter for each second.
-- ARGV: the caller's second, the limit. Answers: whether it was accepted, how many are counted, from when on one more fits.
local key, limit = KEYS[1], tonumber(ARGV[2])
local state = redis.call('HMGET', key, 'second', 'total')
local last, total = tonumber(state[1] or 0), tonumber(state[2] or 0)
-- The clocks of instances differ a little. All count on the one that is ahead, so that none of them opens the window.
local now = math.max(tonumber(ARGV[1]), last)

local function seconds(from, to)
    local names = {}
    for second = from, to do
        names[#names + 1] = string.format('%d', second)
    end
    return names
end

-- What has left the window since.
if total > 0 and now > last then
    if now - last > 60 then
        redis.call('DEL', key)
        total = 0
    else
        local left = seconds(last - 60, now - 61)
        for _, count in ipairs(redis.call('HMGET', key, unpack(left))) do
            total = total - tonumber(count or 0)
        end
        redis.call('HDEL', key, unpack(left))
    end
end

local accepted = 0
if total < limit then
    accepted = 1
    total = total + 1
    redis.call('HINCRBY', key, string.format('%d', now), 1)
    redis.call('EXPIRE', key, 120)
end
if total > 0 then
    redis.call('HSET', key, 'second', string.format('%d', now), 'total', total)
end

local free = now
if total >= limit then
    free = now + 61
    local names, left = seconds(now - 60, now), total
    for place, count in ipairs(redis.call('HMGET', key, unpack(names))) do
        left = left - tonumber(count or 0)
        if left < limit then
            free = tonumber(names[place]) + 61
            break
        end
    end
end
return { accepted, total, free }
