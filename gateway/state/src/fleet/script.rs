//! What runs inside Redis, in one step each.
//!
//! None is flagged `no-writes`, the polling one least of all: Redis then refuses it on a replica
//! (`READONLY`) and on a primary that has lost its replicas (`NOREPLICAS`), so that a deposed
//! primary cannot renew a lease. `allow-oom` lets them run when memory is full: what they write is
//! small, and a fleet that could not poll would refuse everyone.
//!
//! Each looks at the *lineage* of the server itself: `master_replid` is another one after every
//! start and after every promotion, also when the process is the same and the connection is not
//! cut. A server that was demoted, lost what it had, and is a primary again is so told apart from
//! the one that was blessed. A writable replica has the lineage of its primary, and is none.

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, RedisResult, Script, Value};
use uuid::Uuid;

use crate::fleet::ledger::{Ledger, Mark, Snapshot};
use crate::fleet::{EntryId, Position};
use crate::records::Version;
use crate::store::Reach;

/// The names of what lies in Redis. All share one hash tag, so that a cluster keeps them together.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) meta: String,
    pub(crate) log: String,
    pub(crate) roll: String,
    pub(crate) channel: String,
    pub(crate) lock: String,
    snapshot: String,
}

impl Keys {
    pub(crate) fn new(namespace: &str) -> Self {
        let key = |name: &str| format!("{{{namespace}}}:{name}");
        Self {
            meta: key("m"),
            log: key("log"),
            roll: key("roll"),
            channel: key("ch"),
            lock: key("lock"),
            snapshot: key("s"),
        }
    }

    pub(crate) fn chunk(&self, snapshot: &str, number: u64) -> String {
        format!("{}:{snapshot}:{number}", self.snapshot)
    }
}

/// What each begins with.
const HEAD: &str = "#!lua flags=allow-oom\n";
/// And then: `lineage` is that of a primary; `follows` says whether enough replicas
/// follow it, which the last two of ARGV ask for: how many, and how many seconds they may lag.
///
/// The replicas are counted here. Redis counts them once a second, so that a primary which was
/// deposed while it was stopped takes writes for a moment when it goes on; what `INFO` says of each
/// replica's lag is true at once.
pub(crate) const FOLLOWS: &str = r"local info = redis.call('INFO', 'replication')
local lineage = string.match(info, 'role:master.*master_replid:(%x+)')
local function follows()
  local count = 0
  for replica in string.gmatch(info, 'slave%d+:([^\r\n]*)') do
    local lag = tonumber(string.match(replica, 'lag=(%d+)'))
    if lag and lag <= tonumber(ARGV[#ARGV]) and string.find(replica, 'state=online', 1, true) then
      count = count + 1
    end
  end
  return count >= tonumber(ARGV[#ARGV - 1])
end
";

/// ARGV: epoch and id of the asker's position, the most entries, who reports and what. Entries are of very
/// different lengths: no more are given than some 256 KiB, but one at least, and they are read a few at a time.
const POLL: &str = r"local m = redis.call('HMGET', KEYS[1], 'e', 'g', 'r', 'l', 'b', 's', 'c', 'n', 'pe', 'pl', 'q', 'i',
  'v', 'h', 'z')
local blessed = 0
if lineage and m[3] == lineage then blessed = 1 end
if ARGV[4] ~= '' then
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[3], ARGV[4], string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)) .. '|' .. ARGV[5])
end
local entries = {}
if m[4] and m[4] ~= ARGV[2] and (m[1] == ARGV[1] or m[9] == ARGV[1]) then
  local limit, after, bytes, more = tonumber(ARGV[3]), ARGV[2], 0, true
  while more do
    local page = redis.call('XRANGE', KEYS[2], '(' .. after, '+', 'COUNT', math.min(64, limit - #entries))
    more = #page == 64 and #entries + 64 < limit
    for _, entry in ipairs(page) do
      entries[#entries + 1] = entry
      after = entry[1]
      bytes = bytes + #(entry[2][4] or '')
      if bytes > 262144 then
        more = false
        break
      end
    end
  end
end
local alone = 1
if follows() then alone = 0 end
return {{m[1] or '', m[2] or '', m[4] or '', m[5] or '', m[6] or '', m[7] or '', m[8] or '', m[9] or '', m[10] or '',
  m[11] or '', m[12] or '', m[13] or '', m[14] or '', m[15] or ''}, blessed, alone, entries}
";

/// Adds entries, if this is the server that was blessed and the log has the generation. ARGV:
/// generation, the row of the directory that the last of them is and its receipt, the write of a record
/// that they go up to, the row and the write that the log must have come to, the entries. Both ends of the
/// log, that row and that write move in one step, so a log that lost its end says itself how far it goes;
/// and nothing is added to one that does not go far enough, or the hole would be covered. Neither ever
/// moves back: two who publish may overlap.
///
/// Each entry is pushed, unless that were so many messages, or so much, that polls would wait for them: then
/// the nodes are told to look.
const PUBLISH: &str = r"local m = redis.call('HMGET', KEYS[1], 'e', 'g', 'r', 'l', 'q', 'v', 'z')
if not follows() then return {'alone', ''} end
if not m[1] or not lineage or m[3] ~= lineage then return {'unblessed', ''} end
local q, v, bytes = tonumber(m[5]) or 0, tonumber(m[6]) or 0, 0
if m[2] ~= ARGV[1] or q < tonumber(ARGV[5]) or v < tonumber(ARGV[6]) then return {'generation', ''} end
local prev = m[4]
local each = #ARGV <= 108
for i = 7, #ARGV - 2 do
  local id = redis.call('XADD', KEYS[2], '*', 'p', prev, 'e', ARGV[i])
  bytes = bytes + #ARGV[i]
  each = each and bytes <= 65536
  if each then
    local receivers = redis.call('SPUBLISH', KEYS[3], 'e ' .. m[1] .. ' ' .. id .. ' ' .. prev .. ' ' .. ARGV[i])
    each = receivers * (#ARGV - 2 - i) <= 10000
  end
  prev = id
end
redis.call('HSET', KEYS[1], 'l', prev, 'z', string.format('%.0f', (tonumber(m[7]) or 0) + bytes))
if tonumber(ARGV[2]) > q then redis.call('HSET', KEYS[1], 'q', ARGV[2], 'i', ARGV[3]) end
if tonumber(ARGV[4]) > v then redis.call('HSET', KEYS[1], 'v', ARGV[4]) end
if not each then redis.call('SPUBLISH', KEYS[3], 'look') end
return {m[1], prev}
";

/// Begins a new epoch: everything is in the snapshot, the log is empty. ARGV: generation, lineage,
/// epoch, snapshot, its chunks, its entries, token of the lock, the last row before the reading, the
/// snapshot of before, seconds, the receipt of that row, the last write of a record before the reading, the
/// history of the records. Keys after the fourth are the chunks, which live on from now, and then those of the
/// snapshot of before, whose readers may finish.
///
/// Refused where the lock is not the caller's any more (somebody else reconciles, or everything was
/// flushed), and where the server is not what it was when the directory was read. What is no log at
/// all is replaced by one.
const BLESS: &str = r"if not follows() then return {'alone', ''} end
if redis.call('GET', KEYS[4]) ~= ARGV[7] or lineage ~= ARGV[2] then return {'moved', ''} end
local m = redis.pcall('HMGET', KEYS[1], 's')
local before = not m.err and m[1] or ''
local chunks = tonumber(ARGV[5])
for i = 5, 4 + chunks do
  if redis.call('EXISTS', KEYS[i]) == 0 then return {'lost', ''} end
end
for i = 5, 4 + chunks do redis.call('PERSIST', KEYS[i]) end
if before == ARGV[9] then
  for i = 5 + chunks, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[10]) end
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[4])
redis.call('HSET', KEYS[1], 'e', ARGV[3], 'g', ARGV[1], 'r', ARGV[2], 'l', '0-0', 'b', '0-0',
  's', ARGV[4], 'c', ARGV[5], 'n', ARGV[6], 'q', ARGV[8], 'i', ARGV[11], 'v', ARGV[12], 'h', ARGV[13], 'z', '0')
redis.call('SPUBLISH', KEYS[3], 'look')
return {'ok', ''}
";

/// Begins a new epoch that goes on where the log ends: for a server that started again, or took over,
/// with all or with some of what was published. ARGV: generation, lineage, epoch, token of the lock,
/// the epoch, the last row and the last write that the log had when the directory was read, the last row now
/// and its receipt, the last write now, and the entries between. What stands up to `pl` stood in the epoch
/// before, too.
const GO_ON: &str = r"local m = redis.call('HMGET', KEYS[1], 'e', 'g', 'l', 'q', 'v', 'z')
if not follows() then return {'alone', ''} end
if redis.call('GET', KEYS[4]) ~= ARGV[4] or lineage ~= ARGV[2] then return {'moved', ''} end
if m[1] ~= ARGV[5] or m[4] ~= ARGV[6] or m[5] ~= ARGV[7] or tonumber(m[2]) >= tonumber(ARGV[1]) then
  return {'moved', ''}
end
for i = 5, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then return {'lost', KEYS[i]} end
end
local prev, bytes = m[3], tonumber(m[6]) or 0
for i = 11, #ARGV - 2 do
  prev = redis.call('XADD', KEYS[2], '*', 'p', prev, 'e', ARGV[i])
  bytes = bytes + #ARGV[i]
end
redis.call('HSET', KEYS[1], 'e', ARGV[3], 'g', ARGV[1], 'r', ARGV[2], 'l', prev, 'q', ARGV[8], 'i', ARGV[9],
  'v', ARGV[10], 'z', string.format('%.0f', bytes), 'pe', m[1], 'pl', m[3])
redis.call('DEL', KEYS[4])
redis.call('SPUBLISH', KEYS[3], 'look')
return {'ok', ''}
";

/// Puts a new snapshot in the place of an old one and of the log up to its base. ARGV: generation,
/// epoch, base, the id after the base, snapshot, its chunks, its entries, token of the lock, the
/// snapshot of before, seconds, how long the log was up to the base. Keys after the third are chunks, as above.
const COMPACT: &str = r"local m = redis.call('HMGET', KEYS[1], 'e', 'g', 'r', 's', 'z')
if not follows() then return {'alone', ''} end
if m[1] ~= ARGV[2] or m[2] ~= ARGV[1] or m[3] ~= lineage or redis.call('GET', KEYS[3]) ~= ARGV[8] then
  return {'moved', ''}
end
local chunks = tonumber(ARGV[6])
for i = 4, 3 + chunks do
  if redis.call('EXISTS', KEYS[i]) == 0 then return {'lost', ''} end
end
for i = 4, 3 + chunks do redis.call('PERSIST', KEYS[i]) end
if m[4] == ARGV[9] then
  for i = 4 + chunks, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[10]) end
end
local bytes = math.max(0, (tonumber(m[5]) or 0) - tonumber(ARGV[11]))
redis.call('HSET', KEYS[1], 'b', ARGV[3], 's', ARGV[5], 'c', ARGV[6], 'n', ARGV[7], 'z', string.format('%.0f', bytes))
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[4])
redis.call('DEL', KEYS[3])
return {'ok', ''}
";

/// Whoever reads the snapshot of before may finish.
const GRACE_SECONDS: u64 = 60;

/// The scripts, hashed once.
pub(crate) struct Scripts {
    keys: Keys,
    replicas: (u64, u64),
    poll: Script,
    publish: Script,
    bless: Script,
    go_on: Script,
    compact: Script,
}

/// What a poll asks.
pub(crate) struct Question<'a> {
    /// Where the asker stands.
    pub(crate) position: Option<Position>,
    /// The most entries of an answer.
    pub(crate) limit: usize,
    /// Who reports, and what.
    pub(crate) report: Option<(&'a str, &'a str)>,
}

/// What whoever reconciles holds on to: it writes only while all of it is still so.
pub(crate) struct Hold {
    /// The generation that it raised the directory to, or found there.
    pub(crate) generation: u64,
    /// What the server was before the directory was read.
    pub(crate) lineage: String,
    /// What it wrote into the lock.
    pub(crate) token: String,
}

/// An entry of the log, as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub(crate) id: EntryId,
    pub(crate) before: EntryId,
    pub(crate) packed: Vec<u8>,
}

/// What a poll was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `None` when there is no log.
    pub(crate) ledger: Option<Ledger>,
    /// A control node has reconciled this server, as it is, with the directory.
    pub(crate) blessed: bool,
    /// Too few replicas follow: another primary may have been made.
    pub(crate) alone: bool,
    /// Something in the log is no entry: no gateway wrote it.
    pub(crate) garbled: bool,
    /// What comes after the asker's position; nothing if the epoch is another one.
    pub(crate) entries: Vec<LogEntry>,
}

/// What is to be added to the log.
pub(crate) struct Call {
    pub(crate) entries: Vec<Vec<u8>>,
    /// The last row of it; what it is of nothing when there is none.
    pub(crate) last: Mark,
    /// Up to which write of a record it goes.
    pub(crate) records: Version,
}

/// What becomes the snapshot of a new epoch.
pub(crate) struct Basis<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// It has every row up to this one at least,
    pub(crate) mark: Mark,
    /// and every record up to this write,
    pub(crate) records: Version,
    /// of this history.
    pub(crate) history: &'a str,
}

/// What became of an attempt to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written<T> {
    Done(T),
    /// This process is not blessed.
    Unblessed,
    /// Too few replicas follow it.
    Alone,
    /// The log has another generation, was blessed anew meanwhile, or lacks rows that were in it.
    Outdated,
    /// A chunk of the snapshot is gone.
    ChunkLost,
}

impl Written<()> {
    /// What is done goes so far.
    pub(crate) fn up_to(self, reach: Reach) -> Written<Reach> {
        match self {
            Self::Done(()) => Written::Done(reach),
            Self::Unblessed => Written::Unblessed,
            Self::Alone => Written::Alone,
            Self::Outdated => Written::Outdated,
            Self::ChunkLost => Written::ChunkLost,
        }
    }
}

impl Scripts {
    /// `replicas` says how many must follow, and how many seconds each may lag.
    pub(crate) fn new(keys: Keys, replicas: (u64, u64)) -> Self {
        let [poll, publish, bless, go_on, compact] =
            [POLL, PUBLISH, BLESS, GO_ON, COMPACT].map(|body| Script::new(&[HEAD, FOLLOWS, body].concat()));
        Self { keys, replicas, poll, publish, bless, go_on, compact }
    }

    pub(crate) const fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) async fn poll(
        &self,
        connection: &mut MultiplexedConnection,
        question: &Question<'_>,
    ) -> RedisResult<Answer> {
        let (epoch, id) = match question.position {
            Some(at) => (at.epoch.as_simple().to_string(), at.id.to_string()),
            None => (String::new(), String::new()),
        };
        let (who, what) = question.report.unwrap_or_default();
        let keys = &self.keys;
        let value: Value = self
            .poll
            .key(&keys.meta)
            .key(&keys.log)
            .key(&keys.roll)
            .arg(epoch)
            .arg(id)
            .arg(question.limit)
            .arg(who)
            .arg(what)
            .arg(self.replicas.0)
            .arg(self.replicas.1)
            .invoke_async(connection)
            .await?;
        answer(value)
    }

    /// Adds entries under a generation, to a log that goes so far at least.
    pub(crate) async fn publish(
        &self,
        connection: &mut MultiplexedConnection,
        (generation, floor): (u64, Reach),
        added: &Call,
    ) -> RedisResult<Written<Position>> {
        let keys = &self.keys;
        let mut call = self.publish.key(&keys.meta);
        call.key(&keys.log).key(&keys.channel).arg(generation);
        added.last.write(&mut call);
        call.arg(added.records.0).arg(floor.row.0).arg(floor.records.0);
        for entry in &added.entries {
            call.arg(entry.as_slice());
        }
        call.arg(self.replicas.0).arg(self.replicas.1);
        let (word, id): (String, String) = call.invoke_async(connection).await?;
        match word.as_str() {
            "alone" => Ok(Written::Alone),
            "unblessed" => Ok(Written::Unblessed),
            "generation" => Ok(Written::Outdated),
            epoch => {
                let position = Uuid::parse_str(epoch).ok().zip(EntryId::parse(&id));
                let (epoch, id) = position.ok_or_else(nonsense)?;
                Ok(Written::Done(Position { epoch, id }))
            }
        }
    }

    /// Begins a new epoch with a snapshot.
    pub(crate) async fn bless(
        &self,
        connection: &mut MultiplexedConnection,
        hold: &Hold,
        epoch: Uuid,
        Basis { snapshot, mark, records, history }: Basis<'_>,
        before: Option<&Snapshot>,
    ) -> RedisResult<Written<()>> {
        let keys = &self.keys;
        let mut call = self.bless.key(&keys.meta);
        call.key(&keys.log).key(&keys.channel).key(&keys.lock);
        self.chunks_of(&mut call, Some(snapshot));
        self.chunks_of(&mut call, before);
        call.arg(hold.generation).arg(&hold.lineage).arg(epoch.as_simple().to_string());
        call.arg(&snapshot.name).arg(snapshot.chunks).arg(snapshot.entries).arg(&hold.token);
        call.arg(mark.row.0).arg(before.map_or("", |before| &before.name)).arg(GRACE_SECONDS);
        call.arg(mark.receipt_text()).arg(records.0).arg(history);
        call.arg(self.replicas.0).arg(self.replicas.1);
        written(call.invoke_async(connection).await?)
    }

    fn chunks_of(&self, call: &mut redis::ScriptInvocation<'_>, snapshot: Option<&Snapshot>) {
        let Some(snapshot) = snapshot else { return };
        for number in 0..snapshot.chunks {
            call.key(self.keys.chunk(&snapshot.name, number));
        }
    }

    /// Begins a new epoch with the log as it is and what it lacks.
    pub(crate) async fn go_on(
        &self,
        connection: &mut MultiplexedConnection,
        hold: &Hold,
        epoch: Uuid,
        ledger: &Ledger,
        added: &Call,
    ) -> RedisResult<Written<()>> {
        let keys = &self.keys;
        let mut call = self.go_on.key(&keys.meta);
        call.key(&keys.log).key(&keys.channel).key(&keys.lock);
        self.chunks_of(&mut call, Some(&ledger.snapshot));
        call.arg(hold.generation).arg(&hold.lineage).arg(epoch.as_simple().to_string()).arg(&hold.token);
        call.arg(ledger.epoch.as_simple().to_string()).arg(ledger.mark.row.0).arg(ledger.records.0);
        added.last.write(&mut call);
        call.arg(added.records.0);
        for entry in &added.entries {
            call.arg(entry.as_slice());
        }
        call.arg(self.replicas.0).arg(self.replicas.1);
        written(call.invoke_async(connection).await?)
    }

    /// Replaces the snapshot, and cuts the log up to where it ended `before` the directory was read.
    pub(crate) async fn compact(
        &self,
        connection: &mut MultiplexedConnection,
        token: &str,
        before: &Ledger,
        snapshot: &Snapshot,
    ) -> RedisResult<Written<()>> {
        let keys = &self.keys;
        let mut call = self.compact.key(&keys.meta);
        call.key(&keys.log).key(&keys.lock);
        self.chunks_of(&mut call, Some(snapshot));
        self.chunks_of(&mut call, Some(&before.snapshot));
        call.arg(before.generation).arg(before.epoch.as_simple().to_string());
        call.arg(before.last.to_string()).arg(before.last.next().to_string());
        call.arg(&snapshot.name).arg(snapshot.chunks).arg(snapshot.entries).arg(token);
        call.arg(&before.snapshot.name).arg(GRACE_SECONDS).arg(before.bytes);
        call.arg(self.replicas.0).arg(self.replicas.1);
        written(call.invoke_async(connection).await?)
    }
}

impl Mark {
    fn receipt_text(self) -> String {
        self.receipt.map(|id| id.as_simple().to_string()).unwrap_or_default()
    }

    fn write(self, call: &mut redis::ScriptInvocation<'_>) {
        call.arg(self.row.0).arg(self.receipt_text());
    }
}

fn written((word, _): (String, String)) -> RedisResult<Written<()>> {
    match word.as_str() {
        "ok" => Ok(Written::Done(())),
        "alone" => Ok(Written::Alone),
        "moved" => Ok(Written::Outdated),
        "lost" => Ok(Written::ChunkLost),
        _ => Err(nonsense()),
    }
}

fn nonsense() -> RedisError {
    RedisError::from((redis::ErrorKind::UnexpectedReturnType, "the answer of a script makes no sense"))
}

fn answer(value: Value) -> RedisResult<Answer> {
    type Fields = Vec<(String, Vec<(Vec<u8>, Vec<u8>)>)>;
    type Reply = (Vec<String>, u8, u8, Fields);
    let (meta, blessed, alone, fields): Reply = FromRedisValue::from_redis_value(value)?;
    // What makes no sense is no log: a control node writes one.
    let ledger = Ledger::read(&meta);
    let count = fields.len();
    let entries: Vec<LogEntry> = fields.into_iter().map_while(|(id, pairs)| log_entry(&id, pairs)).collect();
    let garbled = entries.len() < count;
    Ok(Answer { ledger, blessed: blessed != 0, alone: alone != 0, garbled, entries })
}

fn log_entry(id: &str, pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Option<LogEntry> {
    let (mut before, mut packed) = (None, None);
    for (name, value) in pairs {
        match name.as_slice() {
            b"p" => before = EntryId::parse(std::str::from_utf8(&value).ok()?),
            b"e" => packed = Some(value),
            _ => return None,
        }
    }
    Some(LogEntry { id: EntryId::parse(id)?, before: before?, packed: packed? })
}

/// What came by push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// An entry of the log of an epoch.
    Entry(Uuid, LogEntry),
    /// There is something to poll for.
    Look,
    /// Somebody waits for every node to say how far it has come.
    Report,
}

impl Push {
    /// Reads a message. What makes no sense is worth a look.
    pub(crate) fn read(message: &[u8]) -> Self {
        match message {
            b"report" => Self::Report,
            _ => Self::entry(message).unwrap_or(Self::Look),
        }
    }

    fn entry(message: &[u8]) -> Option<Self> {
        let mut words = message.splitn(5, |byte| *byte == b' ');
        let mut word = || words.next();
        if word()? != b"e" {
            return None;
        }
        let mut text = || word().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let epoch = Uuid::parse_str(text()?).ok()?;
        let (id, before) = (EntryId::parse(text()?)?, EntryId::parse(text()?)?);
        Some(Self::Entry(epoch, LogEntry { id, before, packed: words.next()?.to_vec() }))
    }
}
