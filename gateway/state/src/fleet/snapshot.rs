//! The directory, written to Redis in pieces.

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use crate::fleet::ledger::Snapshot;
use crate::fleet::pack::{Chunk, pack, pack_record};
use crate::fleet::script::Keys;
use crate::records::Record;
use crate::store::Held;

/// So large is a piece at most: large enough that a million entries are a few hundred, small enough
/// that no answer holds up the polls of others. It fits into the 128 KiB that Redis' allocator gives; a
/// little more would take 160.
pub(crate) const CHUNK_BYTES: usize = 127 * 1024;
/// A piece that nobody has blessed by then is rubbish of a control node that died.
const UNBLESSED_SECONDS: u64 = 3600;

/// A snapshot that is being written.
pub(crate) struct Writing {
    chunk: Chunk,
    snapshot: Snapshot,
}

impl Writing {
    pub(crate) fn new() -> Self {
        let name = Uuid::new_v4().as_simple().to_string();
        Self { chunk: Chunk::new(), snapshot: Snapshot { name, chunks: 0, entries: 0 } }
    }

    /// Adds what holds for some targets.
    pub(crate) async fn add(
        &mut self,
        connection: &mut MultiplexedConnection,
        keys: &Keys,
        page: &[Held],
    ) -> RedisResult<()> {
        for held in page {
            self.push(connection, keys, &pack(held)).await?;
        }
        Ok(())
    }

    /// Adds records, of published kinds, as they are.
    pub(crate) async fn add_records(
        &mut self,
        connection: &mut MultiplexedConnection,
        keys: &Keys,
        page: &[Record],
    ) -> RedisResult<()> {
        for record in page {
            self.push(connection, keys, &pack_record(record)).await?;
        }
        Ok(())
    }

    async fn push(
        &mut self,
        connection: &mut MultiplexedConnection,
        keys: &Keys,
        entry: &[u8],
    ) -> RedisResult<()> {
        if self.chunk.len_with(entry) > CHUNK_BYTES && !self.chunk.is_empty() {
            self.flush(connection, keys).await?;
        }
        self.chunk.push(entry);
        self.snapshot.entries += 1;
        Ok(())
    }

    /// Writes the last piece.
    pub(crate) async fn finish(
        mut self,
        connection: &mut MultiplexedConnection,
        keys: &Keys,
    ) -> RedisResult<Snapshot> {
        if !self.chunk.is_empty() {
            self.flush(connection, keys).await?;
        }
        Ok(self.snapshot)
    }

    async fn flush(&mut self, connection: &mut MultiplexedConnection, keys: &Keys) -> RedisResult<()> {
        let key = keys.chunk(&self.snapshot.name, self.snapshot.chunks);
        let mut command = redis::cmd("SET");
        command.arg(key).arg(self.chunk.take()).arg("EX").arg(UNBLESSED_SECONDS);
        command.exec_async(connection).await?;
        self.snapshot.chunks += 1;
        Ok(())
    }
}

/// Removes the pieces of a snapshot that nobody was told of.
pub(crate) async fn discard(
    connection: &mut MultiplexedConnection,
    keys: &Keys,
    snapshot: &Snapshot,
) -> RedisResult<()> {
    for number in 0..snapshot.chunks {
        redis::cmd("DEL").arg(keys.chunk(&snapshot.name, number)).exec_async(connection).await?;
    }
    Ok(())
}
