//! Job control: whether this process may use its terminal.
//!
//! A shell gives its terminal to one job at a time. A background job is stopped by SIGTTIN if it reads the keyboard,
//! and by SIGTTOU if it sets the terminal's mode or, under `stty tostop`, prints.

use std::io;

use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

/// Whether another job has this process's terminal now. False without a controlling terminal, or if the system does not
/// tell.
#[must_use]
pub fn in_background() -> bool {
    // While the screen is up, standard output and error are pipes.
    let owner = tcgetpgrp(io::stdin())
        .or_else(|_| tcgetpgrp(io::stdout()))
        .or_else(|_| tcgetpgrp(io::stderr()));
    owner.is_ok_and(|owner| owner != getpgrp())
}

/// Keeps the terminal from stopping this process in the background: reading then fails, and printing works.
#[expect(unsafe_code, reason = "no crate has a safe call for it")]
pub fn keep_running_in_background() {
    for signal in [libc::SIGTTIN, libc::SIGTTOU] {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
}
