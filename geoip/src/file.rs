//! One file: read whole, checked whole, then only asked.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};

use crate::error::FileError;
use crate::facts::Facts;
use crate::record::Record;

/// The largest file, in bytes. The files stay in memory.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The most different records of one file.
pub const RECORDS_MAX: usize = 16 * 1024 * 1024;

/// Whether addresses are compared with a second way to their record, every so many networks.
const CROSS_CHECK_EVERY: usize = 1024;

/// A file that answers. Every record was decoded when it was opened.
pub(crate) struct Database {
    path: PathBuf,
    bytes: Arc<[u8]>,
    reader: Reader<Arc<[u8]>>,
    /// Offsets of records in the file, sorted, each with its place in `facts`.
    records: Box<[(u32, u32)]>,
    facts: Box<[Facts]>,
    /// It is made to answer that question, so an address that it does not list is none.
    lists_anonymizers: bool,
}

// === impl Database ===

impl Database {
    /// Reads a file whole, within the bounds.
    pub(crate) fn read(path: &Path) -> Result<Arc<[u8]>, FileError> {
        let unreadable = |cause| FileError::Unreadable { path: path.to_owned(), cause };
        let too_large = || FileError::TooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX };
        // Asked before the file is opened, because opening a pipe waits for its other end.
        let about = std::fs::metadata(path).map_err(unreadable)?;
        if !about.is_file() {
            return Err(FileError::NotAFile { path: path.to_owned() });
        }
        if about.len() > FILE_BYTES_MAX {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
        let file = File::open(path).map_err(unreadable)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        // It may have grown since it was asked.
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(too_large());
        }
        Ok(bytes.into())
    }

    /// Checks the whole file and takes it.
    pub(crate) fn check(path: &Path, bytes: Arc<[u8]>) -> Result<Self, FileError> {
        let damaged = |reason: String| FileError::Damaged { path: path.to_owned(), reason };
        // The decoder returns errors for damage. Should it have a bug, the panic ends here and not
        // in the gateway.
        let walked = catch_unwind(AssertUnwindSafe(|| walk(Arc::clone(&bytes))));
        let walked = walked.unwrap_or_else(|_| Err("the decoder gave up".to_owned())).map_err(damaged)?;
        let Walked { reader, records, facts, lists_anonymizers } = walked;
        if facts.iter().all(Facts::is_empty) {
            let database_type = reader.metadata().database_type.chars().take(80).collect();
            return Err(FileError::NothingUseful { path: path.to_owned(), database_type });
        }
        Ok(Self { path: path.to_owned(), bytes, reader, records, facts, lists_anonymizers })
    }

    /// What the file says of an address, which is canonical: no IPv4 inside IPv6.
    pub(crate) fn find(&self, ip: IpAddr) -> Option<Facts> {
        // The only error that is left is an IPv6 address asked of an IPv4 file, which says nothing.
        let found = self.reader.lookup(ip).ok()?;
        let Some(offset) = found.offset() else {
            return self.lists_anonymizers.then(|| Facts { anonymizer: Some(false), ..Facts::default() });
        };
        let offset = u32::try_from(offset).ok()?;
        let at = self.records.binary_search_by_key(&offset, |(offset, _)| *offset).ok()?;
        let (_, place) = self.records.get(at)?;
        self.facts.get(usize::try_from(*place).ok()?).cloned()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn metadata(&self) -> &maxminddb::Metadata {
        self.reader.metadata()
    }
}

struct Walked {
    reader: Reader<Arc<[u8]>>,
    records: Box<[(u32, u32)]>,
    facts: Box<[Facts]>,
    lists_anonymizers: bool,
}

/// Visits every network of the file and decodes every record.
///
/// The library's own `verify` is not used: it refuses files without a description, and databases
/// that are otherwise sound come without one.
fn walk(bytes: Arc<[u8]>) -> Result<Walked, String> {
    let say = |e: MaxMindDbError| e.to_string();
    let reader = Reader::from_source(bytes).map_err(say)?;
    let metadata = reader.metadata();
    if metadata.build_epoch == 0 {
        return Err("it does not say when it was built".to_owned());
    }
    let lists_anonymizers = metadata.database_type.contains("Anonymous");
    // Each node has two ends, and IPv6 trees hang the IPv4 tree into at most a handful of places
    // (RFC 4291 mapped, 6to4, Teredo). A tree with more ends than that goes in circles. Ends without
    // data are counted too: a damaged tree could otherwise be walked for ever without one.
    let ends_max =
        usize::try_from(metadata.node_count).unwrap_or(usize::MAX).saturating_add(1).saturating_mul(8);
    let everything = WithinOptions::default().include_networks_without_data().include_aliased_networks();

    let mut places: HashMap<u32, u32> = HashMap::new();
    let mut known: HashMap<Facts, u32> = HashMap::new();
    let mut facts: Vec<Facts> = Vec::new();
    let mut ends = 0_usize;
    for network in reader.networks(everything).map_err(say)? {
        let network = network.map_err(say)?;
        ends += 1;
        if ends > ends_max {
            return Err("the search tree goes in circles".to_owned());
        }
        let Some(offset) = network.offset() else { continue };
        if ends % CROSS_CHECK_EVERY == 1 {
            let ip = network.network().map_err(say)?.ip();
            if reader.lookup(ip).map_err(say)?.offset() != Some(offset) {
                return Err(format!("a lookup of `{ip}` does not find its network"));
            }
        }
        let offset = u32::try_from(offset).map_err(|_| "a record lies too far away".to_owned())?;
        if places.contains_key(&offset) {
            continue;
        }
        if places.len() >= RECORDS_MAX {
            return Err(format!("it has more than {RECORDS_MAX} records"));
        }
        let record: Record = network.decode().map_err(say)?.unwrap_or_default();
        let said = record.facts();
        let place = match known.get(&said) {
            Some(place) => *place,
            None => {
                let place = u32::try_from(facts.len()).map_err(|_| "it has too many records".to_owned())?;
                known.insert(said.clone(), place);
                facts.push(said);
                place
            }
        };
        places.insert(offset, place);
    }
    let mut records: Vec<(u32, u32)> = places.into_iter().collect();
    records.sort_unstable();
    Ok(Walked { records: records.into(), facts: facts.into(), reader, lists_anonymizers })
}
