//! Where in the world an address is: country, continent, network operator, and whether it hides
//! someone, from files in the MaxMind DB format (MMDB 2.0).
//!
//! This crate stands alone. It knows nothing of the gateway; the crate `context` turns its answers
//! into the vocabulary of the house, where what is unknown becomes `ZZ`.
//!
//! ```text
//!   country.mmdb ─┐                    ┌─ Facts { country, continent, asn, … }
//!   asn.mmdb ─────┼─► Atlas::open ─► Edition ─► find(ip)
//!   anonymous.mmdb┘        ▲             │
//!                       reload()      swapped whole, or not at all
//! ```
//!
//! The cast: [`Atlas`] holds the edition in force and replaces it; [`Facts`] is what it says of one
//! address; [`Reload`] names how a reload went; [`FileError`] says which file is wrong and how to
//! mend it; [`FileStatus`] tells an operator how old each file is.
//!
//! What always holds:
//! * A file is read into memory whole and every record of it is decoded before it answers anything.
//!   A file that is overwritten in place, truncated or damaged cannot disturb a running process, and
//!   a lookup cannot fail.
//! * All files are replaced together. One bad file keeps the whole old edition in force.
//! * What no file says is `None`. Nothing is guessed: see [`Facts`] for the decisions.
//! * An IPv4 address inside an IPv6 one (`::ffff:192.0.2.1`) is that IPv4 address.
//!
//! What it never does: read a clock, write a file, open a connection, map a file into memory.

mod atlas;
mod error;
mod facts;
mod file;
mod record;

pub use atlas::{Atlas, FileStatus, Reload};
pub use error::FileError;
pub use facts::{Alpha2, Facts, Point};
pub use file::{FILE_BYTES_MAX, RECORDS_MAX};
