//! The threads that candle computes with on the CPU.

use std::error::Error;
use std::io;
use std::sync::mpsc;
use std::thread;

use candle_core::utils;
use rayon::ThreadPoolBuilder;

/// Starts them. Candle itself starts them when they are first needed, and panics if it cannot.
///
/// # Errors
/// The system has no more threads.
pub fn start() -> io::Result<()> {
    // Candle's own cannot be asked for without a panic: as many others show whether they can be had.
    start_all(utils::get_num_threads())?;
    utils::barrier_pool();
    match ThreadPoolBuilder::new().build_global() {
        // Or they have been started before.
        Err(error) if error.source().is_some() => Err(io::Error::other(error.to_string())),
        _ => Ok(()),
    }
}

/// Starts this many threads, which end once all have been started.
fn start_all(count: usize) -> io::Result<()> {
    let mut held = Vec::new();
    for _ in 0..count {
        let (hold, held_until) = mpsc::channel::<()>();
        let thread = thread::Builder::new().spawn(move || {
            let _ = held_until.recv();
        })?;
        held.push((hold, thread));
    }
    for (hold, thread) in held {
        drop(hold);
        let _ = thread.join();
    }
    Ok(())
}
