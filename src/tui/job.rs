//! Job control: whether the terminal is this process's to use.
//!
//! A shell gives its terminal to one job at a time. A job in the background that reads the keyboard, sets
//! the terminal's mode, or under `stty tostop` prints, is stopped by SIGTTIN or SIGTTOU.

use std::io;

use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

/// Whether the terminal of this process is another job's now. Without a terminal of its own, or where
/// the system does not tell, it is not.
#[must_use]
pub fn in_background() -> bool {
    // While the screen is up, standard output and error are pipes.
    let owner = tcgetpgrp(io::stdin())
        .or_else(|_| tcgetpgrp(io::stdout()))
        .or_else(|_| tcgetpgrp(io::stderr()));
    owner.is_ok_and(|owner| owner != getpgrp())
}

/// Keeps this process from being stopped by its terminal in the background: reading it is an error then,
/// and printing works.
#[expect(unsafe_code, reason = "no crate has a safe call for it")]
pub fn keep_running_in_background() {
    for signal in [libc::SIGTTIN, libc::SIGTTOU] {
        // SAFETY: to ignore a signal runs no code of ours.
        unsafe {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
}
