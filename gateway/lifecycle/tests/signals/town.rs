//! A company: whom it knows, who sends signals about them, and one node that receives these.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{LazyLock, Once};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_identity::config::{check, check_senders};
use doorward_identity::message::{MessageError, MessageKind, MessageVerifier};
use doorward_identity::{Issuer, IssuerSection, KeyClient, SenderSection};
use doorward_lifecycle::signals::answer::{Asked, Reply, Took};
use doorward_lifecycle::signals::decide::{Topic, decide};
use doorward_lifecycle::signals::request::{self, Request, RequestError};
use doorward_lifecycle::signals::resolve::{Called, Tell, Voice};
use doorward_lifecycle::signals::seen::kept_until;
use doorward_lifecycle::signals::subject::Member;
use doorward_lifecycle::signals::{
    About, Health, Known, Marked, Marks, MessageId, Outcome, Remember, SeenMessages, Sight, Signal, Stream,
    StreamSection, Verdict, Webhook, WebhookSection, check_streams, check_webhooks,
};
use doorward_model::directory::{PersonId, StreamName};
use doorward_model::{AppId, DeviceId, KeyPath, SessionId, UnixMillis, UserId};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The time of the tests: 2026-01-15, noon.
pub(crate) const NOW_SECONDS: i64 = 1_768_478_400;
pub(crate) const NOW: UnixMillis = UnixMillis(NOW_SECONDS * 1000);
pub(crate) const CORP: &str = "https://idp.corp.example";
pub(crate) const LAB: &str = "https://idp.lab.example";
pub(crate) const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
pub(crate) const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
pub(crate) const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";
pub(crate) const PUSH_TOKEN: &str = "push-token-of-the-stream-0123456789abcdef";

static KEY: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());

/// Signed by the key `k1` of everybody here.
pub(crate) fn sign(typ: &str, claims: &Value) -> String {
    let b64 = |text: String| URL_SAFE_NO_PAD.encode(text);
    let header = json!({"alg": "ES256", "typ": typ, "kid": "k1"});
    let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = KEY.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// A security event of the stream `okta`, made five seconds ago.
pub(crate) fn event(id: &str, subject: &Value, address: &str, payload: &Value) -> Value {
    json!({"iss": CORP, "aud": "door", "iat": NOW_SECONDS - 5, "jti": id, "sub_id": subject, "events": {address: payload}})
}

pub(crate) fn iss_sub(iss: &str, sub: &str) -> Value {
    json!({"format": "iss_sub", "iss": iss, "sub": sub})
}

/// A company and its node.
pub(crate) struct Town {
    pub(crate) directory: Directory,
    pub(crate) verifier: MessageVerifier,
    pub(crate) streams: Vec<Stream>,
    pub(crate) webhooks: Vec<Webhook>,
    pub(crate) seen: SeenMessages,
    pub(crate) health: Health,
    /// What was decided, newest last.
    pub(crate) verdicts: Vec<Verdict>,
    _folder: TempDir,
}

/// Whom the company knows.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) marks: HashMap<(String, Topic, String), Marks>,
}

pub(crate) const ALICE: PersonId = PersonId::from_u128(1);
pub(crate) const BOB: PersonId = PersonId::from_u128(2);

pub(crate) fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

pub(crate) fn whom(person: PersonId) -> doorward_lifecycle::signals::Whom {
    let links: &[&str] = if person == ALICE { &["corp:alice"] } else { &["corp:bob", "lab:bob"] };
    doorward_lifecycle::signals::Whom { person: Some(person), links: links.iter().map(|l| user(l)).collect() }
}

impl Known for Directory {
    fn by_sign_in(&self, user: &UserId) -> Option<doorward_lifecycle::signals::Whom> {
        [ALICE, BOB].into_iter().map(whom).find(|w| w.links.contains(user))
    }

    fn by_name(&self, _: Voice<'_>, called: Called<'_>) -> Option<doorward_lifecycle::signals::Whom> {
        match called {
            Called::Email(email) if email.eq_ignore_ascii_case("alice@corp.example") => Some(whom(ALICE)),
            Called::Opaque("p-2") => Some(whom(BOB)),
            Called::Phone("+4930123456") => Some(whom(BOB)),
            Called::Uri("acct:alice@corp.example") => Some(whom(ALICE)),
            Called::Email(_) | Called::Phone(_) | Called::Opaque(_) | Called::Uri(_) => None,
        }
    }

    fn session_owner(&self, session: &SessionId) -> Tell<PersonId> {
        match session.to_string().as_str() {
            "corp:s-alice" => Tell::Known(ALICE),
            "corp:s-bob" => Tell::Known(BOB),
            _ => Tell::CannotTell,
        }
    }

    fn device_owner(&self, device: &DeviceId) -> Tell<PersonId> {
        match device.as_str() {
            "d-alice" => Tell::Known(ALICE),
            "d-bob" => Tell::Known(BOB),
            _ => Tell::CannotTell,
        }
    }

    fn app(&self, _: Voice<'_>, called: Called<'_>) -> Tell<AppId> {
        match called {
            Called::Opaque("wiki") => Tell::Known(AppId::new("wiki").unwrap()),
            Called::Opaque("elsewhere") => Tell::Other,
            Called::Email(_) | Called::Phone(_) | Called::Opaque(_) | Called::Uri(_) => Tell::CannotTell,
        }
    }

    fn is_ours(&self, _: Voice<'_>, member: Member, called: Called<'_>) -> Tell<()> {
        match (member, called) {
            (Member::Tenant, Called::Opaque("t-corp")) => Tell::Known(()),
            (Member::Tenant, _) => Tell::Other,
            _ => Tell::CannotTell,
        }
    }

    fn in_group(
        &self,
        _: Voice<'_>,
        whom: &doorward_lifecycle::signals::Whom,
        called: Called<'_>,
    ) -> Tell<()> {
        match called {
            Called::Opaque("staff") if whom.person == Some(ALICE) => Tell::Known(()),
            Called::Opaque("staff") => Tell::Other,
            Called::Email(_) | Called::Phone(_) | Called::Opaque(_) | Called::Uri(_) => Tell::CannotTell,
        }
    }
}

impl Marked for Directory {
    fn marks(&self, stream: &StreamName, topic: Topic, about: &About) -> Marks {
        self.marks.get(&(stream.to_string(), topic, about.key())).copied().unwrap_or_default()
    }
}

impl Directory {
    fn keep(&mut self, stream: &StreamName, verdict: &Verdict) {
        let Some(about) = &verdict.about else { return };
        for mark in &verdict.marks {
            let marks = self.marks.entry((stream.to_string(), mark.topic, about.key())).or_default();
            *marks = marks.with(*mark);
        }
    }
}

#[derive(serde::Deserialize)]
struct File {
    issuer: Vec<IssuerSection>,
    #[serde(default)]
    stream: Vec<StreamSection>,
    #[serde(default)]
    logout: Vec<SenderSection>,
    #[serde(default)]
    revoke: Vec<SenderSection>,
    #[serde(default)]
    webhook: Vec<WebhookSection>,
}

const SENDERS: &str = r#"
    [[stream]]
    id = "okta"
    issuer = "https://idp.corp.example"
    audiences = ["door"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"
    stream_id = "stream-1"
    token_file = "transmitter.token"
    verify_minutes = 60
    push_token_files = ["push.token", "push.next"]
    critical_members = ["tenant", "org_unit", "planet"]
    effects = { "risk-high" = "hold", "session-seen" = "alert" }

    [[stream]]
    id = "google"
    issuer = "https://accounts.google.example/"
    people = ["google"]
    audiences = ["client-1", "client-2"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"

    [[logout]]
    id = "corp"
    issuer = "https://idp.corp.example"
    audiences = ["door"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"

    [[revoke]]
    id = "okta-logout"
    issuer = "https://idp.corp.example"
    audiences = ["https://door.corp.example/revoke"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"

    [[webhook]]
    id = "soar"
    secret_files = ["soar.key", "soar.next"]
    may_hold = true

    [[webhook]]
    id = "helpdesk"
    secret_files = ["helpdesk.key"]
    people = ["corp"]
"#;

const ISSUERS: &str = r#"
    [[issuer]]
    id = "corp"
    issuer = "https://idp.corp.example"
    audiences = ["door"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"

    [[issuer]]
    id = "lab"
    issuer = "https://idp.lab.example"
    audiences = ["door"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"

    [[issuer]]
    id = "google"
    issuer = "https://accounts.google.example"
    audiences = ["door"]
    algorithms = ["ES256"]
    jwks_file = "keys.jwks"
"#;

pub(crate) const SOAR_KEY: [u8; 32] = [1; 32];
pub(crate) const SOAR_NEXT: [u8; 24] = [2; 24];
pub(crate) const HELPDESK_KEY: [u8; 64] = [3; 64];

pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A folder with every key and secret that the tables name.
pub(crate) fn folder() -> TempDir {
    use base64::engine::general_purpose::STANDARD;
    let folder = tempfile::tempdir().unwrap();
    let point = &KEY.public_key().as_ref()[1..];
    let b64 = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let jwk =
        json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": b64(&point[..32]), "y": b64(&point[32..])});
    write(folder.path(), "keys.jwks", &json!({ "keys": [jwk] }).to_string());
    write(folder.path(), "push.token", &format!("{PUSH_TOKEN}\n"));
    write(folder.path(), "transmitter.token", "token-of-the-gateway-0123456789\n");
    write(folder.path(), "push.next", "the-next-push-token-of-the-stream-0123456789");
    let key = |key: &[u8]| format!("whsec_{}\n", STANDARD.encode(key));
    write(folder.path(), "soar.key", &key(&SOAR_KEY));
    write(folder.path(), "soar.next", &key(&SOAR_NEXT));
    write(folder.path(), "helpdesk.key", &key(&HELPDESK_KEY));
    folder
}

/// What tables come to: streams, webhooks, other senders, and the complaints as `where: what (help)`.
pub(crate) fn configured(
    folder: &Path,
    toml: &str,
) -> (Vec<Stream>, Vec<Webhook>, Vec<doorward_identity::Sender>, Vec<String>) {
    let file: File = toml::from_str(&format!("{ISSUERS}{toml}")).unwrap();
    let (top, mut complaints) = (KeyPath::top(), Vec::new());
    let issuers: Vec<Issuer> = check(&file.issuer, &top.key("issuer"), folder, &mut complaints);
    assert_eq!(complaints, []);
    let c = &mut complaints;
    let streams = check_streams(&file.stream, &issuers, &top.key("stream"), folder, c);
    let mut senders: Vec<_> = streams.iter().map(|s| s.sender().clone()).collect();
    senders.extend(check_senders(&file.logout, MessageKind::Logout, &issuers, &top.key("logout"), folder, c));
    let kind = MessageKind::RevocationCall;
    senders.extend(check_senders(&file.revoke, kind, &issuers, &top.key("revoke"), folder, c));
    let webhooks = check_webhooks(&file.webhook, &issuers, &top.key("webhook"), folder, c);
    let said =
        complaints.iter().map(|c| format!("{c} ({})", c.help.as_deref().unwrap_or("no help"))).collect();
    (streams, webhooks, senders, said)
}

impl Town {
    pub(crate) fn new() -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
        });
        let folder = folder();
        let (streams, webhooks, senders, said) = configured(folder.path(), SENDERS);
        assert_eq!(said, Vec::<String>::new(), "the configuration of a test is good");
        Self {
            directory: Directory::default(),
            verifier: MessageVerifier::new(senders, &KeyClient::new().unwrap()),
            streams,
            webhooks,
            seen: SeenMessages::new(1000),
            health: Health::new(NOW),
            verdicts: Vec::new(),
            _folder: folder,
        }
    }

    pub(crate) fn stream(&self, name: &str) -> &Stream {
        self.streams.iter().find(|s| s.sender().id().as_str() == name).unwrap()
    }

    pub(crate) fn webhook(&self, name: &str) -> &Webhook {
        self.webhooks.iter().find(|w| w.id().as_str() == name).unwrap()
    }

    /// What a message of the stream `name` says.
    pub(crate) async fn signal(&self, name: &str, claims: &Value) -> Signal {
        let message = self.verifier.security_event(name, &sign("secevent+jwt", claims), NOW).await.unwrap();
        Signal::read(&message).unwrap()
    }

    /// What is decided of it, its mark kept.
    pub(crate) async fn decide(&mut self, name: &str, claims: &Value) -> Verdict {
        let signal = self.signal(name, claims).await;
        let verdict = decide(&signal, self.stream(name), &self.directory);
        self.directory.keep(&signal.stream, &verdict);
        verdict
    }

    /// A push delivery from the request to the answer, as an endpoint will do it.
    pub(crate) async fn push(&mut self, name: &str, request: &Request<'_>) -> Reply {
        let asked = Asked::Message(MessageKind::SecurityEvent);
        let token = match request::push(request, self.stream(name)) {
            Ok(token) => token,
            Err(RequestError::NotPost) => return Reply::only_post(),
            Err(RequestError::Rejected(why)) => return Reply::rejected(asked, &why),
        };
        let message = match self.verifier.security_event(name, token, NOW).await {
            Ok(message) => message,
            Err(why) => return Reply::refused(asked, &why),
        };
        let id = MessageId::new(message.issuer(), message.id());
        if self.seen.look(&id) == Sight::Again {
            return Reply::took(asked, Took::Done);
        }
        let signal = match Signal::read(&message) {
            Ok(signal) => signal,
            Err(why) => return Reply::refused(asked, &MessageError::Rejected(why)),
        };
        let verdict = decide(&signal, self.stream(name), &self.directory);
        if let Outcome::Stream(event) = &verdict.outcome {
            let stream = self.stream(name).clone();
            if let Err(why) = self.health.take(event, &stream, signal.at, NOW) {
                return Reply::rejected(asked, &why);
            }
        }
        self.directory.keep(&signal.stream, &verdict);
        self.seen.keep(id, kept_until(NOW, None), NOW);
        let took = if matches!(verdict.outcome, Outcome::NoOne(_)) { Took::NoOne } else { Took::Done };
        self.verdicts.push(verdict);
        Reply::took(asked, took)
    }
}

/// A good push delivery of these claims.
pub(crate) fn delivery<'a>(authorization: &'a str, body: &'a str) -> Request<'a> {
    Request {
        method: "POST",
        content_type: Some("application/secevent+jwt"),
        authorization: Some(authorization),
        body: body.as_bytes(),
    }
}
