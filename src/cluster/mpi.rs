//! The connection through MPI.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ferrompi::{Communicator, Error, Mpi, ReduceOp, ThreadLevel, scope};

use super::Ranks;
use super::cores;
use super::launch::Launch;
use crate::config::ConfigError;
use crate::engine::ranks::{Link, LinkError};

/// The length of a machine's name in bytes; a longer one is cut.
const NAME: usize = 64;

/// Longest sleep of a rank that waits for an order.
const LONGEST_SLEEP: Duration = Duration::from_millis(2);

/// Initialises MPI and connects this process with the others of its launch.
pub fn connect(launch: &Launch) -> Result<Ranks, ConfigError> {
    // The training thread calls it, this one only before and after.
    let mpi = Mpi::init_thread(ThreadLevel::Serialized).map_err(unusable)?;
    if mpi.thread_level() < ThreadLevel::Serialized {
        return Err(ConfigError(format!(
            "the MPI library allows calls only from one thread ({:?}; MPI_THREAD_SERIALIZED is needed): use a library that \
             was built with support for threads",
            mpi.thread_level()
        )));
    }
    let world = mpi.world();
    let count = usize::try_from(world.size()).unwrap_or(1);
    if count != launch.processes {
        return Err(launch.unconnected(count));
    }
    let (local_rank, threads) = share_machine(&world).map_err(unusable)?;
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let hosts = all_names(&world, &host).map_err(unusable)?;
    let lost = Arc::new(AtomicBool::new(false));
    let link = MpiLink {
        world,
        host,
        lost: lost.clone(),
    };
    Ok(Ranks {
        link: Arc::new(link),
        lost,
        hosts,
        local_rank,
        threads,
        session: Some(Box::new(mpi)),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unusable(error: Error) -> ConfigError {
    ConfigError(format!("MPI: {error}"))
}

/// Returns this rank's number among those of its machine, and its share of the cores.
fn share_machine(world: &Communicator) -> ferrompi::Result<(usize, usize)> {
    let local = world.split_shared()?;
    let own = cores::own();
    let ranks = usize::try_from(local.size()).unwrap_or(1);
    let mut all = vec![0; own.len() * ranks];
    local.allgather(&own, &mut all)?;
    let (all, _) = all.as_chunks();
    let parallelism = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores::fair_share(&own, all, parallelism);
    Ok((usize::try_from(local.rank()).unwrap_or(0), threads))
}

fn all_names(world: &Communicator, own: &str) -> ferrompi::Result<Vec<String>> {
    let mut name = [0_u8; NAME];
    for (to, from) in name.iter_mut().zip(own.bytes()) {
        *to = from;
    }
    let mut all = vec![0; NAME * usize::try_from(world.size()).unwrap_or(1)];
    world.allgather(&name, &mut all)?;
    let text = |name: &[u8]| {
        String::from_utf8_lossy(name)
            .trim_end_matches('\0')
            .to_owned()
    };
    Ok(all.chunks_exact(NAME).map(text).collect())
}

/// All ranks, connected by MPI.
struct MpiLink {
    world: Communicator,
    host: String,
    /// Set if this rank has left the common order of calls.
    lost: Arc<AtomicBool>,
}

impl MpiLink {
    fn checked(&self, result: ferrompi::Result<()>) -> Result<(), LinkError> {
        result.map_err(|error| {
            self.give_up();
            LinkError(format!("MPI: {error}"))
        })
    }
}

impl Link for MpiLink {
    fn rank(&self) -> usize {
        usize::try_from(self.world.rank()).unwrap_or(0)
    }

    fn size(&self) -> usize {
        usize::try_from(self.world.size()).unwrap_or(1)
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn tell(&self, bytes: &mut [u8]) -> Result<(), LinkError> {
        // MPI libraries wait in a busy loop. An order may not come for long: in a pause, or while rank 0 writes.
        let told = scope(|scope| {
            let mut request = self.world.ibroadcast(scope, bytes, 0)?;
            let began = Instant::now();
            while request.test()?.is_none() {
                // A small part of the wait, so that short ones stay short.
                let sleep = began.elapsed() / 16;
                if sleep > Duration::from_micros(10) {
                    thread::sleep(sleep.min(LONGEST_SLEEP));
                }
            }
            Ok(())
        });
        self.checked(told)
    }

    fn broadcast(&self, values: &mut [f32]) -> Result<(), LinkError> {
        self.checked(self.world.broadcast(values, 0))
    }

    fn sum_on_all(&self, values: &mut [f64]) -> Result<(), LinkError> {
        self.checked(self.world.allreduce_inplace(values, ReduceOp::Sum))
    }

    fn sum_on_first(&self, values: &mut [f64]) -> Result<(), LinkError> {
        self.checked(self.world.reduce_inplace(values, ReduceOp::Sum, 0))
    }

    fn gather(&self, own: &[u8], all: &mut [u8]) -> Result<(), LinkError> {
        self.checked(self.world.allgather(own, all))
    }

    fn give_up(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }
}
