//! One row in all its cells: everything is opened, it happens, and every cell is as the row says.

use std::time::{Duration, Instant};

use doorward_tests::grpc;
use doorward_tests::h1::{self, H1};
use doorward_tests::h2::H2;
use doorward_tests::live::{End, Ended, Kind, Live, NotOpen};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::house::{Credential, HOST, House, OTHER, Party};
use crate::receipts::{Counts, protocol};
use crate::report::Report;
use crate::rows::{Reach, Row};

/// The lease of every node here, longer than a machine stands still: whose lease is over refuses everybody.
pub(crate) const LEASE_MILLIS: u64 = 3000;
/// The guarantee: no node admits anybody later than its lease after the acknowledgment (T + N).
const LEASE: Duration = Duration::from_millis(LEASE_MILLIS);
/// On top of that, until a machine that may stand still for a while has told the client. Less than the time after
/// which what runs is looked at anyhow.
const SLACK: Duration = Duration::from_secs(5);
/// How often whoever leaves asks while they leave.
const ASK_EVERY: Duration = Duration::from_millis(4);

/// What is open: a connection that waits for its next request, a WebSocket, server-sent events and a download
/// over HTTP/1.1 and HTTP/2, a gRPC stream.
pub(crate) const KINDS: [Kind; 7] = [
    Kind::KeepAlive,
    Kind::WsTicking,
    Kind::Sse,
    Kind::Download,
    Kind::H2Sse,
    Kind::H2Download,
    Kind::GrpcWatch,
];
/// A second sign-in differs from the first in what names it only.
const KINDS_ELSEWHERE: [Kind; 2] = [Kind::WsTicking, Kind::H2Sse];

/// What becomes of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// What is open ends, the next request is refused (401 `disabled`), and so is a new sign-in.
    Out,
    /// What is open ends, the next request is refused (401 `revoked`), and a new sign-in is let in.
    Over,
    /// What is open ends, and the token is good for nothing any more (401 `invalid_credential`).
    Void,
    /// What is open ends, and the next request is permitted: it was not its sign-in that was taken away.
    Ended,
    /// What is open ends, and whoever comes next is nobody that the directory knows (403 `unknown_principal`).
    Unknown,
    /// What is open is decided anew and ends, and whatever comes next is denied by policy (403 `no_permit`). A
    /// connection that only waits for its next request goes on.
    Denied,
    /// Nothing ends, and the next request is permitted.
    On,
}

/// One credential at one node: what it has open, all of HTTP/2 on one connection.
struct Place {
    credential: Credential,
    node: usize,
    token: String,
    h2: H2,
    open: Vec<Live>,
}

/// Everything that somebody has open.
pub(crate) struct Scene {
    places: Vec<Place>,
}

/// Somebody who asks over and over: when the last request that was permitted was sent.
struct Prober {
    node: usize,
    stop: watch::Sender<bool>,
    /// When the last request that was permitted was sent.
    last: watch::Receiver<Option<Instant>>,
    task: JoinHandle<()>,
}

// === impl Cell ===

/// Status and code of a refusal; none where a request is permitted.
type Told = Option<(u16, String)>;

impl Cell {
    /// What the credential is told that there was before.
    fn next(self) -> Told {
        let (status, code) = match self {
            Self::Out => (401, "disabled"),
            Self::Over => (401, "revoked"),
            Self::Void => (401, "invalid_credential"),
            Self::Unknown => (403, "unknown_principal"),
            Self::Denied => (403, "no_permit"),
            Self::Ended | Self::On => return None,
        };
        Some((status, code.to_owned()))
    }

    /// What whoever signs in anew is told.
    fn anew(self, credential: Credential) -> Told {
        match (self, credential) {
            // Nobody signs in with a token of ours: it is good or it is not.
            (_, Credential::Key) | (Self::Out | Self::Void | Self::Unknown | Self::Denied, _) => self.next(),
            (Self::Over | Self::Ended | Self::On, _) => None,
        }
    }

    /// Whether a stream of this kind ends.
    const fn ends(self, kind: Kind) -> bool {
        match self {
            Self::Out | Self::Over | Self::Void | Self::Ended | Self::Unknown => true,
            Self::Denied => kind.is_listed(),
            Self::On => false,
        }
    }

    /// Whether this is how a stream ends: with the word that its protocol has for it.
    fn is_ended_by(self, kind: Kind, how: &End) -> bool {
        match (self, kind) {
            (Self::Denied, Kind::GrpcWatch) => *how == End::Status(Some(7)),
            _ => kind.is_cut_off_by(how),
        }
    }
}

/// The status of a call of gRPC that goes with what a request is told.
fn grpc_status(told: &Told) -> u16 {
    match told {
        None => 0,
        Some((401, _)) => 16,
        Some(_) => 7,
    }
}

// === impl Scene ===

impl Scene {
    /// Opens every kind for every credential at every node.
    pub(crate) async fn open(house: &House, party: &Party) -> Self {
        let places = Credential::ALL.into_iter().flat_map(|c| (0..house.nodes.len()).map(move |n| (c, n)));
        let places = places.map(|(credential, node)| async move {
            let token = house.token(party, credential, "");
            let h2 = H2::connect(house.nodes[node].address()).await;
            let mut open = Vec::new();
            let kinds = if credential == Credential::Elsewhere { &KINDS_ELSEWHERE[..] } else { &KINDS };
            for kind in kinds.iter().copied() {
                let live = house.open(node, &h2, kind, &token).await;
                let told = format!("{kind:?} of {credential:?} of {} at node {node}", party.name);
                open.push(live.unwrap_or_else(|e| panic!("{told}: {e:?}")));
            }
            for live in open.iter().filter(|live| live.kind().is_busy()) {
                live.wait_units(1).await;
            }
            Place { credential, node, token, h2, open }
        });
        Self { places: join_all(places).await }
    }

    /// Nothing of it ended.
    pub(crate) fn runs(&self, when: &str) -> Vec<String> {
        let all = self.places.iter().flat_map(|place| place.open.iter().map(move |live| (place, live)));
        let ended = all.filter(|(_, live)| !live.is_running());
        let told = |(place, live): (&Place, &Live)| {
            format!(
                "{when}: {:?} of a bystander's {:?} at node {}",
                live.kind(),
                place.credential,
                place.node
            )
        };
        ended.map(told).collect()
    }

    /// Everything of it comes to a good end.
    pub(crate) async fn finish(self) -> Vec<String> {
        let all = self.places.into_iter().flat_map(|place| {
            let at = format!("{:?} at node {}", place.credential, place.node);
            place.open.into_iter().map(move |live| (at.clone(), live))
        });
        let ends = join_all(all.map(|(at, live)| async move {
            let kind = live.kind();
            (at, kind, live.finish().await.how)
        }));
        let wrong = ends.await.into_iter().filter(|(_, _, how)| *how != End::Whole);
        wrong.map(|(at, kind, how)| format!("{kind:?} of a bystander's {at} ended: {how:?}")).collect()
    }
}

/// What a request is told at a host.
async fn told(house: &House, node: usize, host: &str, token: &str) -> Told {
    let bearer = format!("Bearer {token}");
    let request = h1::request("GET", host, "/", &[("authorization", &bearer)], b"");
    let mut client = H1::connect(house.nodes[node].address()).await;
    client.send(request).await;
    let answer = client.response("GET").await;
    refusal(answer.status(), answer.head.value("x-doorward-refusal"))
}

fn refusal(status: u16, code: Option<String>) -> Told {
    (status != 200 || code.is_some()).then(|| (status, code.unwrap_or_default()))
}

// === impl Prober ===

impl Prober {
    /// Asks on a new connection each time until it is refused or told to stop. Returns after the first answer.
    async fn start(house: &House, node: usize, token: &str) -> Self {
        let (address, bearer) = (house.nodes[node].address(), format!("Bearer {token}"));
        let ((stop, stopped), (permitted, mut last)) = (watch::channel(false), watch::channel(None));
        let task = tokio::spawn(async move {
            while !*stopped.borrow() {
                let (mut client, sent) = (H1::connect(address).await, Instant::now());
                // It may also be cut off in the middle.
                let answer = client.try_ask("GET", HOST, "/", &[("authorization", &bearer)]).await;
                if answer.is_none_or(|answer| answer.status() != 200) {
                    break;
                }
                let _ = permitted.send(Some(sent));
                tokio::time::sleep(ASK_EVERY).await;
            }
        });
        let first = last.wait_for(Option::is_some).await.map(|_| ());
        first.unwrap_or_else(|_| panic!("node {node} permits nothing"));
        Self { node, stop, last, task }
    }
}

/// Has a row happen to somebody: how many streams were taken away, and what is not as the row says.
pub(crate) async fn happen(
    house: &House,
    row: &Row,
    party: &Party,
    report: &mut Report,
) -> (Counts, Vec<String>) {
    let scene = Scene::open(house, party).await;
    let own = house.token(party, Credential::Own, "");
    let probers = join_all((0..house.nodes.len()).map(|node| Prober::start(house, node, &own))).await;
    let asked = Instant::now();
    row.act.happen(house, party).await;
    let answered = Instant::now();
    // From here on whatever was acknowledged is so at every node.
    house.all_have_it().await;
    report.happens(row.name, asked, answered);
    let mut wrong = probed(house, row, probers, report).await;
    let cells = row.cells(house.word);
    let uses =
        scene.places.iter().map(|place| next_uses(house, row, place, cells[place.credential as usize]));
    for (count, seen) in join_all(uses).await {
        report.next_uses += count;
        wrong.extend(seen);
    }
    let streams = scene.places.into_iter().flat_map(|place| {
        let (cell, at) = (cells[place.credential as usize], (place.credential, place.node));
        place.open.into_iter().map(move |live| {
            let expected = if reached(row, live.kind()) { cell } else { Cell::On };
            ending(at, live, expected)
        })
    });
    let mut taken = Counts::new();
    for ending in join_all(streams).await {
        if ending.expected != Cell::Denied
            && ending.expected.ends(ending.kind)
            && let Some(protocol) = protocol(ending.kind)
        {
            *taken.entry(protocol).or_default() += 1;
        }
        wrong.extend(judge(&ending, report).into_iter().map(|seen| format!("{}: {seen}", row.name)));
    }
    (taken, wrong)
}

/// How a stream came to its end, which it was to come to by itself or not at all.
struct Ending {
    credential: Credential,
    node: usize,
    kind: Kind,
    expected: Cell,
    /// Whether it was running when it had to be asked to end.
    asked: bool,
    /// None where it went on for longer than it may.
    ended: Option<Ended>,
}

/// Waits for the end of a stream that must end, and asks any other for a good end.
async fn ending((credential, node): (Credential, usize), live: Live, expected: Cell) -> Ending {
    let kind = live.kind();
    let asked = !expected.ends(kind) && live.is_running();
    let ended = match asked {
        true => Some(live.finish().await),
        false => tokio::time::timeout(LEASE + SLACK, live.ended()).await.ok(),
    };
    Ending { credential, node, kind, expected, asked, ended }
}

/// Whether a row is about the app of this stream.
fn reached(row: &Row, kind: Kind) -> bool {
    row.reach == Reach::Everywhere || kind != Kind::GrpcWatch
}

/// When the last request was permitted.
async fn probed(house: &House, row: &Row, probers: Vec<Prober>, report: &mut Report) -> Vec<String> {
    let own = row.cells(house.word)[Credential::Own as usize];
    let mut wrong = Vec::new();
    for Prober { node, stop, last, task } in probers {
        let _ = stop.send(true);
        task.await.unwrap();
        let last = last.borrow().unwrap();
        if own.next().is_some() {
            let late = report.permitted(node, last);
            if late > LEASE {
                wrong.push(format!("{}: node {node} permitted {late:?} after it", row.name));
            }
        }
    }
    wrong
}

/// A stream is as its cell says, or what is wrong with it.
fn judge(ending: &Ending, report: &mut Report) -> Vec<String> {
    let Ending { credential, node, kind, expected, asked, ended } = ending;
    let told = format!("{kind:?} of {credential:?} at node {node}");
    let Some(ended) = ended else { return vec![format!("{told} still runs")] };
    if !expected.ends(*kind) {
        report.went_on += 1;
        let is_good = *asked && ended.how == End::Whole;
        return (!is_good)
            .then(|| format!("{told} must go on, and ended: {:?}", ended.how))
            .into_iter()
            .collect();
    }
    let mut wrong = Vec::new();
    if !expected.is_ended_by(*kind, &ended.how) {
        wrong.push(format!("{told} ended otherwise: {:?}", ended.how));
    }
    let late = report.ended(*kind, *node, ended.at);
    if late > LEASE + SLACK {
        wrong.push(format!("{told} ended {late:?} after it"));
    }
    wrong
}

/// What a new stream is told; one that is opened must come to a good end.
async fn opened(live: Result<Live, NotOpen>, expected: &Told) -> Told {
    match live {
        Ok(live) => match live.finish().await.how {
            End::Whole => None,
            how => Some((200, format!("{how:?}"))),
        },
        // Which refusal it was is not shown to a client of a stream.
        Err(NotOpen::Refused(status)) => {
            let code = expected.as_ref().filter(|(known, _)| *known == status).map(|(_, code)| code.clone());
            Some((status, code.unwrap_or_default()))
        }
        Err(NotOpen::Cut) => Some((0, "cut".to_owned())),
    }
}

/// What comes after it, in every protocol: by the token of before, on new connections and on the pooled one.
/// How many uses there were, and which were not as they must be.
async fn next_uses(house: &House, row: &Row, place: &Place, cell: Cell) -> (usize, Vec<String>) {
    let Place { credential, node, token, h2, .. } = place;
    let bearer = format!("Bearer {token}");
    let (own, expected) = ([("authorization", bearer.as_str())], cell.next());
    let mut seen = vec![("h1", told(house, *node, HOST, token).await)];
    let reply = h2.get(HOST, "/", &own).await;
    seen.push((
        "h2, on the connection of before,",
        refusal(reply.status, reply.header("x-doorward-refusal")),
    ));
    for (how, kind) in [("a new WebSocket", Kind::WsTicking), ("a new download", Kind::Download)] {
        seen.push((how, opened(house.open(*node, h2, kind, token).await, &expected).await));
    }
    // The call of gRPC is one more.
    let (count, mut wrong) = (seen.len() + 1, Vec::new());
    let at = format!("of {credential:?} at node {node}");
    for (how, seen) in seen {
        if seen != expected {
            wrong.push(format!("{}: {how} {at} is {seen:?} and not {expected:?}", row.name));
        }
    }
    if row.reach == Reach::Build
        && let Some(code) = told(house, *node, OTHER, token).await
    {
        wrong.push(format!("{}: the other app {at}: {code:?}", row.name));
    }
    let called = grpc::call(h2, HOST, "/doorward.demo.Build/Status", &own, "main").await.unwrap();
    let expected = if reached(row, Kind::GrpcWatch) { grpc_status(&expected) } else { 0 };
    if called.status != Some(expected) {
        wrong.push(format!("{}: gRPC {at} is {:?} and not {expected}", row.name, called.status));
    }
    (count, wrong)
}

/// Who signs in anew, in a later second, is let in or kept out as the row says.
pub(crate) async fn afterwards(house: &House, row: &Row, party: &Party) -> Vec<String> {
    let mut wrong = Vec::new();
    for credential in Credential::ALL {
        let expected = row.cells(house.word)[credential as usize].anew(credential);
        for node in 0..house.nodes.len() {
            let anew = told(house, node, HOST, &house.token(party, credential, "-anew")).await;
            if anew != expected {
                let at = format!("{credential:?} at node {node}");
                wrong.push(format!("{}: new {at} is {anew:?} and not {expected:?}", row.name));
            }
        }
    }
    wrong
}
