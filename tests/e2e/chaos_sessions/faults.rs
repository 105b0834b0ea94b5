//! What goes wrong, one thing after the other, for a while each.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_servers::{Disk, Redis};
use doorward_tests::front_door::FrontDoor;
use doorward_tests::gateway::Signal;
use serde_json::json;

use crate::crowd::{ALL, Crowd};
use crate::random::Random;

/// How long a fault lasts.
const LASTS: Duration = Duration::from_millis(1500);

/// How many keys a gateway takes. By then nobody has a cookie of the first one any more.
pub(crate) const KEYS_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody listens there.
    ProviderDown,
    /// It answers 503.
    ProviderRefuses,
    /// It takes its time.
    ProviderSlow,
    /// It signs with another key, and the old one is gone.
    ProviderKeys,
    /// Redis is killed and started anew, with what it had on its disk or without.
    StoreRestart,
    /// The gateway is killed and started anew on its files.
    GatewayKilled,
    /// Cookies are sealed with another key from now on; the old one opens them still.
    SealKey,
}

impl Fault {
    /// In the order of a seed; without Redis none of it is restarted.
    pub(crate) fn all(random: &mut Random, redis: bool) -> Vec<Self> {
        let mut left = vec![
            Self::ProviderDown,
            Self::ProviderRefuses,
            Self::ProviderSlow,
            Self::ProviderKeys,
            Self::GatewayKilled,
            Self::SealKey,
        ];
        left.extend(redis.then_some(Self::StoreRestart));
        let mut all = Vec::new();
        while !left.is_empty() {
            all.push(left.remove(random.one_of(left.len())));
        }
        all
    }
}

/// The house and what it stands on.
pub(crate) struct Site {
    pub(crate) door: FrontDoor,
    pub(crate) redis: Option<Redis>,
    /// The keys of cookies, the newest first.
    pub(crate) keys: Vec<PathBuf>,
    pub(crate) folder: tempfile::TempDir,
}

impl Site {
    /// A file with a key that nobody had before.
    pub(crate) fn new_key(folder: &std::path::Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let mut key = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut key).unwrap();
        let number = std::fs::read_dir(folder).unwrap().count();
        let file = folder.join(format!("seal-{number}.key"));
        std::fs::write(&file, STANDARD.encode(key)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// Has it happen, and mends it.
    pub(crate) async fn happens(self, fault: Fault, crowd: &Crowd, random: &mut Random) -> Self {
        let Self { door, redis, mut keys, folder } = self;
        let door = match fault {
            Fault::ProviderDown => {
                door.provider.down().await;
                tokio::time::sleep(LASTS).await;
                door.provider.up().await;
                door
            }
            Fault::ProviderRefuses | Fault::ProviderSlow => {
                let slow = if fault == Fault::ProviderSlow { 700 } else { 0 };
                door.provider.faults(json!({"refuse": slow == 0, "slow_millis": slow})).await;
                tokio::time::sleep(LASTS).await;
                door.provider.faults(json!({"refuse": false, "slow_millis": 0})).await;
                door
            }
            Fault::ProviderKeys => {
                door.provider.rotate_keys(true).await;
                tokio::time::sleep(LASTS).await;
                door
            }
            Fault::StoreRestart => {
                crowd.troubled(ALL);
                let disk = if random.one_of(2) == 0 { Disk::Kept } else { Disk::Wiped };
                redis.as_ref().unwrap().restart(disk);
                tokio::time::sleep(LASTS).await;
                door
            }
            Fault::GatewayKilled => {
                crowd.troubled(ALL);
                door.restart(Signal::SIGKILL, |_| {}).await
            }
            Fault::SealKey => {
                crowd.troubled(ALL);
                keys.truncate(KEYS_MAX - 1);
                keys.insert(0, Self::new_key(folder.path()));
                let all = json!(keys);
                door.restart(Signal::SIGTERM, |config| {
                    config.set("sign_in.key_files", all);
                })
                .await
            }
        };
        Self { door, redis, keys, folder }
    }
}
