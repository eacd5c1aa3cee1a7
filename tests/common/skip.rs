//! Tests that cannot run here say so where it is seen.

use std::io::Write;

/// Says why the test that calls this is none today. The test harness keeps what `println!` prints to itself
/// unless the test fails; what goes straight to standard error is shown.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}
