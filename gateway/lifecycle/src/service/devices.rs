//! Devices: registered under the id by which tokens name them, given to somebody, vouched for, blocked, removed.
//!
//! A device that is blocked lets nobody in, and what runs with it ends: that is a revocation of the device, in one
//! write with its record. Whoever leaves has no device any more: their devices are unbound in the batch of the
//! leaving, with what was said of them: that was said of a device of theirs. So whatever binds one writes the memberships of its owner as they are, as for machines: of a leaving
//! and of this, only one is decided on what it saw.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::event::{About, LifecycleChange, LifecycleCode, LifecycleDifference, LifecycleOutcome};
use doorward_model::directory::{Blocked, DEVICES_BOUND_MAX, Device, POSTURE_HOURS_MAX, PersonId, Posture};
use doorward_model::limits::DEVICE_CERTIFICATES_MAX;
use doorward_model::{Compliance, DeviceId, LifecycleStage, Target, Thumbprint, UnixMillis};
use doorward_state::directory::form::{Member, decode_device, device_keys, encode_device};
use doorward_state::{Action, Batch, Ended, Expected, Receipt, RecordKind, Version, Write};

use super::answer::{Asker, Failed};
use super::ask::{Outcome, Stray, not_found};
use super::directory::{PAGE_MAX, Place, Read};
use super::machines::TEXT_BYTES_MAX;
use super::plan::{bad, cause, change_of, clean, of_memberships};
use super::tell::by_protocol;
use super::{ATTEMPTS_MAX, Inner, Lifecycle};
use crate::machine::Actor;

/// Who says nothing of a device that its owner has no more.
const NOBODY: &str = "doorward";
/// What was said of a device so long before it was registered was said of another one of its id.
const REPORT_BEFORE_MAX: Duration = Duration::from_mins(5);

/// A device to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// How tokens name it.
    pub id: DeviceId,
    /// A name to show.
    pub name: String,
    /// To whom it belongs; must have access.
    pub owner: Option<PersonId>,
    /// The operating system, in lower case.
    pub platform: Option<String>,
    /// Its certificate.
    pub thumbprint: Option<Thumbprint>,
    /// What is said of it.
    pub posture: Option<Said>,
}

/// What somebody says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The company manages it.
    pub managed: bool,
    /// It meets the baseline.
    pub compliance: Compliance,
    /// For how long that counts: [`POSTURE_HOURS_MAX`] at most.
    pub counts_for: Duration,
}

/// What is done about a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceAct {
    /// It is registered.
    Add(Box<NewDevice>),
    /// It belongs to somebody else, or to nobody: what was said of it while another had it counts no more.
    Assign(DeviceId, Option<PersonId>),
    /// Something is said of it.
    Say(DeviceId, Said),
    /// A source of posture said something of it. What is older than what is known changes nothing.
    Report(DeviceId, Box<Posture>),
    /// This certificate proves it, beside those that are noted.
    Bind(DeviceId, Thumbprint),
    /// This certificate does not prove it any more.
    Unbind(DeviceId, Thumbprint),
    /// Nothing gets in with it; what runs with it ends.
    Block(DeviceId),
    /// It may be used again. Whoever does signs in anew.
    Unblock(DeviceId),
    /// It is not registered any more; what runs with it ends. One that is blocked stays cut off.
    Remove(DeviceId),
}

/// What became of a device.
#[derive(Clone, Debug)]
pub struct DeviceDone {
    /// The device from now on; one that was removed, as it was.
    pub device: Device,
    /// The version of its record.
    pub version: Version,
    /// Something was written. False where everything was so already.
    pub changed: bool,
    /// The acknowledgments of the revocations.
    pub receipts: Vec<Receipt>,
    /// Why other nodes do not have the revocations yet, if they do not.
    pub unpublished: Option<String>,
    /// The audit log has all of it.
    pub on_record: bool,
}

/// What an act comes to.
struct Decided {
    before: Option<(Device, Version)>,
    /// None: it is removed.
    after: Option<Device>,
    /// Whose access it rests on.
    owner: Option<Read>,
    code: LifecycleCode,
    command: &'static str,
    action: Option<Action>,
}

impl Lifecycle {
    /// Does something about a device, with everything that follows, or nothing of it. Anybody's word blocks a device;
    /// everything else is an operator's.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn on_device(&self, act: DeviceAct, asker: Asker) -> Result<DeviceDone, Failed> {
        let inner = Arc::clone(&self.inner);
        self.on_its_own(async move { inner.on_device(&act, &asker).await }).await
    }

    /// A device with the version of its record.
    ///
    /// # Errors
    /// When what is stored cannot be read.
    pub async fn device(&self, id: &DeviceId) -> Result<Option<(Device, Version)>, Failed> {
        if self.inner.records.get(RecordKind::Device, id.as_str()).is_none() {
            return Ok(None);
        }
        self.inner.read_device(id, Place::Memory).await
    }

    /// Devices behind `after`, in the order of their ids. At most [`PAGE_MAX`].
    #[must_use]
    pub fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Vec<DeviceId> {
        self.inner.view.devices(after, limit.min(PAGE_MAX))
    }

    /// The devices that belong to a person.
    #[must_use]
    pub fn devices_of(&self, person: PersonId) -> Vec<DeviceId> {
        self.inner.view.bound_to(person)
    }
}

impl Inner {
    async fn read_device(&self, id: &DeviceId, place: Place) -> Result<Option<(Device, Version)>, Failed> {
        let Some(record) = self.record(RecordKind::Device, id.as_str(), place).await? else {
            return Ok(None);
        };
        let Some(body) = &record.body else { return Ok(None) };
        let device = decode_device(body).map_err(|error| Failed::Damaged {
            kind: record.kind,
            id: record.id.to_string(),
            why: error.to_string(),
        })?;
        Ok(Some((device, record.version)))
    }

    async fn on_device(&self, act: &DeviceAct, asker: &Asker) -> Result<DeviceDone, Failed> {
        let mut stray = Stray::default();
        let answer = self.device_attempts(act, asker, &mut stray).await;
        self.let_in_again(stray, asker).await;
        answer
    }

    async fn device_attempts(
        &self,
        act: &DeviceAct,
        asker: &Asker,
        stray: &mut Stray,
    ) -> Result<DeviceDone, Failed> {
        let anybodys = matches!(
            (act, &asker.actor),
            (DeviceAct::Block(_), _) | (DeviceAct::Report(..), Actor::Signal(_))
        );
        if !anybodys && !matches!(asker.actor, Actor::Operator(_)) {
            return Err(Failed::Refused { what: "only an operator does that", help: "ask an operator" });
        }
        let mut intended = false;
        for attempt in 0..ATTEMPTS_MAX {
            let place = if attempt == 0 { Place::Memory } else { Place::Disk };
            let now = (self.ports.clock)();
            let decided = self.decide_device(act, (place, now), asker).await?;
            if let (Some((before, version)), Some(after)) = (&decided.before, &decided.after)
                && before == after
            {
                // Memory may be a moment old: what is not done is decided on what is stored.
                if place == Place::Memory {
                    continue;
                }
                return Ok(done(after.clone(), *version, false));
            }
            let takes = decided.takes();
            if !takes && !intended {
                let mut event = self.device_event(&decided, asker);
                event.code = LifecycleCode::Intended;
                event.outcome = LifecycleOutcome::Intended;
                self.must_record(vec![event]).await?;
                intended = true;
            }
            let target = Target::Device(decided.it()?.id.clone());
            let changes = decided.action.map(|action| change_of(target, action, asker)).into_iter().collect();
            let batch = Batch { writes: decided.writes()?, changes };
            match self.commit(batch, &[], stray).await? {
                Outcome::Saved(committed, unpublished) => {
                    let mut event = self.device_event(&decided, asker);
                    event.takes_away = takes;
                    event.ended = by_protocol(Ended::of(&committed.receipts));
                    let mut events = Vec::new();
                    for receipt in &committed.receipts {
                        stray.was_saved(&receipt.target);
                        event.revocations.push(receipt.id.to_string().into());
                        if takes {
                            events.push(self.revocation(receipt, LifecycleStage::Unknown, asker));
                        }
                    }
                    events.push(doorward_audit::Event::Lifecycle(Box::new(event)));
                    let on_record = self.record_events(events).await;
                    let version = committed.records.first().copied().unwrap_or_default();
                    let (device, receipts) = (decided.it()?.clone(), committed.receipts);
                    return Ok(DeviceDone {
                        receipts,
                        unpublished,
                        on_record,
                        ..done(device, version, true)
                    });
                }
                Outcome::Again => self.pause(attempt).await,
            }
        }
        Err(Failed::Busy { enforced: stray.enforced })
    }

    async fn decide_device(
        &self,
        act: &DeviceAct,
        (place, now): (Place, UnixMillis),
        asker: &Asker,
    ) -> Result<Decided, Failed> {
        let of = |id: &DeviceId| {
            let id = id.clone();
            async move {
                let device = self.read_device(&id, place).await?;
                device.ok_or_else(|| not_found("device", id.as_str()))
            }
        };
        match act {
            DeviceAct::Add(new) => self.added(new, (place, now), asker).await,
            DeviceAct::Assign(id, owner) => {
                let before = of(id).await?;
                let owner = self.binds(*owner, before.0.owner, place).await?;
                let after = given_to(owner.as_ref().map(|read| read.person.id), before.0.clone(), now);
                Ok(Decided { owner, ..updated(before, after, "assign") })
            }
            DeviceAct::Say(id, said) => {
                let before = of(id).await?;
                let posture = Some(said.by(asker, now)?);
                let after = Device { posture, ..before.0.clone() };
                Ok(updated(before, after, "say"))
            }
            DeviceAct::Report(id, posture) => {
                let before = of(id).await?;
                let is_newer = match &before.0.posture {
                    Some(known) => counts_over(posture, known),
                    // It may be of a former device of this id.
                    None => posture.asserted_at.plus(REPORT_BEFORE_MAX) >= before.0.created_at,
                };
                let said = if is_newer { Some(Posture::clone(posture)) } else { before.0.posture.clone() };
                let after = Device { posture: said, ..before.0.clone() };
                Ok(updated(before, after, "report"))
            }
            DeviceAct::Bind(id, thumbprint) => {
                let before = of(id).await?;
                let mut after = before.0.clone();
                if !after.certificates.contains(thumbprint) {
                    after.certificates.push(*thumbprint);
                }
                let (count, max) = (after.certificates.len(), DEVICE_CERTIFICATES_MAX);
                if count > max {
                    return Err(Failed::TooMany { what: "certificates of one device", count, max });
                }
                Ok(updated(before, after, "bind"))
            }
            DeviceAct::Unbind(id, thumbprint) => {
                let before = of(id).await?;
                let mut after = before.0.clone();
                after.certificates.retain(|noted| noted != thumbprint);
                Ok(updated(before, after, "unbind"))
            }
            DeviceAct::Block(id) => {
                let before = of(id).await?;
                let by = clean(asker.actor.name(), TEXT_BYTES_MAX).into();
                let blocked = Blocked { by, cause: cause(asker), since: now };
                let blocked = Some(before.0.blocked.clone().unwrap_or(blocked));
                let after = Device { blocked, ..before.0.clone() };
                let (code, action) = (LifecycleCode::DeviceBlock, Some(Action::Disable));
                Ok(Decided { code, action, ..updated(before, after, "block") })
            }
            DeviceAct::Unblock(id) => {
                let before = of(id).await?;
                let after = Device { blocked: None, ..before.0.clone() };
                let (code, action) = (LifecycleCode::DeviceUnblock, Some(Action::Reactivate));
                Ok(Decided { code, action, ..updated(before, after, "unblock") })
            }
            DeviceAct::Remove(id) => {
                let before = of(id).await?;
                let action = if before.0.blocked.is_some() { Action::Disable } else { Action::Revoke };
                let (code, command) = (LifecycleCode::DeviceDelete, "remove");
                let (before, action) = (Some(before), Some(action));
                Ok(Decided { before, after: None, owner: None, code, command, action })
            }
        }
    }

    async fn added(
        &self,
        new: &NewDevice,
        (place, now): (Place, UnixMillis),
        asker: &Asker,
    ) -> Result<Decided, Failed> {
        if self.read_device(&new.id, Place::Disk).await?.is_some() {
            let help = "change that one, or remove it first";
            return Err(Failed::Refused { what: "a device of this id is registered", help });
        }
        let fits = |text: &str| {
            !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
        };
        let texts = [("name", Some(&new.name)), ("platform", new.platform.as_ref())];
        for (field, text) in texts {
            if text.is_some_and(|text| !fits(text)) {
                let what = format!("must have 1 to {TEXT_BYTES_MAX} bytes and no control characters");
                return Err(Failed::Bad { field, what });
            }
        }
        let owner = self.binds(new.owner, None, place).await?;
        let after = Device {
            id: new.id.clone(),
            owner: new.owner,
            name: new.name.clone(),
            platform: new.platform.as_ref().map(|platform| platform.to_lowercase()),
            certificates: new.thumbprint.into_iter().collect(),
            posture: new.posture.map(|said| said.by(asker, now)).transpose()?,
            blocked: None,
            created_at: now,
        };
        // The id may be of one that was blocked when it was removed.
        let target = Target::Device(new.id.clone());
        let known = self.ports.revocations.lookup(&target);
        let action = known.filter(|entry| entry.disabled).map(|_| Action::Reactivate);
        if action.is_some() && self.is_disabled_by_another(&target).await {
            let help = "let it in first, if it may: `doorward reactivate device`";
            return Err(Failed::Refused { what: "somebody cut off the device of this id", help });
        }
        let (code, command) = (LifecycleCode::DeviceCreate, "add");
        Ok(Decided { before: None, after: Some(after), owner, code, command, action })
    }

    /// Whoever is to have a device: they must have access, and not too many devices.
    async fn binds(
        &self,
        owner: Option<PersonId>,
        owner_now: Option<PersonId>,
        place: Place,
    ) -> Result<Option<Read>, Failed> {
        let Some(id) = owner else { return Ok(None) };
        let read = self.read(id, place).await?.ok_or_else(|| not_found("person", &id.to_string()))?;
        if !read.person.admitted() {
            let help = "name somebody who has, or nobody";
            return Err(Failed::Refused { what: "whoever has a device must have access", help });
        }
        if owner_now != Some(id) && self.view.bound_to(id).len() >= DEVICES_BOUND_MAX {
            let (count, max) = (DEVICES_BOUND_MAX + 1, DEVICES_BOUND_MAX);
            return Err(Failed::TooMany { what: "devices of one person", count, max });
        }
        Ok(Some(read))
    }

    /// What unbinds the devices of somebody who leaves: in one batch with that.
    pub(super) async fn unbinding(&self, person: PersonId, place: Place) -> Result<Vec<Write>, Failed> {
        let (mut writes, now) = (Vec::new(), (self.ports.clock)());
        for id in self.view.bound_to(person) {
            let Some((device, version)) = self.read_device(&id, place).await? else { continue };
            if device.owner == Some(person) {
                writes.push(write(&given_to(None, device, now), Expected::Version(version))?);
            }
        }
        Ok(writes)
    }

    fn device_event(&self, decided: &Decided, asker: &Asker) -> LifecycleChange {
        let was = decided.before.as_ref().map(|(device, _)| device);
        let is = decided.after.as_ref();
        let id = is.or(was).map_or_else(|| "".into(), |device| device.id.as_str().into());
        let differs = |what: &str, of: fn(&Device) -> String| {
            let (before, after) = (was.map(of).unwrap_or_default(), is.map(of).unwrap_or_default());
            let change = || LifecycleDifference {
                what: what.to_owned(),
                before: before.clone(),
                after: after.clone(),
                set_by: None,
            };
            (before != after).then(change)
        };
        let owner = differs("owner", |device| device.owner.map(|id| id.to_string()).unwrap_or_default());
        let certificates = differs("certificates", |device| {
            device.certificates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        });
        let posture = differs("posture", |device| device.posture.as_ref().map(said).unwrap_or_default());
        let state = differs("state", |device| {
            if device.blocked.is_some() { "blocked".to_owned() } else { "usable".to_owned() }
        });
        LifecycleChange {
            command: decided.command,
            changes: owner.into_iter().chain(certificates).chain(posture).chain(state).collect(),
            ..self.event(decided.code, About::Device(id), asker)
        }
    }
}

impl Decided {
    fn takes(&self) -> bool {
        self.action.is_some_and(|action| match action {
            Action::Disable | Action::Revoke => true,
            Action::Reactivate => false,
        })
    }

    fn it(&self) -> Result<&Device, Failed> {
        let was = self.before.as_ref().map(|(device, _)| device);
        self.after.as_ref().or(was).ok_or(Failed::Interrupted)
    }

    fn writes(&self) -> Result<Vec<Write>, Failed> {
        let expected = match &self.before {
            Some((_, version)) => Expected::Version(*version),
            None => Expected::Absent,
        };
        let mut writes = match &self.after {
            Some(after) => vec![write(after, expected)?],
            None => {
                let (kind, id) = (RecordKind::Device, self.it()?.id.as_str().into());
                vec![Write { kind, id, expected, body: None, keys: Vec::new() }]
            }
        };
        if let Some(owner) = &self.owner {
            let member = Member::Person(owner.person.id);
            writes.push(of_memberships(member, &owner.person.groups, owner.membership)?);
        }
        Ok(writes)
    }
}

impl Said {
    fn by(self, asker: &Asker, now: UnixMillis) -> Result<Posture, Failed> {
        let longest = Duration::from_hours(u64::from(POSTURE_HOURS_MAX));
        if self.counts_for.is_zero() || self.counts_for > longest {
            let what = format!("must be 1 to {POSTURE_HOURS_MAX} hours");
            return Err(Failed::Bad { field: "hours", what });
        }
        Ok(Posture {
            managed: self.managed,
            compliance: self.compliance,
            source: clean(asker.actor.name(), TEXT_BYTES_MAX).into(),
            reasons: Vec::new(),
            asserted_at: now,
            expires_at: now.plus(self.counts_for),
        })
    }
}

/// Whether what is said counts over what is known: it is newer, or worse where both are of one second.
fn counts_over(said: &Posture, known: &Posture) -> bool {
    let worse = known.managed && !said.managed
        || known.compliance == Compliance::Compliant && said.compliance != Compliance::Compliant
        || known.compliance == Compliance::Unknown && said.compliance == Compliance::NotCompliant;
    match said.asserted_at.seconds().cmp(&known.asserted_at.seconds()) {
        Ordering::Greater => true,
        Ordering::Equal => worse,
        Ordering::Less => false,
    }
}

fn updated(before: (Device, Version), after: Device, command: &'static str) -> Decided {
    let (before, after, code) = (Some(before), Some(after), LifecycleCode::DeviceUpdate);
    Decided { before, after, owner: None, code, command, action: None }
}

/// A device with this owner. Where somebody else had it, what was said of it was said of theirs: it counts no more, and
/// does not when it comes again, or only now.
fn given_to(owner: Option<PersonId>, device: Device, now: UnixMillis) -> Device {
    if device.owner.is_none() || device.owner == owner {
        return Device { owner, ..device };
    }
    let now = device.posture.as_ref().map_or(now, |known| now.max(known.asserted_at));
    let posture = Posture {
        managed: false,
        compliance: Compliance::Unknown,
        source: NOBODY.into(),
        reasons: vec!["somebody else had it until then".to_owned()],
        asserted_at: now,
        expires_at: now,
    };
    Device { owner, posture: Some(posture), ..device }
}

fn write(device: &Device, expected: Expected) -> Result<Write, Failed> {
    let body = encode_device(device).map_err(bad)?;
    let (kind, id) = (RecordKind::Device, device.id.as_str().into());
    let keys = device_keys(device).map_err(bad)?;
    Ok(Write { kind, id, expected, body: Some(body.into()), keys })
}

fn said(posture: &Posture) -> String {
    let compliance = match posture.compliance {
        Compliance::Compliant => "compliant",
        Compliance::NotCompliant => "not compliant",
        Compliance::Unknown => "unknown",
    };
    let managed = if posture.managed { "managed" } else { "not managed" };
    let why = posture.reasons.join("; ");
    let why = if why.is_empty() { why } else { format!(": {why}") };
    format!("{managed}, {compliance}, says {}{why}", posture.source)
}

fn done(device: Device, version: Version, changed: bool) -> DeviceDone {
    DeviceDone { device, version, changed, receipts: Vec::new(), unpublished: None, on_record: true }
}
