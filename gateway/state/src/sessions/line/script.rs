//! What runs inside Redis, in one step each.
//!
//! None is flagged `no-writes`, and none `allow-oom`: Redis refuses them on a replica, and when memory is full, which is
//! there for revocations first. Each counts the replicas that follow: what a server takes that may have been replaced
//! would be lost with it.
//!
//! A record is what `sessions/pack.rs` says: these read and write its head.

use redis::Script;

use crate::fleet::FOLLOWS;

/// What each begins with. The last two of ARGV say how many replicas must follow, and how many seconds they may lag.
const HEAD: &str = r"#!lua
";
const ALONE: &str = r"
if not follows() then return redis.error_reply('NOREPLICAS too few replicas follow') end
local HEAD = '^%d+ (%d+) (%d+) (%d+) (%d+) ([^ ]*) ()'
local function lasts(key, millis)
  if redis.call('PTTL', key) < tonumber(millis) then redis.call('PEXPIRE', key, millis) end
end
";

/// KEYS: the person. ARGV: id, record, now, how long it lives, the most sessions. Answers with the id and the record that
/// gave way, or with nothing.
const CREATE: &str = r"
local _, _, known = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', HEAD)
if known and tonumber(known) > tonumber(ARGV[3]) then return {} end
redis.call('HDEL', KEYS[1], ARGV[1])
local gone, count = {}, redis.call('HLEN', KEYS[1])
if count >= tonumber(ARGV[5]) then
  local all, oldest = redis.call('HGETALL', KEYS[1]), nil
  for i = 1, #all, 2 do
    local _, _, ends, since = string.match(all[i + 1], HEAD)
    if not ends or tonumber(ends) <= tonumber(ARGV[3]) then
      redis.call('HDEL', KEYS[1], all[i])
      count = count - 1
    else
      since = tonumber(since)
      if not oldest or since < oldest or (since == oldest and all[i] < gone[1]) then
        oldest, gone = since, {all[i], all[i + 1]}
      end
    end
  end
  if count >= tonumber(ARGV[5]) then redis.call('HDEL', KEYS[1], gone[1]) else gone = {} end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
lasts(KEYS[1], ARGV[4])
return gone
";

/// KEYS: the person. ARGV: id, the expected version, now, how long it lives, the most apps; and of the new record the form,
/// version, when it was seen, ends and began, the apps, the body.
const REPLACE: &str = r"
local version, seen, ends, _, apps = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', HEAD)
if version ~= ARGV[2] or tonumber(ends) <= tonumber(ARGV[3]) then return 0 end
if tonumber(seen) < tonumber(ARGV[8]) then seen = ARGV[8] end
local _, count = string.gsub(apps, ',', ',')
for app in string.gmatch(ARGV[11], '[^,]+') do
  if count <= tonumber(ARGV[5]) and not string.find(apps, ',' .. app .. ',', 1, true) then
    apps, count = apps .. app .. ',', count + 1
  end
end
redis.call('HSET', KEYS[1], ARGV[1],
  table.concat({ARGV[6], ARGV[7], seen, ARGV[9], ARGV[10], apps, ARGV[12]}, ' '))
lasts(KEYS[1], ARGV[4])
return 1
";

/// KEYS: a person for each. ARGV: the most apps; and for each the id, when it was seen, and the app or nothing.
const TOUCH: &str = r"
for i = 1, #KEYS do
  local id, at, app = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
  local record = redis.call('HGET', KEYS[i], id) or ''
  local version, seen, ends, since, apps, body = string.match(record, HEAD)
  if version then
    local later, _, count = tonumber(seen) < tonumber(at), string.gsub(apps, ',', ',')
    local new = app ~= '' and count <= tonumber(ARGV[1]) and not string.find(apps, ',' .. app .. ',', 1, true)
    if later then seen = at end
    if new then apps = apps .. app .. ',' end
    if later or new then
      local form = string.match(record, '^%d+')
      redis.call('HSET', KEYS[i], id,
        table.concat({form, version, seen, ends, since, apps, string.sub(record, body)}, ' '))
    end
  end
end
return 1
";

/// KEYS: the person. Answers how many sessions there were.
const REMOVE_ALL: &str = r"
local count = redis.call('HLEN', KEYS[1])
redis.call('DEL', KEYS[1])
return count
";

/// KEYS: the person. ARGV: id.
const REMOVE: &str = r"
return redis.call('HDEL', KEYS[1], ARGV[1])
";

/// KEYS: the value. ARGV: bytes, how long it lives.
const PUT_ONCE: &str = r"
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
";

/// KEYS: the value.
const TAKE_ONCE: &str = r"
local value = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return value
";

/// KEYS: the lock, the number of the last holder. ARGV: holder, how long. The number counts in microseconds, so that a
/// server that lost it does not count from one again.
const LOCK: &str = r"
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return '' end
local t = redis.call('TIME')
local number = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, t[1] * 1000000 + t[2])
number = string.format('%.0f', number)
redis.call('SET', KEYS[2], number)
return number
";

/// KEYS: the lock. ARGV: holder, how long.
const RENEW: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
";

/// KEYS: the lock. ARGV: holder.
const UNLOCK: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
";

/// KEYS: the person's. ARGV: the expected version, the new one and the bytes, how long.
const PUT_MEMORY: &str = r"
local version = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) ') or '0'
if version ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
";

/// KEYS: what is asked. ARGV: the most that may wait, the names and values of an entry.
const ASK: &str = r"
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2, 13))
return 1
";

/// KEYS: what is asked, who answers. ARGV: who wants to answer, for how long, the most entries.
const ASKED: &str = r"
local who = redis.call('GET', KEYS[2])
if who and who ~= ARGV[1] then return {} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[3])
";

/// The scripts, hashed once.
pub(super) struct Scripts {
    pub(super) create: Script,
    pub(super) replace: Script,
    pub(super) touch: Script,
    pub(super) remove: Script,
    pub(super) remove_all: Script,
    pub(super) put_once: Script,
    pub(super) take_once: Script,
    pub(super) lock: Script,
    pub(super) renew: Script,
    pub(super) unlock: Script,
    pub(super) put_memory: Script,
    pub(super) ask: Script,
    pub(super) asked: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |body: &str| Script::new(&[HEAD, FOLLOWS, ALONE, body].concat());
        Self {
            create: script(CREATE),
            replace: script(REPLACE),
            touch: script(TOUCH),
            remove: script(REMOVE),
            remove_all: script(REMOVE_ALL),
            put_once: script(PUT_ONCE),
            take_once: script(TAKE_ONCE),
            lock: script(LOCK),
            renew: script(RENEW),
            unlock: script(UNLOCK),
            put_memory: script(PUT_MEMORY),
            ask: script(ASK),
            asked: script(ASKED),
        }
    }
}
