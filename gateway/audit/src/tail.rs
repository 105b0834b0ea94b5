//! Reading the log again, for people.

mod follow;
mod render;

pub use follow::{Follower, From};
pub use render::{Filter, Style, render};
