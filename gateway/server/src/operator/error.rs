//! Why the gateway did not do what it was asked, and what to do about it.

use std::path::PathBuf;

use reqwest::{StatusCode, Url};

use crate::config::{self, ConfigError, TokenFileError};

/// Why the gateway did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// `--operator` is not the address of a gateway.
    #[error("`{0}` is not the address of an operator API: {1}")]
    Address(String, &'static str),
    /// The configuration does not tell address and token.
    #[error("{0}")]
    Config(Box<ConfigError>),
    /// Nothing says which token to show.
    #[error("`{}` names no `operator.token_file`", .0.display())]
    NoToken(PathBuf),
    /// The file with the token is not good.
    #[error(transparent)]
    Token(#[from] TokenFileError),
    /// This process cannot make a request at all.
    #[error("cannot make a request: {0}")]
    Client(String),
    /// Nobody answers.
    #[error("the gateway at `{base}` does not answer: {cause}")]
    Unreachable {
        /// Where it was looked for.
        base: Url,
        /// What the system said.
        cause: String,
    },
    /// It was asked for a change of policies, and does not say what became of it.
    #[error(
        "the gateway at `{base}` was asked and does not answer ({cause}): nobody knows whether it was done"
    )]
    Unsure {
        /// Which gateway.
        base: Url,
        /// What the system said.
        cause: String,
    },
    /// The token is not the gateway's.
    #[error("the gateway at `{base}` does not accept the token")]
    TokenRefused {
        /// Which gateway.
        base: Url,
    },
    /// It answered, and not with what was asked for.
    #[error("the gateway answered {status}{}", dashed(detail))]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// What it said about it.
        detail: String,
        /// What it said can be done.
        help: Option<String>,
    },
    /// It answered something else than an operator API does.
    #[error("the answer of `{base}` cannot be read: {cause}")]
    Garbled {
        /// Which gateway.
        base: Url,
        /// What is wrong with it.
        cause: String,
    },
}

impl ApiError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Address(..) => Some(format!("write it like `http://{}`", config::OPERATOR_ADDRESS)),
            Self::NoToken(_) => {
                Some("name it with `--token-file FILE`, or the configuration with `--config FILE`".to_owned())
            }
            Self::Token(e) => Some(e.help()),
            Self::Unreachable { .. } => Some(
                "is the gateway running? `--operator URL` names another address; it is `operator.address` \
                 in the configuration"
                    .to_owned(),
            ),
            Self::Unsure { .. } => Some(
                "look before you do it again: `doorward policy rollout status` says what is in force, what is \
                 rolled out, and who did what last"
                    .to_owned(),
            ),
            Self::TokenRefused { .. } => {
                Some("show the token of this gateway with `--token-file FILE`".to_owned())
            }
            Self::Garbled { .. } => {
                Some("is this the operator's address, and not one for clients?".to_owned())
            }
            Self::Config(_) => {
                Some("`--operator URL` and `--token-file FILE` do without a configuration file".to_owned())
            }
            Self::Refused { help, .. } => help.clone(),
            Self::Client(_) => None,
        }
    }
}

fn dashed(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}
