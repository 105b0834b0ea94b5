//! The operator's token, as it stands in its file now.
//!
//! It is read for each call, so that a token that was exchanged is good at once, and every few
//! seconds, so that a file that turned bad is noticed before somebody needs it: with a bad file
//! nobody can be revoked by command.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use doorward_console::{Condition, ConditionState, Token};

use crate::config::{TokenFileError, read_token};

/// How often the file is looked at when nobody calls.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The file that holds the token.
#[derive(Debug)]
pub(crate) struct TokenFile {
    file: Option<PathBuf>,
    /// What is wrong with it, since the last look.
    wrong: Mutex<Option<String>>,
}

/// What a look found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// As before.
    None,
    /// It cannot be used any more, or for another cause than before.
    Broken,
    /// It can be used again.
    Mended,
}

impl TokenFile {
    pub(crate) const fn new(file: Option<PathBuf>) -> Self {
        Self { file, wrong: Mutex::new(None) }
    }

    /// The token of now. Reads the file, off the runtime.
    pub(crate) async fn token(self: Arc<Self>) -> Option<Token> {
        tokio::task::spawn_blocking(move || self.look()).await.ok().flatten()
    }

    /// Looks at the file again and again.
    pub(crate) async fn keep_looking(self: Arc<Self>) {
        loop {
            let _ = Arc::clone(&self).token().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether operators can get in. Shown to everybody: neither the file's name nor what is wrong
    /// with it is part of it.
    pub(crate) fn condition(&self) -> Condition {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let (state, detail) = match (&self.file, wrong) {
            (Some(_), false) => (ConditionState::Holds, "the token can be read"),
            (Some(_), true) => (
                ConditionState::Degraded,
                "the token file cannot be used, so no operator gets in; see the log",
            ),
            (None, _) => (ConditionState::Degraded, "there is no token file, so no operator gets in"),
        };
        Condition { name: "operator_token", state, detail: detail.to_owned() }
    }

    fn look(&self) -> Option<Token> {
        let file = self.file.as_deref()?;
        let read = read_token(file);
        match self.note(read.as_ref().err()) {
            Change::None => {}
            Change::Broken => {
                let (error, help) =
                    read.as_ref().err().map(|e| (e.to_string(), e.help())).unwrap_or_default();
                tracing::error!(error, help, "the operator's token cannot be used: no operator gets in");
            }
            Change::Mended => tracing::info!("the operator's token can be used again"),
        }
        read.ok().and_then(|token| Token::new(token.expose()))
    }

    fn note(&self, error: Option<&TokenFileError>) -> Change {
        let now = error.map(ToString::to_string);
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let change = match (&*wrong, &now) {
            (before, now) if before == now => Change::None,
            (_, Some(_)) => Change::Broken,
            (_, None) => Change::Mended,
        };
        *wrong = now;
        change
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_turns_bad_is_told_once_and_so_is_that_it_is_good_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("operator.token");
        let token = TokenFile::new(Some(file.clone()));
        let mode = |mode| set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let look = || {
            let change = token.note(read_token(&file).as_ref().err());
            (token.look().is_some(), change, token.condition().state)
        };
        write(&file, "0123456789abcdefghijklmnopqrstuv\n").unwrap();
        mode(0o600);
        assert_eq!(look(), (true, Change::None, ConditionState::Holds));
        mode(0o644);
        assert_eq!(look(), (false, Change::Broken, ConditionState::Degraded));
        assert_eq!(look(), (false, Change::None, ConditionState::Degraded));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(look(), (false, Change::Broken, ConditionState::Degraded), "another cause");
        assert!(!token.condition().detail.contains("operator.token"));
        write(&file, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789").unwrap();
        mode(0o600);
        assert_eq!(look(), (true, Change::Mended, ConditionState::Holds));
        assert_eq!(TokenFile::new(None).condition().state, ConditionState::Degraded);
        assert!(TokenFile::new(None).look().is_none());
    }
}
