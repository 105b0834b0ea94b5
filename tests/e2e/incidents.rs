//! Incidents that other gateways had, one file for each class (S1 to S22 of the landscape study),
//! over HTTP/1.1 and HTTP/2, against upstreams that keep every byte that they were sent, those that
//! make no request too.
//!
//! The configuration is the default one, but for `revocation.issuer_skew_millis = 0` (a token of the
//! very second after a revocation is a new one) and what a test says that it changes.
//!
//! Each class has tests named after it: `s1_…`, `s2_…`. A class holds when nothing reaches an app
//! that should not, and when what was refused stands in the audit log with its code.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests own a clock, and what goes wrong in them must end them"
)]

mod incidents {
    mod house;
    mod random;
    mod talk;

    mod s01;
    mod s02;
    mod s03;
    mod s04;
    mod s05;
    mod s06;
    mod s07;
    mod s08;
    mod s13;
    mod s14;
    mod s16;
    mod s17;
    mod s18;
    mod s20;
    mod s21;
    mod s22;
}
