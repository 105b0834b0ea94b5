//! Connections in the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::directory::ConnectionId;
use doorward_model::{IssuerId, MailDomain, UnixMillis};
use doorward_state::{
    Batch, CommitError, Expected, Record, RecordKind, Revocations, StateError, Version, Write,
};

use super::{
    CONNECTIONS_MAX, Connection, ConnectionToken, KnownToken, LAST_USED_SECONDS, RoleRule, SubjectAttribute,
    TOKENS_MAX, Terms, TokenHash, form,
};

/// How often a change is tried anew when somebody else changed the connection meanwhile.
const TRIES_MAX: usize = 4;

/// Why nothing became of a call about a connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// There is one of this name, or there was.
    #[error("there is, or was, a connection `{0}`: use another name, as people may still come from that one")]
    Taken(ConnectionId),
    /// Another connection's groups begin so, or would.
    #[error("names of groups of the connection `{0}` could begin so, too: use another beginning")]
    PrefixTaken(ConnectionId),
    /// There is none.
    #[error("there is no connection `{0}`")]
    Unknown(ConnectionId),
    /// There are as many as there may be.
    #[error("there are {CONNECTIONS_MAX} connections already: remove one first")]
    TooMany,
    /// It has as many tokens as it may.
    #[error(
        "connection `{0}` has {TOKENS_MAX} tokens already: revoke the one that is not used any more first"
    )]
    TooManyTokens(ConnectionId),
    /// It has no such token.
    #[error("connection `{0}` has no token of this name")]
    UnknownToken(ConnectionId),
    /// Its record cannot be read.
    #[error("the record of connection `{0}` is damaged, or a later program wrote it")]
    Damaged(String),
    /// Others change it all the time.
    #[error("connection `{0}` changes too often: try again")]
    Busy(ConnectionId),
    /// It could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It could not be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The connections. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    store: Revocations,
}

impl Connections {
    /// Those of a store.
    #[must_use]
    pub const fn new(store: Revocations) -> Self {
        Self { store }
    }

    /// Makes a connection with its first token, which may say no more than it must: no roles.
    ///
    /// # Errors
    /// As [`Self::create_on`].
    pub async fn create(
        &self,
        id: ConnectionId,
        issuer: IssuerId,
        subject: SubjectAttribute,
        token: &ConnectionToken,
        now: UnixMillis,
    ) -> Result<Connection, ConnectionError> {
        self.create_on(Terms::default(), (id, issuer, subject), token, now).await
    }

    /// Makes a connection with its first token, on these terms.
    ///
    /// # Errors
    /// `Taken`, `PrefixTaken`, `TooMany`, or what the store says.
    pub async fn create_on(
        &self,
        terms: Terms,
        (id, issuer, subject): (ConnectionId, IssuerId, SubjectAttribute),
        token: &ConnectionToken,
        now: UnixMillis,
    ) -> Result<Connection, ConnectionError> {
        let others = self.list().await?;
        if others.len() >= CONNECTIONS_MAX {
            return Err(ConnectionError::TooMany);
        }
        let other = |other: &&Connection| match (&other.terms.group_prefix, &terms.group_prefix) {
            (Some(theirs), Some(ours)) => theirs.meets(ours),
            (Some(_) | None, _) => false,
        };
        if let Some(other) = others.iter().find(other) {
            return Err(ConnectionError::PrefixTaken(other.id.clone()));
        }
        let tokens = vec![fresh(token, now)];
        let connection = Connection { id, issuer, subject, terms, created_at: now, tokens };
        match self.write(&connection, Expected::Absent).await {
            Ok(()) => Ok(connection),
            Err(CommitError::Conflict { .. }) => Err(ConnectionError::Taken(connection.id)),
            Err(error) => Err(error.into()),
        }
    }

    /// Every connection, by name.
    ///
    /// # Errors
    /// When the store cannot be read, or a record is damaged.
    pub async fn list(&self) -> Result<Vec<Connection>, ConnectionError> {
        let records = self.store.record_page(RecordKind::Connection, None, CONNECTIONS_MAX).await?;
        records.iter().map(|record| read(record).map(|(connection, _)| connection)).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// `Unknown`, or what the store says.
    pub async fn get(&self, id: &ConnectionId) -> Result<Connection, ConnectionError> {
        self.known(id).await.map(|(connection, _)| connection)
    }

    /// Gives a connection one token more. The others stay good until they are revoked.
    ///
    /// # Errors
    /// `TooManyTokens`, `Unknown`, or what the store says.
    pub async fn rotate(
        &self,
        id: &ConnectionId,
        token: &ConnectionToken,
        now: UnixMillis,
    ) -> Result<Connection, ConnectionError> {
        self.change(id, |connection| {
            if connection.tokens.len() >= TOKENS_MAX {
                return Err(ConnectionError::TooManyTokens(id.clone()));
            }
            connection.tokens.push(fresh(token, now));
            Ok(())
        })
        .await
    }

    /// Changes for which addresses its word counts, and which roles it may give. What is left out stays. How its
    /// groups are called does not change: policies know them by that.
    ///
    /// Whoever has a role by it that it may not give any more keeps it until the source speaks of them again.
    ///
    /// # Errors
    /// `Unknown`, or what the store says.
    pub async fn change_terms(
        &self,
        id: &ConnectionId,
        email_domains: Option<Option<BTreeSet<MailDomain>>>,
        roles: Option<BTreeSet<RoleRule>>,
    ) -> Result<Connection, ConnectionError> {
        self.change(id, |connection| {
            if let Some(email_domains) = &email_domains {
                connection.terms.email_domains.clone_from(email_domains);
            }
            if let Some(roles) = &roles {
                connection.terms.roles.clone_from(roles);
            }
            Ok(())
        })
        .await
    }

    /// Another connection than `of` whose groups are called so, if there is one: nobody else may.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn has_group_names_like(
        &self,
        name: &str,
        of: &ConnectionId,
    ) -> Result<Option<ConnectionId>, ConnectionError> {
        let begins = |other: &Connection| other.terms.group_prefix.as_ref().is_some_and(|p| p.begins(name));
        let all = self.list().await?;
        Ok(all.into_iter().find(|other| other.id != *of && begins(other)).map(|other| other.id))
    }

    /// Ends a token, told by its [name](TokenHash::name). The next request with it is refused.
    ///
    /// # Errors
    /// `UnknownToken`, `Unknown`, or what the store says.
    pub async fn revoke(&self, id: &ConnectionId, name: &str) -> Result<Connection, ConnectionError> {
        self.change(id, |connection| {
            let before = connection.tokens.len();
            connection.tokens.retain(|token| token.hash.name() != name);
            if connection.tokens.len() == before {
                return Err(ConnectionError::UnknownToken(id.clone()));
            }
            Ok(())
        })
        .await
    }

    /// Removes a connection for ever; its name is not used again. Whom it made known stays as they
    /// are: nobody speaks for them any more, but operators.
    ///
    /// # Errors
    /// `Unknown`, or what the store says.
    pub async fn remove(&self, id: &ConnectionId) -> Result<(), ConnectionError> {
        self.known(id).await?;
        let write = Write {
            kind: RecordKind::Connection,
            id: id.as_str().into(),
            expected: Expected::Any,
            body: None,
            keys: Vec::new(),
        };
        match self.store.commit(Batch { writes: vec![write], changes: Vec::new() }).await {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict { .. }) => Err(ConnectionError::Unknown(id.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Whose token this is, if anybody's.
    ///
    /// # Errors
    /// When the store cannot be read: then it is not known, and nobody is let in.
    pub async fn admit(&self, token: &ConnectionToken) -> Result<Option<Connection>, ConnectionError> {
        let hash = token.hash();
        let Some(record) = self.store.record_by_key(&form::key(&hash)?).await? else { return Ok(None) };
        let (connection, _) = read(&record)?;
        // The key leads to the record; that the token is in it is said by the record.
        Ok(connection.tokens.iter().any(|known| known.hash == hash).then_some(connection))
    }

    /// Notes that a token was used, when that is not known well enough. That it cannot be noted stops
    /// nobody, so nobody waits for it.
    pub async fn used(&self, id: &ConnectionId, token: TokenHash, now: UnixMillis) {
        for _ in 0..TRIES_MAX {
            let Ok((mut connection, version)) = self.known(id).await else { return };
            let known = connection.tokens.iter_mut().find(|known| known.hash == token);
            let Some(known) = known.filter(|known| is_due(known, now)) else { return };
            known.last_used_at = Some(now);
            match self.write(&connection, Expected::Version(version)).await {
                Ok(()) => return,
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => {
                    return tracing::warn!(connection = %id, %error, "it is not noted that a token was used");
                }
            }
        }
    }

    async fn known(&self, id: &ConnectionId) -> Result<(Connection, Version), ConnectionError> {
        let record = self.store.record(RecordKind::Connection, id.as_str()).await?;
        match record.filter(Record::is_live) {
            Some(record) => read(&record),
            None => Err(ConnectionError::Unknown(id.clone())),
        }
    }

    async fn change(
        &self,
        id: &ConnectionId,
        change: impl Fn(&mut Connection) -> Result<(), ConnectionError>,
    ) -> Result<Connection, ConnectionError> {
        for _ in 0..TRIES_MAX {
            let (mut connection, version) = self.known(id).await?;
            change(&mut connection)?;
            match self.write(&connection, Expected::Version(version)).await {
                Ok(()) => return Ok(connection),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ConnectionError::Busy(id.clone()))
    }

    async fn write(&self, connection: &Connection, expected: Expected) -> Result<(), CommitError> {
        let keys = connection.tokens.iter().map(|token| form::key(&token.hash)).collect::<Result<_, _>>()?;
        let body: Arc<[u8]> = form::encode(connection).into();
        let id = connection.id.as_str().into();
        let write = Write { kind: RecordKind::Connection, id, expected, body: Some(body), keys };
        match self.store.commit(Batch { writes: vec![write], changes: Vec::new() }).await {
            // It is saved, and no other node needs it.
            Ok(_) | Err(CommitError::NotPublished { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether it should be noted that the token is used now.
pub(in crate::intake) fn is_due(token: &KnownToken, now: UnixMillis) -> bool {
    token.last_used_at.is_none_or(|at| at.plus(Duration::from_secs(LAST_USED_SECONDS)) <= now)
}

fn fresh(token: &ConnectionToken, now: UnixMillis) -> KnownToken {
    KnownToken { hash: token.hash(), created_at: now, last_used_at: None }
}

fn read(record: &Record) -> Result<(Connection, Version), ConnectionError> {
    let body = record.body.as_deref().unwrap_or_default();
    form::decode(&record.id, body)
        .map(|connection| (connection, record.version))
        .ok_or_else(|| ConnectionError::Damaged(record.id.to_string()))
}
