//! Tests that need root: to mount, or to make networks of their own.

use std::io::Write as _;

/// The variable that says that what needs root is not tested here.
pub const SKIP: &str = "DOORWARD_SKIP_PRIVILEGED";

/// Whether `DOORWARD_SKIP_PRIVILEGED=1` says that what needs root is not tested here. Says so of the test
/// that asks; `tests/run` repeats at its end what was not tested.
///
/// # Panics
/// When there is nobody to tell.
#[must_use]
pub fn is_left_out() -> bool {
    let left_out = std::env::var_os(SKIP).is_some_and(|skip| skip == "1");
    if left_out {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Past what the test runner keeps to itself of a test that passes.
        let told = format!("NOT TESTED ({SKIP}=1): {test}\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
    }
    left_out
}
