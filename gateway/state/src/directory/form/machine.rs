//! A service account or an agent, as written.

use std::collections::BTreeSet;

use doorward_model::UnixMillis;
use doorward_model::directory::{Machine, MachineKind, MachineState, StopCause};
use serde::{Deserialize, Serialize};

use super::token::{TokenForm, token_key};
use super::{Body, FormError, VERSION, link_key, read, read_id, read_link, write};
use crate::records::UniqueKey;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MachineForm {
    v: u32,
    id: String,
    user: String,
    kind: String,
    name: String,
    purpose: String,
    owner: String,
    scopes: Vec<String>,
    state: StateForm,
    expires_at: i64,
    created_at: i64,
    /// A machine of which nothing is said has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<TokenForm>,
}

impl Body for MachineForm {
    fn version(&self) -> u32 {
        self.v
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StateForm {
    Active,
    OwnerLeft { since: i64 },
    Halted { since: i64 },
    Deleted,
}

impl From<MachineState> for StateForm {
    fn from(state: MachineState) -> Self {
        match state {
            MachineState::Active => Self::Active,
            MachineState::Stopped { cause: StopCause::OwnerLeft, since } => {
                Self::OwnerLeft { since: since.0 }
            }
            MachineState::Stopped { cause: StopCause::Halted, since } => Self::Halted { since: since.0 },
            MachineState::Deleted => Self::Deleted,
        }
    }
}

impl From<StateForm> for MachineState {
    fn from(form: StateForm) -> Self {
        let stopped = |cause, since| Self::Stopped { cause, since: UnixMillis(since) };
        match form {
            StateForm::Active => Self::Active,
            StateForm::OwnerLeft { since } => stopped(StopCause::OwnerLeft, since),
            StateForm::Halted { since } => stopped(StopCause::Halted, since),
            StateForm::Deleted => Self::Deleted,
        }
    }
}

/// The body of a machine's record, and its keys: its sign-in, which no person and no other machine has, and
/// each of its tokens. A machine that is deleted has no key.
///
/// # Errors
/// See [`FormError::Key`].
pub fn encode_machine(machine: &Machine) -> Result<(Vec<u8>, Vec<UniqueKey>), FormError> {
    let body = write(&MachineForm {
        v: VERSION,
        id: machine.id.to_string(),
        user: machine.user.to_string(),
        kind: machine.kind.as_str().to_owned(),
        name: machine.name.clone(),
        purpose: machine.purpose.clone(),
        owner: machine.owner.to_string(),
        scopes: machine.scopes.iter().cloned().collect(),
        state: machine.state.into(),
        expires_at: machine.expires_at.0,
        created_at: machine.created_at.0,
        tokens: machine.tokens.iter().map(TokenForm::from).collect(),
    })?;
    let keys = match machine.state {
        MachineState::Active | MachineState::Stopped { .. } => {
            let tokens = machine.tokens.iter().map(|token| token_key(&token.hash));
            std::iter::once(link_key(&machine.user)).chain(tokens).collect::<Result<_, _>>()?
        }
        MachineState::Deleted => Vec::new(),
    };
    Ok((body, keys))
}

/// Reads such a body.
///
/// # Errors
/// See [`FormError`].
pub fn decode_machine(body: &[u8]) -> Result<Machine, FormError> {
    let form: MachineForm = read(body)?;
    let Some(kind) = MachineKind::parse(&form.kind) else {
        return Err(FormError::Field { field: "kind", rule: "write `service_account` or `agent`" });
    };
    let mut scopes = BTreeSet::new();
    for scope in form.scopes {
        if !scopes.insert(scope) {
            return Err(FormError::Field { field: "scopes", rule: "each stands there once" });
        }
    }
    Ok(Machine {
        id: read_id("id", &form.id)?,
        user: read_link("user", &form.user)?,
        kind,
        name: form.name,
        purpose: form.purpose,
        owner: read_id("owner", &form.owner)?,
        scopes,
        state: form.state.into(),
        expires_at: UnixMillis(form.expires_at),
        created_at: UnixMillis(form.created_at),
        tokens: form.tokens.into_iter().map(TokenForm::read).collect::<Result<_, _>>()?,
    })
}
