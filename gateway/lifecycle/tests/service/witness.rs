//! A gateway that tells what the tests say, and a key of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_audit::Protocol;
use doorward_lifecycle::receipt::facts::{ProtocolEnded, Remainder};
use doorward_lifecycle::receipt::{Opened, PublicKeys, Receipt, Signer, open};
use doorward_lifecycle::service::{Found, KeptSessions, Lifecycle, Witness};
use doorward_model::{AppId, IssuerId, UnixMillis, UserId};
use uuid::Uuid;

/// What the gateway would say.
#[derive(Clone, Default)]
pub(crate) struct Says {
    /// What each revocation ended, whichever it is. None: it was forgotten.
    pub(crate) ended: Arc<Mutex<Option<Vec<ProtocolEnded>>>>,
    pub(crate) running: Arc<Mutex<u64>>,
    pub(crate) allowed: Arc<Mutex<Option<(u64, UnixMillis)>>>,
    pub(crate) logged: Arc<Mutex<Option<u64>>>,
    pub(crate) watched: Arc<Mutex<BTreeSet<UserId>>>,
    /// What is kept of sessions, whosever. None: it cannot be asked.
    pub(crate) sessions: Arc<Mutex<Option<KeptSessions>>>,
}

impl Says {
    /// Nothing was ended, nothing runs, nobody was let in.
    pub(crate) fn nothing() -> Self {
        let says = Self::default();
        *says.ended.lock().unwrap() = Some(Vec::new());
        *says.allowed.lock().unwrap() = Some((0, UnixMillis(0)));
        *says.sessions.lock().unwrap() = Some(KeptSessions::default());
        says
    }

    pub(crate) fn witness(&self, dir: &Path) -> Witness {
        let (ended, running) = (Arc::clone(&self.ended), Arc::clone(&self.running));
        let (allowed, logged) = (Arc::clone(&self.allowed), Arc::clone(&self.logged));
        let (watched, sessions) = (Arc::clone(&self.watched), Arc::clone(&self.sessions));
        Witness {
            gateway: "https://door.corp.example".to_owned(),
            node: "gw-1".to_owned(),
            version: "0.1.0".to_owned(),
            instance: Uuid::new_v4(),
            signer: Arc::new(Signer::open(dir).unwrap()),
            patience: Duration::from_secs(10),
            ended: Arc::new(move |_| ended.lock().unwrap().clone()),
            running: Arc::new(move |_| *running.lock().unwrap()),
            watch: Arc::new(move |users: Vec<UserId>| watched.lock().unwrap().extend(users)),
            allowed: Arc::new(move |_| *allowed.lock().unwrap()),
            logged: Arc::new(move |_| logged.lock().unwrap().ok_or_else(|| "the log is away".to_owned())),
            sessions: Some(Arc::new(move |_| {
                let kept = sessions.lock().unwrap().ok_or_else(|| "the store is away".to_owned());
                Box::pin(async move { kept })
            })),
            remains: Arc::new(|()| {
                let app = AppId::new("payslips").unwrap();
                vec![Remainder::ManualApp { app, owner: "hr-apps".to_owned() }]
            }),
            token_decides: Arc::new(|issuer: IssuerId| issuer.as_str() == "lab"),
        }
    }
}

/// Makes receipts from now on, in a task that ends with the runtime.
pub(crate) async fn make_receipts(lives: &Lifecycle, witness: Witness) {
    let receipts = lives.make_receipts(witness).await.unwrap();
    tokio::spawn(receipts.keep());
}

pub(crate) fn ended(protocol: Protocol, ended: u64, still_open: u64) -> ProtocolEnded {
    let last_byte_micros = (still_open == 0).then_some(900);
    ProtocolEnded { protocol, ended, still_open, last_byte_micros }
}

/// A receipt as an auditor opens it, with the public keys that lie beside the gateway's own.
pub(crate) async fn opened(lives: &Lifecycle, dir: &Path, id: Uuid) -> Receipt {
    let found = lives.await_receipt(id, Duration::from_secs(60)).await.unwrap();
    let Some(Found::Made(line)) = found else { panic!("{id} is {found:?}") };
    let keys = PublicKeys::load(&dir.join("receipt.jwks")).unwrap();
    let Opened { receipt, .. } = open(line.as_bytes(), &keys).unwrap();
    assert_eq!(receipt.id(), id);
    receipt
}
