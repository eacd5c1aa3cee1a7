//! The processes of a training that `mpirun` or `srun` has started, its ranks.
//!
//! [`join`] connects them, if this program was built with the feature `mpi`. Rank 0 runs the command;
//! [`engine::ranks`](crate::engine::ranks) says how the others help.

#[cfg(any(test, feature = "mpi"))]
mod cores;
mod launch;
#[cfg(feature = "mpi")]
mod mpi;

use std::any::Any;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use self::launch::Launch;
use crate::config::ConfigError;
use crate::engine::ranks::{Link, dismiss};

/// Connects this process with the other ranks. Returns `None` if it was started alone.
///
/// # Errors
/// There are several processes, but this build cannot connect them; or MPI connects another number of processes than
/// were started, or cannot be used.
pub fn join() -> Result<Option<Ranks>, ConfigError> {
    Launch::of_this_process()?.map(connect).transpose()
}

/// Refuses to run `command` in several processes.
///
/// # Errors
/// This process was started together with others.
pub fn refuse(command: &str) -> Result<(), ConfigError> {
    match Launch::of_this_process()? {
        None => Ok(()),
        Some(launch) => Err(launch.refused(&format!(
            "{command} runs in one process, and each of these would write the same files"
        ))),
    }
}

#[cfg(feature = "mpi")]
fn connect(launch: Launch) -> Result<Ranks, ConfigError> {
    mpi::connect(&launch)
}

#[cfg(not(feature = "mpi"))]
fn connect(launch: Launch) -> Result<Ranks, ConfigError> {
    Err(launch.refused(
        "this program was built without MPI, and each of these would write the same file; build it with `--features mpi` \
         (docs/cluster.md)",
    ))
}

/// This process among the ranks. When dropped by rank 0, the others leave too.
pub struct Ranks {
    link: Arc<dyn Link>,
    /// Whether this rank has left, or will leave, in the middle of a step.
    lost: Arc<AtomicBool>,
    /// Names of all ranks' machines.
    hosts: Vec<String>,
    /// This rank among those of its machine.
    local_rank: usize,
    threads: usize,
    /// The connection, which must be closed by the thread that opened it.
    session: Option<Box<dyn Any>>,
}

impl Ranks {
    /// Returns true on rank 0, which runs the command.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.link.rank() == 0
    }

    /// The number of ranks.
    #[must_use]
    pub fn count(&self) -> usize {
        self.link.size()
    }

    #[must_use]
    pub fn link(&self) -> Arc<dyn Link> {
        self.link.clone()
    }

    /// This rank among those of its machine, from 0.
    #[must_use]
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// This rank's share of its machine's cores, at least 1.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Describes where the ranks are: `HOST`, or `2 hosts (HOST, …)`.
    #[must_use]
    pub fn place(&self) -> String {
        let mut hosts = self.hosts.clone();
        hosts.sort_unstable();
        hosts.dedup();
        match hosts.as_slice() {
            [host] => host.clone(),
            hosts => format!("{} hosts ({})", hosts.len(), hosts.join(", ")),
        }
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        let mut in_step = !thread::panicking() && !self.lost.load(Ordering::SeqCst);
        if in_step && self.is_first() {
            in_step = dismiss(&*self.link).is_ok();
        }
        if !in_step {
            // To leave without closing the connection is an error, upon which the launcher ends the other ranks.
            mem::forget(self.session.take());
        }
    }
}
