//! Where the server is that takes writes.
//!
//! One key tag lives on one server, also in a cluster, so it is enough to find that one and to speak
//! to it directly. What proves a lease is then always one connection to one process.

use redis::Value;

use crate::config::{Address, RedisConfig, RedisMode};
use crate::fleet::link::{Peer, Trouble, open};

/// The servers to try, the best first.
pub(crate) async fn candidates(
    config: &RedisConfig,
    key: &str,
    turn: usize,
) -> Result<Vec<Address>, Trouble> {
    let mut written = config.addresses().to_vec();
    let first_asked = turn % written.len().max(1);
    written.rotate_left(first_asked);
    match config.mode() {
        RedisMode::Standalone => Ok(written),
        RedisMode::Sentinel => first(&written, |address| ask_sentinel(config, address)).await,
        RedisMode::Cluster => first(&written, |address| ask_cluster(config, address, key)).await,
    }
}

/// Whether somebody who knows says that another server than this one takes writes.
pub(crate) async fn is_another(config: &RedisConfig, key: &str, server: &str, turn: usize) -> bool {
    match config.mode() {
        RedisMode::Standalone => false,
        RedisMode::Sentinel | RedisMode::Cluster => candidates(config, key, turn)
            .await
            .is_ok_and(|named| named.iter().all(|primary| primary.to_string() != server)),
    }
}

/// Whether more than half of those who know say that `server` is the one that takes writes.
pub(crate) async fn is_elected(config: &RedisConfig, key: &str, server: &str) -> bool {
    let electors = config.addresses();
    let mut asked = tokio::task::JoinSet::new();
    for elector in electors {
        let (config, elector, key) = (config.clone(), elector.clone(), key.to_owned());
        asked.spawn(async move {
            match config.mode() {
                RedisMode::Standalone => Ok(elector),
                RedisMode::Sentinel => ask_sentinel(&config, &elector).await,
                RedisMode::Cluster => ask_cluster(&config, &elector, &key).await,
            }
        });
    }
    let mut for_it = 0;
    while let Some(answer) = asked.join_next().await {
        if config.mode() == RedisMode::Standalone
            || answer.is_ok_and(|said| said.is_ok_and(|at| at.to_string() == server))
        {
            for_it += 1;
        }
        if 2 * for_it > electors.len() {
            return true;
        }
    }
    false
}

/// The first answer; if there is none, the last trouble.
async fn first<'a, F>(
    addresses: &'a [Address],
    ask: impl Fn(&'a Address) -> F,
) -> Result<Vec<Address>, Trouble>
where
    F: Future<Output = Result<Address, Trouble>>,
{
    let mut last = Trouble::Nowhere;
    for address in addresses {
        match ask(address).await {
            Ok(found) => return Ok(vec![found]),
            Err(trouble) => last = trouble,
        }
    }
    Err(last)
}

async fn ask_sentinel(config: &RedisConfig, sentinel: &Address) -> Result<Address, Trouble> {
    let mut connection = open(config, sentinel, Peer::Sentinel, None).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(config.primary_name());
    let found: Option<(String, u16)> =
        command.query_async(&mut connection).await.map_err(|e| Trouble::said(sentinel, &e))?;
    let (host, port): (String, u16) = found.ok_or_else(|| Trouble::UnknownPrimary {
        sentinel: sentinel.to_string(),
        name: config.primary_name().to_owned(),
    })?;
    address(&host, i64::from(port)).ok_or_else(|| {
        let what = format!("`{host}` is no address");
        Trouble::Said { server: sentinel.to_string(), what }
    })
}

fn address(host: &str, port: i64) -> Option<Address> {
    let bracketed = host.contains(':') && !host.starts_with('[');
    Address::parse(&if bracketed { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

async fn ask_cluster(config: &RedisConfig, node: &Address, key: &str) -> Result<Address, Trouble> {
    let mut connection = open(config, node, Peer::Server, None).await?;
    let said = |e| Trouble::said(node, &e);
    let slot: i64 =
        redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query_async(&mut connection).await.map_err(said)?;
    let slots: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await.map_err(said)?;
    owner(&slots, slot, node).ok_or_else(|| Trouble::NoOwner { node: node.to_string() })
}

/// The primary of a slot, in the answer of `CLUSTER SLOTS`: `[first, last, [host, port, ...], ...]`.
fn owner(slots: &Value, slot: i64, asked: &Address) -> Option<Address> {
    let Value::Array(ranges) = slots else { return None };
    ranges.iter().find_map(|range| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice() else {
            return None;
        };
        let [host, Value::Int(port), ..] = primary.as_slice() else { return None };
        if !(*first..=*last).contains(&slot) {
            return None;
        }
        let host = match host {
            Value::BulkString(bytes) if !bytes.is_empty() => String::from_utf8(bytes.clone()).ok()?,
            Value::SimpleString(text) if !text.is_empty() => text.clone(),
            // "The node that you asked".
            _ => asked.host().to_owned(),
        };
        address(&host, *port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_slot_is_found() {
        let node = |host: &str, port| {
            Value::Array(vec![Value::BulkString(host.as_bytes().to_vec()), Value::Int(port)])
        };
        let range = |first, last, primary| Value::Array(vec![Value::Int(first), Value::Int(last), primary]);
        let slots = Value::Array(vec![range(0, 99, node("10.0.0.1", 7)), range(100, 200, node("", 8))]);
        let asked = Address::parse("seed:1").unwrap();
        assert_eq!(owner(&slots, 99, &asked).unwrap().to_string(), "10.0.0.1:7");
        assert_eq!(
            owner(&slots, 100, &asked).unwrap().to_string(),
            "seed:8",
            "an empty host is the asked one"
        );
        assert_eq!(owner(&slots, 201, &asked), None);
        assert_eq!(owner(&Value::Nil, 1, &asked), None);
    }
}
