//! Reports tests that cannot run here where people see it.

use std::io::Write;

/// Reports why the calling test is skipped. The test harness captures what `println!` prints unless the test fails, but
/// shows what goes directly to standard error.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}
