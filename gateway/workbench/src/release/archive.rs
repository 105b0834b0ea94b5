//! The tar file: written in one way, read with suspicion.
//!
//! Only the header of POSIX (ustar) is read, none of its extensions: two readers of tar may see different files
//! where there are some.

use std::collections::BTreeMap;
use std::io::Read as _;

use doorward_model::limits::{
    POLICY_BUNDLE_BYTES_MAX, POLICY_FILE_BYTES_MAX, POLICY_FILES_MAX, POLICY_FOLDER_BYTES_MAX,
    POLICY_FOLDERS_DEEP_MAX, POLICY_MANIFEST_BYTES_MAX, POLICY_PATH_BYTES_MAX,
};
use tar::{Archive, Builder, EntryType, Header};

use super::{BuildError, Refused};

const MANIFEST: &str = "manifest.json";
const SIGNATURES: &str = "signatures.json";
/// The files of the folder stand below this.
const FILES: &str = "policies/";
const MODE: u32 = 0o644;
/// What a header of POSIX has, and where.
const MAGIC: &[u8] = b"ustar";
const MAGIC_AT: usize = 257;

/// What is in a tar file, before anything of it is believed.
pub(super) struct Parts {
    pub(super) manifest: Vec<u8>,
    pub(super) signatures: Vec<u8>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// Whether a path can stand in a bundle, on every system alike: no way out of the folder, nothing hidden.
pub(super) fn path_fault(path: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let parts: Vec<_> = path.split('/').collect();
    if path.len() > POLICY_PATH_BYTES_MAX {
        Some(format!("it is longer than {POLICY_PATH_BYTES_MAX} bytes"))
    } else if parts.len() > POLICY_FOLDERS_DEEP_MAX + 1 {
        Some(format!("it is more than {POLICY_FOLDERS_DEEP_MAX} folders deep"))
    } else if parts.iter().any(|part| part.is_empty() || part.starts_with('.')) {
        Some("a part of it is empty or begins with a dot".to_owned())
    } else if !parts.iter().all(|part| part.chars().all(plain)) {
        Some("it has other characters than letters, digits, `.`, `_` and `-`".to_owned())
    } else {
        None
    }
}

/// Whether the first header is that of a manifest.
pub(super) fn begins_as_one(bytes: &[u8]) -> bool {
    let at = |from: usize, what: &[u8]| bytes.get(from..from + what.len()) == Some(what);
    at(0, MANIFEST.as_bytes()) && at(MANIFEST.len(), b"\0") && at(MAGIC_AT, MAGIC)
}

/// Writes the parts. The same parts make the same bytes.
pub(super) fn write<'a>(
    manifest: &[u8],
    signatures: &[u8],
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<u8>, BuildError> {
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, MANIFEST, manifest)?;
    add(&mut tar, SIGNATURES, signatures)?;
    for (path, bytes) in files {
        add(&mut tar, &format!("{FILES}{path}"), bytes)?;
    }
    tar.into_inner().map_err(|e| BuildError::Full(e.to_string()))
}

fn add(tar: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8]) -> Result<(), BuildError> {
    let fault = |e: std::io::Error| BuildError::Path(path.to_owned(), e.to_string());
    let mut header = Header::new_ustar();
    header.set_path(path).map_err(fault)?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(MODE);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    tar.append(&header, bytes).map_err(fault)
}

/// Takes a tar file apart. Whether it is written as [`write`] writes is for the caller to ask.
pub(super) fn read(bundle: &[u8]) -> Result<Parts, Refused> {
    if bundle.len() as u64 > POLICY_BUNDLE_BYTES_MAX {
        return Err(Refused::TooLarge);
    }
    let wrong = |why: &str| Refused::NotABundle(why.to_owned());
    // The library's own words quote what it read, which may be a private key that was named by mistake.
    let unreadable = |_: std::io::Error| wrong("it is no tar file, or a damaged one");
    let mut archive = Archive::new(bundle);
    let mut entries = archive.entries().map_err(unreadable)?.raw(true);
    let mut parts = Parts { manifest: Vec::new(), signatures: Vec::new(), files: BTreeMap::new() };
    let mut left = POLICY_FOLDER_BYTES_MAX;
    let mut last = String::new();
    for number in 0_usize.. {
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(unreadable)?;
        if entry.header().entry_type() != EntryType::Regular || entry.header().as_ustar().is_none() {
            return Err(wrong("something in it is not a plain file"));
        }
        let path =
            String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| wrong("a path is no text"))?;
        let most = match (number, path.as_str()) {
            (0, MANIFEST) | (1, SIGNATURES) => POLICY_MANIFEST_BYTES_MAX,
            (0 | 1, _) => return Err(wrong("it does not begin with `manifest.json` and `signatures.json`")),
            (_, _) => left.min(POLICY_FILE_BYTES_MAX),
        };
        let mut bytes = Vec::new();
        (&mut entry).take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > most {
            return Err(wrong("a file in it is too large"));
        }
        match number {
            0 => parts.manifest = bytes,
            1 => parts.signatures = bytes,
            _ => {
                let inner =
                    path.strip_prefix(FILES).ok_or_else(|| wrong("a file is not below `policies/`"))?;
                if let Some(fault) = path_fault(inner) {
                    return Err(Refused::NotABundle(format!("a path in it cannot be used: {fault}")));
                }
                if inner <= last.as_str() {
                    return Err(wrong("its files are not in the order of their paths"));
                }
                if parts.files.len() >= POLICY_FILES_MAX {
                    return Err(wrong("it has too many files"));
                }
                inner.clone_into(&mut last);
                left -= bytes.len() as u64;
                parts.files.insert(last.clone(), bytes);
            }
        }
    }
    if parts.manifest.is_empty() || parts.signatures.is_empty() {
        return Err(wrong("it has no manifest, or no list of signatures"));
    }
    Ok(parts)
}
