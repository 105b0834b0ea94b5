//! Who holds a token, what becomes of it, and what the control node said of that.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorward_tests::fleet::Fleet;
use doorward_tests::gateway::{Answer, Operator};
use doorward_tests::issuer::Issuer;
use doorward_tests::wire::now;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::random::Random;

/// How long until a change that was not answered is asked for again.
const AGAIN: Duration = Duration::from_millis(100);
/// A control node that is not back by then does not come back.
const ASKED_MAX: Duration = Duration::from_secs(40);

/// A token of somebody.
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) fate: Fate,
}

/// What becomes of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nobody takes it away.
    Stays,
    /// It is taken away so long after the beginning; `None`: when the fault says so.
    Leaves { wish: Wish, after: Option<Duration> },
    /// It was taken away before the beginning, and whoever held it came back with another.
    Left,
}

/// What the control node is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) action: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) id: String,
}

/// What was said of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Nothing so far.
    None,
    /// It was acknowledged, and the caller knew at this moment.
    Acknowledged(Instant),
    /// It is in force or saved, but not yet everywhere: it will come, by itself.
    Promised(Instant),
}

/// All of them, in one run.
pub(crate) struct Crowd {
    pub(crate) holders: Vec<Holder>,
    pub(crate) began: Instant,
    words: Mutex<Vec<Word>>,
}

/// A token of an engineer with everything that can be revoked.
fn token(issuer: &Issuer, name: &str) -> String {
    let claims = json!({
        "sub": name, "email": format!("{name}@x.test"), "device_id": format!("d-{name}"),
        "sid": format!("s-{name}"), "jti": format!("t-{name}-{}", now().0),
    });
    issuer.token_but("bob", &claims)
}

fn wish(name: &str, choice: usize) -> Wish {
    let user = format!("demo:{name}");
    let (action, kind, id) = match choice {
        0 => ("disable", "user", user),
        1 => ("revoke", "user", user),
        2 => ("revoke", "session", format!("demo:s-{name}")),
        _ => ("revoke", "device", format!("d-{name}")),
    };
    Wish { action, kind, id }
}

/// Waits for the next second: a token says no more of its time.
pub(crate) async fn next_second() {
    let left = 1000 - u64::try_from(now().0).unwrap() % 1000;
    tokio::time::sleep(Duration::from_millis(left + 1)).await;
}

// === impl Wish ===

impl Wish {
    /// Asks for it until something is said of it.
    async fn ask(&self, operator: &Operator) -> Word {
        let began = Instant::now();
        while began.elapsed() < ASKED_MAX {
            let answer = operator.change(self.action, self.kind, &self.id, json!({})).await;
            let word = answer.map_or(Word::None, |answer| Self::word(&answer));
            if word != Word::None {
                return word;
            }
            tokio::time::sleep(AGAIN).await;
        }
        Word::None
    }

    fn word(answer: &Answer) -> Word {
        let said: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        let will_be = said["durable"] == true || said["kept"] == true;
        match answer.status {
            201 => Word::Acknowledged(Instant::now()),
            503 if said["enforced"] == true && will_be => Word::Promised(Instant::now()),
            503 => Word::None,
            other => panic!("{other} for a revocation: {}", answer.text),
        }
    }
}

// === impl Crowd ===

impl Crowd {
    /// Some who stay, some who leave in the first part of the run, some who leave when the fault
    /// says so, and one who has left and come back.
    pub(crate) async fn gather(fleet: &Fleet, name: &str, random: &mut Random, part: Duration) -> Arc<Self> {
        let issuer = &fleet.issuer;
        let mut holders = Vec::new();
        let mut hold = |name: &str, fate| {
            holders.push(Holder { name: name.to_owned(), token: token(issuer, name), fate });
        };
        let back = format!("{name}-back");
        hold(&back, Fate::Left);
        for action in ["disable", "reactivate"] {
            let answer = fleet.control().change(action, "user", &format!("demo:{back}"), json!({})).await;
            assert_eq!(answer.as_ref().map(|a| a.status), Some(201), "{action} of {back}: {answer:?}");
        }
        next_second().await;
        hold(&back, Fate::Stays);
        for i in 0..random.within(2..5) {
            hold(&format!("{name}-stays-{i}"), Fate::Stays);
        }
        let leaving = random.within(4..8);
        for i in 0..leaving {
            let name = format!("{name}-leaves-{i}");
            let after = Some(random.millis(0..u64::try_from(part.as_millis()).unwrap()));
            // One of them is disabled, and so can be let in again.
            let choice = if i == 0 { 0 } else { random.one_of(4) };
            hold(&name, Fate::Leaves { wish: wish(&name, choice), after });
        }
        for i in 0..3 {
            let name = format!("{name}-sent-{i}");
            hold(&name, Fate::Leaves { wish: wish(&name, random.one_of(4)), after: None });
        }
        let words = Mutex::new(vec![Word::None; holders.len()]);
        Arc::new(Self { holders, began: Instant::now(), words })
    }

    /// Has everybody leave in time who leaves by time.
    pub(crate) fn leave(self: &Arc<Self>, operator: &Operator) -> JoinSet<()> {
        let mut leaving = JoinSet::new();
        for (i, holder) in self.holders.iter().enumerate() {
            if let Fate::Leaves { after: Some(after), .. } = holder.fate {
                let (crowd, operator) = (Arc::clone(self), operator.clone());
                leaving.spawn(async move {
                    tokio::time::sleep_until((crowd.began + after).into()).await;
                    crowd.send_away(i, &operator).await;
                });
            }
        }
        leaving
    }

    /// Those who wait for the fault to say so, and were not sent away yet.
    fn waiting(&self) -> Vec<usize> {
        let waits = |i: &usize| {
            let at_word = matches!(self.holders[*i].fate, Fate::Leaves { after: None, .. });
            at_word && self.word(*i) == Word::None
        };
        (0..self.holders.len()).filter(waits).collect()
    }

    /// Takes the token of the next one away who waits for that: what was said of it.
    pub(crate) async fn send_next(&self, operator: &Operator) -> Word {
        let next = *self.waiting().first().expect("nobody is left to be sent away");
        self.send_away(next, operator).await
    }

    /// Those who would never be asked to leave, as the fault did not say so.
    pub(crate) async fn send_rest(&self, operator: &Operator) {
        for i in self.waiting() {
            self.send_away(i, operator).await;
        }
    }

    async fn send_away(&self, i: usize, operator: &Operator) -> Word {
        let Fate::Leaves { wish, .. } = &self.holders[i].fate else { panic!("they do not leave") };
        let word = wish.ask(operator).await;
        self.words.lock().unwrap()[i] = word;
        word
    }

    /// What was said of the leaving of this one.
    pub(crate) fn word(&self, holder: usize) -> Word {
        self.words.lock().unwrap()[holder]
    }

    /// When the last word was said.
    pub(crate) fn last_word(&self) -> Instant {
        let words = self.words.lock().unwrap();
        let said = words.iter().filter_map(|word| match word {
            Word::None => None,
            Word::Acknowledged(at) | Word::Promised(at) => Some(*at),
        });
        said.max().unwrap_or(self.began)
    }

    /// The numbers of those to whom this applies.
    pub(crate) fn those(&self, is: impl Fn(&Fate) -> bool) -> Vec<usize> {
        (0..self.holders.len()).filter(|i| is(&self.holders[*i].fate)).collect()
    }

    pub(crate) fn staying(&self) -> Vec<usize> {
        self.those(|fate| *fate == Fate::Stays)
    }

    pub(crate) fn leaving(&self) -> Vec<usize> {
        self.those(|fate| matches!(fate, Fate::Leaves { .. }))
    }

    /// Gives access back to those who were disabled; each signs in anew and is let in at once
    /// everywhere, and what they held before stays dead. What went wrong.
    pub(crate) async fn come_back(&self, fleet: &Fleet, within: Duration) -> Vec<String> {
        let mut wrong = Vec::new();
        let disabled = |i: &usize| match &self.holders[*i].fate {
            Fate::Leaves { wish, .. } => wish.action == "disable",
            Fate::Stays | Fate::Left => false,
        };
        let back: Vec<_> = (0..self.holders.len()).filter(disabled).map(|i| &self.holders[i]).collect();
        for holder in &back {
            let user = format!("demo:{}", holder.name);
            let asked = Instant::now();
            let answer = loop {
                let answer = fleet.control().change("reactivate", "user", &user, json!({})).await;
                // A control node that still saves what it could not save gives nothing back yet.
                let is_early = answer.as_ref().is_some_and(|a| a.status == 503);
                if !is_early || asked.elapsed() >= within {
                    break answer;
                }
                tokio::time::sleep(AGAIN).await;
            };
            if answer.as_ref().map(|a| a.status) != Some(201) {
                wrong.push(format!("{} is not reactivated: {answer:?}", holder.name));
            }
        }
        next_second().await;
        for holder in &back {
            let (new, began) = (token(&fleet.issuer, &holder.name), Instant::now());
            for node in fleet.nodes() {
                let mut status = node.ask(doorward_tests::fleet::HOST, &new).await.status();
                while status != 200 && began.elapsed() < within {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    status = node.ask(doorward_tests::fleet::HOST, &new).await.status();
                }
                if status != 200 {
                    wrong.push(format!("{} signed in anew and is {status} at {}", holder.name, node.name()));
                }
                let mut old = node.ask(doorward_tests::fleet::HOST, &holder.token).await.status();
                while old == 503 && began.elapsed() < within {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    old = node.ask(doorward_tests::fleet::HOST, &holder.token).await.status();
                }
                if old != 401 {
                    wrong.push(format!("{} has a new token, and the old one is {old}", holder.name));
                }
            }
        }
        wrong
    }
}
