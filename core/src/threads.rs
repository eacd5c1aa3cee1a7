//! Work on several threads.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Calls `work` with every part, on at most `threads` threads, this one among them. A thread takes the next part
/// whenever it is done with one. If the system has no more threads, the others do all the work.
pub fn for_each<T: Send>(
    threads: usize,
    parts: impl Iterator<Item = T> + Send,
    work: impl Fn(T) + Sync,
) {
    let parts = Mutex::new(parts);
    let next = || {
        let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.next()
    };
    let run = || {
        while let Some(part) = next() {
            work(part);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_worked_on_once() {
        for threads in 1..4 {
            let mut parts = [0_u32; 100];
            for_each(threads, parts.iter_mut().enumerate(), |(index, part)| {
                *part += u32::try_from(index).unwrap() + 1;
            });
            assert!((1..=100).eq(parts));
        }
        for_each(3, std::iter::empty::<u8>(), |_| {
            panic!("there is nothing to do")
        });
    }
}
