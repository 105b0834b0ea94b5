//! `[operator]`: where operators connect, and the token that they show.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use doorward_identity::owner_only::{self, OwnerOnlyError};
use doorward_model::complaint::{Complaint, KeyPath};
use serde::Deserialize;

/// Where operators connect unless the file says otherwise: this machine only.
pub const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);
/// The shortest token, in characters.
const TOKEN_CHARS_MIN: usize = 32;
/// The longest token file, in bytes.
const TOKEN_BYTES_MAX: u64 = 4096;

/// `[operator]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct OperatorSection {
    /// Address and port.
    pub address: Option<String>,
    /// The file that holds the token.
    pub token_file: Option<PathBuf>,
    /// Names under which it may be called, besides its address.
    pub hosts: Option<Vec<String>>,
}

/// Where operators connect.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Address and port.
    pub address: SocketAddr,
    /// What an operator must show; without it `/api/v1` is closed.
    pub token: Option<OperatorToken>,
    /// Where the token stands, for commands that talk to the gateway.
    pub token_file: Option<PathBuf>,
    /// Names under which it may be called, besides its address (against DNS rebinding).
    pub hosts: Vec<String>,
}

/// The secret that opens the operator API. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorToken(String);

/// Why a file does not hold a token. No variant repeats what the file holds.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file cannot be read as one that is its owner's alone.
    #[error(transparent)]
    File(#[from] OwnerOnlyError),
    /// The token is too short to be a secret.
    #[error("the token in `{}` has {chars} characters, fewer than {TOKEN_CHARS_MIN}", .file.display())]
    Short {
        /// The file.
        file: PathBuf,
        /// How many characters it has.
        chars: usize,
    },
    /// The file holds spaces or unprintable characters.
    #[error("`{}` does not hold one token of visible ASCII characters", .0.display())]
    Garbled(PathBuf),
}

/// Reads a token and makes sure that it is one.
///
/// # Errors
/// When the file is unreadable, open to others, or does not hold a token of 32 characters.
pub fn read_token(file: &Path) -> Result<OperatorToken, TokenFileError> {
    let bytes = owner_only::read(file, TOKEN_BYTES_MAX)?;
    let token = bytes.trim_ascii_end();
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err(TokenFileError::Garbled(file.to_owned()));
    }
    if token.len() < TOKEN_CHARS_MIN {
        return Err(TokenFileError::Short { file: file.to_owned(), chars: token.len() });
    }
    String::from_utf8(token.to_vec()).map(OperatorToken).map_err(|_| TokenFileError::Garbled(file.to_owned()))
}

impl TokenFileError {
    /// How to mend it.
    #[must_use]
    pub fn help(&self) -> String {
        let (file, help) = match self {
            Self::File(why) => (why.file(), why.help()),
            Self::Short { file, .. } | Self::Garbled(file) => (file.as_path(), None),
        };
        let file = file.display();
        help.unwrap_or_else(|| {
            format!("make one: `(umask 077; head -c 32 /dev/urandom | base64 -w0 > {file})`")
        })
    }
}

impl OperatorToken {
    /// The secret itself, for the one place that compares or sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(…)")
    }
}

impl Operator {
    pub(super) fn check(
        section: Option<&OperatorSection>,
        at: &KeyPath,
        base_dir: &Path,
        complaints: &mut Vec<Complaint>,
    ) -> Option<Self> {
        let none = OperatorSection::default();
        let section = section.unwrap_or(&none);
        let address = address(section, at, complaints);
        let token_file = section.token_file.as_ref().map(|file| base_dir.join(file));
        let token = match token_file.as_deref().map(read_token) {
            None => None,
            Some(Ok(token)) => Some(token),
            Some(Err(e)) => {
                complaints.push(Complaint::new(at.key("token_file"), e.to_string(), e.help()));
                None
            }
        };
        let hosts = section.hosts.clone().unwrap_or_default();
        Some(Self { address: address?, token, token_file, hosts })
    }
}

pub(super) fn address(
    section: &OperatorSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<SocketAddr> {
    let Some(written) = section.address.as_deref() else { return Some(ADDRESS) };
    match written.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            complaints.push(Complaint::new(
                at.key("address"),
                format!("`{}` is not an address with a port", written.chars().take(100).collect::<String>()),
                format!("write it like `{ADDRESS}`"),
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_file_is_private_long_and_one_word() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let good = "0123456789abcdefghijklmnopqrstuv";
        for (content, mode, want) in [
            (good.to_owned(), 0o600, Ok(good)),
            (format!("{good}\n"), 0o400, Ok(good)),
            (good.to_owned(), 0o640, Err("mode 640")),
            (good.to_owned(), 0o604, Err("mode 604")),
            (good.to_owned(), 0o622, Err("mode 622")),
            (good[1..].to_owned(), 0o600, Err("has 31 characters")),
            (String::new(), 0o600, Err("has 0 characters")),
            (format!("{good} {good}"), 0o600, Err("visible ASCII")),
            (format!("{good}\n{good}"), 0o600, Err("visible ASCII")),
            (format!("{good}ä"), 0o600, Err("visible ASCII")),
            ("x".repeat(5000), 0o600, Err("larger than 4096 bytes")),
        ] {
            fs::write(&file, &content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            match (read_token(&file), want) {
                (Ok(token), Ok(want)) => assert_eq!(token.expose(), want),
                (Err(e), Err(want)) => {
                    assert!(e.to_string().contains(want), "{e}");
                    assert!(!e.to_string().contains("ghijkl") && !e.help().contains("ghijkl"), "{e}");
                }
                (got, want) => panic!("{content:?} {mode:o}: {got:?}, want {want:?}"),
            }
            fs::remove_file(&file).unwrap();
        }
        assert!(matches!(read_token(&file), Err(TokenFileError::File(OwnerOnlyError::Unreadable { .. }))));
        let folder = read_token(dir.path());
        assert!(matches!(folder, Err(TokenFileError::File(OwnerOnlyError::NotAFile(_)))));
    }

    #[test]
    fn debug_does_not_show_the_token() {
        let operator = Operator {
            address: ADDRESS,
            token: Some(OperatorToken("very-secret-very-secret-very-secret".to_owned())),
            token_file: None,
            hosts: Vec::new(),
        };
        assert!(!format!("{operator:?}").contains("secret"));
    }
}
