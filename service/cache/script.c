/* The Lua scripts that Redis runs: read, fill and invalidate a cache entry, and take from a token
 * bucket. An entry begins with V (a value), L (a lease: one reader may fill) or T (a tombstone). */
#include "script.h"

/* Everything lives value_ms counted from the moment its lease was taken (FILL keeps the lease's
 * time to live). The reader reads PostgreSQL after that moment, so that a value that no tombstone
 * reached is gone value_ms after the write that it misses, however long the reader slept before it
 * filled. */

/* A malformed entry counts as none. A lease is taken over after 500 ms. abs(): the server's clock
 * may have been set back. */
static const char get_leased[] =
    "local e = redis.call('GET', KEYS[1])\n"
    "if e and string.sub(e, 1, 2) == 'V|' then return e end\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local floor = '0'\n"
    "if e then\n"
    "  local token, at = string.match(e, '^L|%d+|(%x+)|(%d+)$')\n"
    "  if token and math.abs(now - tonumber(at)) < 500 then return 2 end\n"
    "  floor = string.match(e, '^[LT]|(%d+)') or '0'\n"
    "end\n"
    "redis.call('SET', KEYS[1], 'L|' .. floor .. '|' .. ARGV[1] .. '|' .. string.format('%.0f', "
    "now),\n"
    "           'PX', ARGV[2])\n"
    "return 0\n";

/* Absent means that the lease was evicted, flushed or has run out: there may have been a tombstone
 * since. */
static const char fill_leased[] =
    "local e = redis.call('GET', KEYS[1])\n"
    "if not e then return 0 end\n"
    "local floor, token = string.match(e, '^L|(%d+)|(%x+)|%d+$')\n"
    "if token ~= ARGV[1] or tonumber(ARGV[3]) < tonumber(floor) then return 0 end\n"
    "redis.call('SET', KEYS[1], 'V|' .. ARGV[3] .. '|' .. ARGV[4], 'KEEPTTL')\n"
    "return 1\n";

/* Idempotent and commutative. When memory is out (-OOM) the SET fails but a DEL is allowed, and is
 * enough: it removes the value and, with the lease, the right to fill. pcall GET: a key of another
 * type is simply replaced. */
static const char invalidate_leased[] = "for i = 1, #KEYS do\n"
                                        "  local v, keep = tonumber(ARGV[i + 1]), false\n"
                                        "  local e = redis.pcall('GET', KEYS[i])\n"
                                        "  if type(e) == 'string' then\n"
                                        "    local kind, f = string.match(e, '^([VLT])|(%d+)')\n"
                                        "    f = tonumber(f or 0)\n"
                                        "    keep = kind == 'V' and f >= v\n"
                                        "    if f > v then v = f end\n"
                                        "  end\n"
                                        "  if not keep then\n"
                                        "    local done = redis.pcall('SET', KEYS[i], 'T|' .. "
                                        "string.format('%.0f', v), 'PX', ARGV[1])\n"
                                        "    if done.err then redis.call('DEL', KEYS[i]) end\n"
                                        "  end\n"
                                        "end\n"
                                        "return #KEYS\n";

static const char get_plain[] = "return redis.call('GET', KEYS[1]) or 0\n";

static const char fill_plain[] =
    "redis.call('SET', KEYS[1], 'V|' .. ARGV[3] .. '|' .. ARGV[4], 'PX', ARGV[2])\n"
    "return 1\n";

static const char invalidate_plain[] = "for i = 1, #KEYS do redis.call('DEL', KEYS[i]) end\n"
                                       "return #KEYS\n";

/* A bucket is one number: when it will be full again, by this server's clock. That clock may have
 * been set back, so no bucket is emptier than empty. */
static const char take[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local each = 1000000 / ARGV[1]\n"
    "local most = each * ARGV[2]\n"
    "local debt = (tonumber(redis.call('GET', KEYS[1]) or '') or now) - now\n"
    "debt = math.max(0, math.min(debt, most))\n"
    "local after = debt + each * ARGV[3]\n"
    "if after > most + 0.5 then return -1 - math.floor(debt) end\n"
    "redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', math.ceil(after / "
    "1000))\n"
    "return math.floor(after)\n";

static const char *const texts[2][SCRIPT_COUNT] = {
    [false] = {[SCRIPT_GET] = get_plain,
               [SCRIPT_FILL] = fill_plain,
               [SCRIPT_INVALIDATE] = invalidate_plain,
               [SCRIPT_TAKE] = take},
    [true] = {[SCRIPT_GET] = get_leased,
              [SCRIPT_FILL] = fill_leased,
              [SCRIPT_INVALIDATE] = invalidate_leased,
              [SCRIPT_TAKE] = take},
};

const char *script_text(enum script script, bool lease) { return texts[lease][script]; }
