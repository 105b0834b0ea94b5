//! A person, as written.

use std::collections::{BTreeMap, BTreeSet};

use doorward_model::directory::{
    Edit, Edited, Grants, GroupId, Hand, Hold, HoldOrigin, Left, Offboarding, Person, PersonState,
    ProfileField, RoleName, StreamName,
};
use doorward_model::{AppId, UnixMillis};
use serde::{Deserialize, Serialize};

use super::given::{Gifts, gifts, grants};
use super::profile::ProfileForm;
use super::{
    Body, FormError, SourceForm, VERSION, link_key, read, read_connection, read_id, read_link, user_name_key,
    write,
};
use crate::records::UniqueKey;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonForm {
    v: u32,
    id: String,
    links: Vec<String>,
    source: SourceForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offered_to: Option<String>,
    source_active: bool,
    state: StateForm,
    holds: Vec<HoldForm>,
    offboarding: String,
    profile: ProfileForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<Box<ProfileForm>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    edits: Vec<EditForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<Gifts>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    apps: Vec<Gifts>,
    taken_as_of: Vec<(HandForm, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    created_at: i64,
    changed_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<LeftForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returned_at: Option<i64>,
}

impl Body for PersonForm {
    fn version(&self) -> u32 {
        self.v
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StateForm {
    Invited,
    PendingVerification,
    Staged,
    Active,
    Locked { until: i64 },
    Suspended(HoldForm),
    Deactivated,
    Deleted,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldForm {
    by: String,
    cause: String,
    since: i64,
    origin: HoldOriginForm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HoldOriginForm {
    Operator,
    Signal(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HandForm {
    Operator,
    Source(String),
    Signal(String),
    Person,
    System,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeftForm {
    by: HandForm,
    at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EditForm {
    what: EditedForm,
    by: String,
    at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EditedForm {
    Field(String),
    Role(String),
    Group(String),
    App(String),
}

/// The body of a person's record, without the groups, and its keys: each sign-in, and the name within
/// the source. Somebody who was deleted has no keys: the names are free, the id is not.
///
/// # Errors
/// See [`FormError::Key`].
pub fn encode_person(person: &Person) -> Result<(Vec<u8>, Vec<UniqueKey>), FormError> {
    let body = write(&PersonForm {
        v: VERSION,
        id: person.id.to_string(),
        links: person.links.iter().map(ToString::to_string).collect(),
        source: (&person.source).into(),
        offered_to: person.offered_to.as_ref().map(ToString::to_string),
        source_active: person.source_active,
        state: (&person.state).into(),
        holds: person.holds.iter().map(HoldForm::from).collect(),
        offboarding: person.offboarding.as_str().to_owned(),
        profile: (&person.profile).into(),
        said: person.said.as_deref().map(|said| Box::new(said.into())),
        edits: person.edits.iter().map(EditForm::from).collect(),
        roles: gifts(&person.roles, RoleName::to_string),
        apps: gifts(&person.apps, AppId::to_string),
        taken_as_of: person.taken_as_of.iter().map(|(hand, at)| (hand.into(), at.0)).collect(),
        expires_at: person.expires_at.map(|at| at.0),
        created_at: person.created_at.0,
        changed_at: person.changed_at.0,
        left: person.left.as_ref().map(|left| LeftForm { by: (&left.by).into(), at: left.at.0 }),
        returned_at: person.returned_at.map(|at| at.0),
    })?;
    let mut keys = Vec::new();
    if person.state != PersonState::Deleted {
        keys.push(user_name_key(&person.source, &person.profile.user_name)?);
        for link in &person.links {
            keys.push(link_key(link)?);
        }
    }
    Ok((body, keys))
}

/// Reads such a body. The `groups` are empty: whoever wants them reads the person's memberships.
///
/// # Errors
/// See [`FormError`].
pub fn decode_person(body: &[u8]) -> Result<Person, FormError> {
    let form: PersonForm = read(body)?;
    let links = all("links", form.links, |text| read_link("links", &text))?;
    let offboarding = Offboarding::parse(&form.offboarding)
        .ok_or(FormError::Field { field: "offboarding", rule: "the step is not known" })?;
    Ok(Person {
        id: read_id("id", &form.id)?,
        links,
        source: form.source.read()?,
        offered_to: form.offered_to.map(|name| read_connection("offered_to", &name)).transpose()?,
        source_active: form.source_active,
        state: form.state.read()?,
        holds: read_holds(form.holds)?,
        offboarding,
        profile: form.profile.read()?,
        said: form.said.map(|said| said.read().map(Box::new)).transpose()?,
        edits: read_edits(form.edits)?,
        roles: grants("roles", form.roles, |text| read_role("roles", text))?,
        groups: Grants::new(),
        apps: grants("apps", form.apps, |text| read_app("apps", text))?,
        taken_as_of: read_times(form.taken_as_of)?,
        expires_at: form.expires_at.map(UnixMillis),
        created_at: UnixMillis(form.created_at),
        changed_at: UnixMillis(form.changed_at),
        left: form
            .left
            .map(|left| Ok(Left { by: left.by.read("left")?, at: UnixMillis(left.at) }))
            .transpose()?,
        returned_at: form.returned_at.map(UnixMillis),
    })
}

fn all<W, T: Ord>(
    field: &'static str,
    written: Vec<W>,
    read: impl Fn(W) -> Result<T, FormError>,
) -> Result<BTreeSet<T>, FormError> {
    let mut all = BTreeSet::new();
    for one in written {
        if !all.insert(read(one)?) {
            return Err(FormError::Field { field, rule: "each stands there once" });
        }
    }
    Ok(all)
}

fn read_role(field: &'static str, text: &str) -> Result<RoleName, FormError> {
    RoleName::new(text).map_err(|_| FormError::Field { field, rule: "a role has 1 to 255 bytes" })
}

fn read_app(field: &'static str, text: &str) -> Result<AppId, FormError> {
    AppId::new(text).map_err(|_| FormError::Field { field, rule: "an app has a short name" })
}

fn read_stream(field: &'static str, text: &str) -> Result<StreamName, FormError> {
    StreamName::new(text).map_err(|_| FormError::Field { field, rule: "a stream has a short name" })
}

fn read_holds(forms: Vec<HoldForm>) -> Result<Vec<Hold>, FormError> {
    let mut holds: Vec<Hold> = Vec::with_capacity(forms.len());
    for form in forms {
        let hold = form.read()?;
        if holds.iter().any(|other| other.origin == hold.origin) {
            return Err(FormError::Field { field: "holds", rule: "each origin holds once" });
        }
        holds.push(hold);
    }
    Ok(holds)
}

fn read_edits(forms: Vec<EditForm>) -> Result<BTreeMap<Edited, Edit>, FormError> {
    let mut edits = BTreeMap::new();
    for EditForm { what, by, at } in forms {
        let edit = Edit { by: by.into(), at: UnixMillis(at) };
        if edits.insert(what.read()?, edit).is_some() {
            return Err(FormError::Field { field: "edits", rule: "each stands there once" });
        }
    }
    Ok(edits)
}

fn read_times(forms: Vec<(HandForm, i64)>) -> Result<BTreeMap<Hand, UnixMillis>, FormError> {
    let mut times = BTreeMap::new();
    for (hand, at) in forms {
        if times.insert(hand.read("taken_as_of")?, UnixMillis(at)).is_some() {
            return Err(FormError::Field { field: "taken_as_of", rule: "each hand stands there once" });
        }
    }
    Ok(times)
}

impl From<&PersonState> for StateForm {
    fn from(state: &PersonState) -> Self {
        match state {
            PersonState::Invited => Self::Invited,
            PersonState::PendingVerification => Self::PendingVerification,
            PersonState::Staged => Self::Staged,
            PersonState::Active => Self::Active,
            PersonState::Locked { until } => Self::Locked { until: until.0 },
            PersonState::Suspended(hold) => Self::Suspended(hold.into()),
            PersonState::Deactivated => Self::Deactivated,
            PersonState::Deleted => Self::Deleted,
        }
    }
}

impl StateForm {
    fn read(self) -> Result<PersonState, FormError> {
        Ok(match self {
            Self::Invited => PersonState::Invited,
            Self::PendingVerification => PersonState::PendingVerification,
            Self::Staged => PersonState::Staged,
            Self::Active => PersonState::Active,
            Self::Locked { until } => PersonState::Locked { until: UnixMillis(until) },
            Self::Suspended(hold) => PersonState::Suspended(hold.read()?),
            Self::Deactivated => PersonState::Deactivated,
            Self::Deleted => PersonState::Deleted,
        })
    }
}

impl From<&Hold> for HoldForm {
    fn from(hold: &Hold) -> Self {
        let origin = match &hold.origin {
            HoldOrigin::Operator => HoldOriginForm::Operator,
            HoldOrigin::Signal(stream) => HoldOriginForm::Signal(stream.as_str().to_owned()),
        };
        let (by, cause) = (hold.by.as_ref().to_owned(), hold.cause.as_ref().to_owned());
        Self { by, cause, since: hold.since.0, origin }
    }
}

impl HoldForm {
    fn read(self) -> Result<Hold, FormError> {
        let origin = match self.origin {
            HoldOriginForm::Operator => HoldOrigin::Operator,
            HoldOriginForm::Signal(stream) => HoldOrigin::Signal(read_stream("holds", &stream)?),
        };
        Ok(Hold { by: self.by.into(), cause: self.cause.into(), since: UnixMillis(self.since), origin })
    }
}

impl From<&Hand> for HandForm {
    fn from(hand: &Hand) -> Self {
        match hand {
            Hand::Operator => Self::Operator,
            Hand::Source(connection) => Self::Source(connection.as_str().to_owned()),
            Hand::Signal(stream) => Self::Signal(stream.as_str().to_owned()),
            Hand::Person => Self::Person,
            Hand::System => Self::System,
        }
    }
}

impl HandForm {
    fn read(self, field: &'static str) -> Result<Hand, FormError> {
        match self {
            Self::Operator => Ok(Hand::Operator),
            Self::Source(connection) => read_connection(field, &connection).map(Hand::Source),
            Self::Signal(stream) => read_stream(field, &stream).map(Hand::Signal),
            Self::Person => Ok(Hand::Person),
            Self::System => Ok(Hand::System),
        }
    }
}

impl From<(&Edited, &Edit)> for EditForm {
    fn from((edited, edit): (&Edited, &Edit)) -> Self {
        let what = match edited {
            Edited::Field(field) => EditedForm::Field(field.as_str().to_owned()),
            Edited::Role(role) => EditedForm::Role(role.as_str().to_owned()),
            Edited::Group(group) => EditedForm::Group(group.to_string()),
            Edited::App(app) => EditedForm::App(app.as_str().to_owned()),
        };
        Self { what, by: edit.by.as_ref().to_owned(), at: edit.at.0 }
    }
}

impl EditedForm {
    fn read(self) -> Result<Edited, FormError> {
        match self {
            Self::Field(word) => ProfileField::parse(&word)
                .map(Edited::Field)
                .ok_or(FormError::Field { field: "edits", rule: "the field is not known" }),
            Self::Role(role) => read_role("edits", &role).map(Edited::Role),
            Self::Group(group) => read_id::<GroupId>("edits", &group).map(Edited::Group),
            Self::App(app) => read_app("edits", &app).map(Edited::App),
        }
    }
}
