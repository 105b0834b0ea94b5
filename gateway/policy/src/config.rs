//! `[policy]`: where the policies are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_model::limits::{POLICY_PULL_SECONDS, POLICY_PULL_SECONDS_MAX};
use doorward_model::{Complaint, KeyPath};
use serde::Deserialize;

/// `[policy]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PolicySection {
    /// The folder, relative to the configuration file.
    pub dir: Option<PathBuf>,
    /// Whether a changed file is loaded at once; true unless said otherwise.
    pub watch: Option<bool>,
    /// The public keys of those who sign bundles, as PEM files relative to the configuration file.
    #[serde(default)]
    pub keys: Vec<PathBuf>,
    /// From where bundles are pulled.
    pub source: Option<SourceSection>,
    /// How often it is asked.
    pub pull_seconds: Option<u64>,
}

/// `[policy.source]` as written: one of its three forms.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct SourceSection {
    /// A folder: the bundle in it with the highest sequence counts.
    pub dir: Option<PathBuf>,
    /// The address of one bundle.
    pub url: Option<String>,
    /// A file with the token that is shown there.
    pub token_file: Option<PathBuf>,
    /// The certificates that vouch for that address, instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// What the control nodes publish in Redis.
    pub redis: Option<bool>,
}

/// Where the policies are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySettings {
    /// The folder.
    pub dir: PathBuf,
    /// Whether a changed file is loaded at once. SIGHUP loads in any case.
    pub watch: bool,
    /// The public keys of those who sign bundles. None: no signature is asked for.
    pub keys: Vec<PathBuf>,
    /// From where bundles are pulled, if they are.
    pub source: Option<BundleSource>,
    /// How often it is asked.
    pub pull_every: Duration,
}

/// From where bundles are pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleSource {
    /// A folder: the bundle in it with the highest sequence counts.
    Folder(PathBuf),
    /// An address.
    Https {
        /// Which.
        url: String,
        /// A file with the token that is shown there.
        token_file: Option<PathBuf>,
        /// The certificates that vouch for it, instead of those of the system.
        ca_file: Option<PathBuf>,
    },
    /// What the control nodes publish in Redis.
    Redis,
}

impl PolicySettings {
    /// Checks the section. What the policies say is checked when they are loaded.
    pub fn check(
        section: Option<&PolicySection>,
        at: &KeyPath,
        base_dir: &Path,
        complaints: &mut Vec<Complaint>,
    ) -> Option<Self> {
        let Some((section, dir)) = section.and_then(|s| Some((s, s.dir.as_deref()?))) else {
            complaints.push(Complaint::new(
                at.key("dir"),
                "the folder of the policies is missing",
                "write `dir = \"policies\"`; without policies nobody could be let in",
            ));
            return None;
        };
        let dir = base_dir.join(dir);
        if !dir.is_dir() {
            complaints.push(Complaint::new(
                at.key("dir"),
                format!("`{}` is not a folder that can be read", dir.display()),
                "name the folder that holds `schema.cedarschema`; the path is relative to this file",
            ));
            return None;
        }
        let before = complaints.len();
        let keys: Vec<_> = section.keys.iter().map(|file| base_dir.join(file)).collect();
        for (i, file) in keys.iter().enumerate().filter(|(_, file)| !file.is_file()) {
            complaints.push(Complaint::new(
                at.key("keys").index(i),
                format!("`{}` is not a file that can be read", file.display()),
                "name the public half of the key, which `doorward policy bundle keygen` makes",
            ));
        }
        let source = section.source.as_ref();
        let source = source.and_then(|s| s.check(!keys.is_empty(), &at.key("source"), base_dir, complaints));
        let seconds = section.pull_seconds.unwrap_or(POLICY_PULL_SECONDS);
        if !(1..=POLICY_PULL_SECONDS_MAX).contains(&seconds) {
            complaints.push(Complaint::new(
                at.key("pull_seconds"),
                format!("{seconds} is out of range"),
                format!("write 1 to {POLICY_PULL_SECONDS_MAX}"),
            ));
        }
        let watch = section.watch.unwrap_or(true);
        let pull_every = Duration::from_secs(seconds);
        (complaints.len() == before).then_some(Self { dir, watch, keys, source, pull_every })
    }
}

/// Whether an address says who asks, or is none by its look.
fn names_somebody(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    host.is_empty() || host.contains('@') || url.chars().any(|c| c.is_whitespace() || c.is_control())
}

impl SourceSection {
    fn check(
        &self,
        has_keys: bool,
        at: &KeyPath,
        base_dir: &Path,
        complaints: &mut Vec<Complaint>,
    ) -> Option<BundleSource> {
        let mut complain = |at: KeyPath, message: &str, help: &str| {
            complaints.push(Complaint::new(at, message, help));
            None
        };
        if !has_keys {
            let help = "write `keys = [\"release.pub.pem\"]`; `doorward policy bundle keygen` makes a pair";
            return complain(at.clone(), "bundles are pulled, and nobody is named who signs them", help);
        }
        let only_url = [("token_file", &self.token_file), ("ca_file", &self.ca_file)];
        if self.url.is_none()
            && let Some((key, _)) = only_url.into_iter().find(|(_, file)| file.is_some())
        {
            return complain(
                at.key(key),
                "this is for an address only",
                "name the `url` too, or remove this",
            );
        }
        match (&self.dir, &self.url, self.redis) {
            (Some(dir), None, None | Some(false)) => Some(BundleSource::Folder(base_dir.join(dir))),
            (None, None, Some(true)) => Some(BundleSource::Redis),
            // What it says is told in the log, in answers and to other nodes.
            (None, Some(url), None | Some(false)) if names_somebody(url) => complain(
                at.key("url"),
                "this has a name or a password in it, or is no address",
                "write `https://HOST/PATH`, and what opens it into a file: `token_file = \"pull.token\"`",
            ),
            (None, Some(url), None | Some(false)) if url.starts_with("https://") => {
                let file = |file: &Option<PathBuf>| file.as_ref().map(|file| base_dir.join(file));
                let (token_file, ca_file) = (file(&self.token_file), file(&self.ca_file));
                Some(BundleSource::Https { url: url.clone(), token_file, ca_file })
            }
            (None, Some(_), None | Some(false)) => complain(
                at.key("url"),
                "this is not an address that begins with `https://`",
                "name one that does",
            ),
            (Some(_), Some(_), _) | (None, Some(_), Some(true)) | (Some(_), None, Some(true)) => complain(
                at.clone(),
                "there are two places to pull from",
                "keep one of `dir`, `url` and `redis`",
            ),
            (None, None, None | Some(false)) => {
                complain(at.clone(), "there is no place to pull from", "write `dir`, `url` or `redis = true`")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str, base: &Path) -> Result<PolicySettings, Vec<String>> {
        let section: PolicySection = toml::from_str(toml).unwrap();
        let mut complaints = Vec::new();
        let found =
            PolicySettings::check(Some(&section), &KeyPath::top().key("policy"), base, &mut complaints);
        found.ok_or_else(|| complaints.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_folder_is_found_beside_the_file_and_watched() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("p")).unwrap();
        let found = check("dir = \"p\"", base.path()).unwrap();
        let settings = PolicySettings {
            dir: base.path().join("p"),
            watch: true,
            keys: vec![],
            source: None,
            pull_every: Duration::from_secs(30),
        };
        assert_eq!(found, settings);
        assert!(!check("dir = \"p\"\nwatch = false", base.path()).unwrap().watch);
    }

    #[test]
    fn no_folder_no_gateway() {
        let base = tempfile::tempdir().unwrap();
        assert!(check("", base.path()).unwrap_err()[0].starts_with("policy.dir: the folder"));
        assert!(check("dir = \"nowhere\"", base.path()).unwrap_err()[0].contains("nowhere"));
        std::fs::write(base.path().join("file"), "").unwrap();
        assert!(check("dir = \"file\"", base.path()).unwrap_err()[0].contains("not a folder"));
        let mut complaints = Vec::new();
        assert!(PolicySettings::check(None, &KeyPath::top(), base.path(), &mut complaints).is_none());
        assert_eq!(complaints.len(), 1);
    }
    #[test]
    fn a_source_is_one_place_and_needs_a_key() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("p")).unwrap();
        std::fs::write(base.path().join("k.pem"), "").unwrap();
        let with = |keys: &str, source: &str| check(&format!("dir = \"p\"\n{keys}\n{source}"), base.path());
        let (keys, key) = ("keys = [\"k.pem\"]", base.path().join("k.pem"));
        let found = with(keys, "source = { dir = \"b\" }\npull_seconds = 5").unwrap();
        assert_eq!(found.source, Some(BundleSource::Folder(base.path().join("b"))));
        assert_eq!((found.keys, found.pull_every), (vec![key], Duration::from_secs(5)));
        assert_eq!(with(keys, "source = { redis = true }").unwrap().source, Some(BundleSource::Redis));
        let found = with(keys, "source = { url = \"https://x/y.dwp\", token_file = \"t\" }").unwrap();
        assert!(matches!(found.source, Some(BundleSource::Https { token_file: Some(_), .. })));
        for (keys, source, complaint) in [
            ("", "source = { dir = \"b\" }", "policy.source: bundles are pulled, and nobody is named"),
            ("keys = [\"no.pem\"]", "", "policy.keys[0]: "),
            (keys, "source = {}", "policy.source: there is no place"),
            (keys, "source = { dir = \"b\", redis = true }", "policy.source: there are two places"),
            (keys, "source = { url = \"http://x\" }", "policy.source.url: this is not an address"),
            (
                keys,
                "source = { url = \"https://ann:pw@x/y\" }",
                "policy.source.url: this has a name or a password",
            ),
            (keys, "source = { url = \"https:// x/y\" }", "policy.source.url: this has a name or a password"),
            (keys, "source = { dir = \"b\", token_file = \"t\" }", "policy.source.token_file: this is for"),
            (keys, "pull_seconds = 0", "policy.pull_seconds: 0 is out of range"),
        ] {
            let told = with(keys, source).unwrap_err();
            assert!(told[0].starts_with(complaint), "{told:?}");
        }
    }
}
