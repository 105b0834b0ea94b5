//! What is answered, and what an answer may cost.

use std::time::Duration;

use cedar_policy::{Entities, Request};
use doorward_policy::{Decision, Situation};

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// It is so, for every request.
    Proved,
    /// It is not so: here is a request.
    Found(T),
    /// Nobody knows.
    Unknown(Why),
}

/// Why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// One query took too long.
    #[error("the solver did not answer within {0:.1?}")]
    Time(Duration),
    /// The time for all queries was used up.
    #[error("the budget of {0:?} was used up")]
    Budget(Duration),
    /// They could not even be put to it: what that takes grows with a condition beyond all measure.
    #[error(
        "these policies could not be put to the solver within {0:.1?}; a condition of many parts may be why"
    )]
    Large(Duration),
    /// It answered that it does not know.
    #[error("the solver answered `unknown`")]
    Undecided,
    /// It died, or said what nobody understands.
    #[error("the solver failed: {0}")]
    Failed(String),
    /// The policies cannot be put to a solver.
    #[error("these policies cannot be put to the solver: {0}")]
    Unsupported(String),
    /// It found a request, on which things are not as it claims.
    #[error("the solver's counterexample does not hold: {0}")]
    NotReplayed(String),
}

/// What a set of policies decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Yes or no.
    pub decision: Decision,
    /// The policies that decide, by name.
    pub by: Vec<String>,
}

/// A request on which two sets of policies decide differently, tried on Cedar.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The request.
    pub request: Request,
    /// Everything that is said of who asks and what is asked for, and nothing else.
    pub entities: Entities,
    /// The same in Doorward's words, where the schema is Doorward's. Request and entities are then what the
    /// gateway makes of it.
    pub situation: Option<Situation>,
    /// What the first set decides.
    pub first: Decided,
    /// What the second set decides.
    pub second: Decided,
}

/// A request that should not be, tried on Cedar.
#[derive(Clone, Debug)]
pub struct Example {
    /// The request.
    pub request: Request,
    /// Everything that is said of who asks and what is asked for, and nothing else.
    pub entities: Entities,
    /// The same in Doorward's words, where the schema is Doorward's.
    pub situation: Option<Situation>,
    /// The policies that decide; for [`Solver::never_errors`](super::Solver::never_errors) what went wrong.
    pub by: Vec<String>,
}

/// How much a solver may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For one query.
    pub query_max: Duration,
    /// For all queries together.
    pub budget: Duration,
    /// Memory of one solver process.
    pub memory_bytes_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            query_max: Duration::from_secs(30),
            budget: Duration::from_secs(60),
            memory_bytes_max: 2 << 30,
        }
    }
}
