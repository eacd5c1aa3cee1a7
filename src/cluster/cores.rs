//! The share of a machine's cores that each of its ranks uses.
//!
//! A launcher may bind each rank to cores of its own, give all ranks of a machine the same cores, or bind none.

/// The cores on which a process may run, one bit each.
pub type Cores = [u64; 16];

/// Returns the cores on which this process may run; none if the system does not say.
#[cfg(target_os = "linux")]
pub fn own() -> Cores {
    let mut cores = Cores::default();
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        for core in (0..64 * cores.len()).filter(|&core| set.is_set(core)) {
            cores[core / 64] |= 1 << (core % 64);
        }
    }
    cores
}

#[cfg(not(target_os = "linux"))]
pub fn own() -> Cores {
    Cores::default()
}

/// Returns the number of threads for a rank that may run on the cores `own`. A core that several of its machine's ranks
/// (`all`, with this one) may use is divided among them. At least 1.
///
/// `parallelism` is what the system says that this process can use; it is less than its cores if its processor time is
/// limited, and that limit is taken to be one for all ranks of the machine.
pub fn fair_share(own: &Cores, all: &[Cores], parallelism: usize) -> usize {
    let bits = |cores: &Cores| cores.iter().map(|word| word.count_ones() as usize).sum();
    let count: usize = bits(own);
    let limit = parallelism / all.len().max(1);
    if count == 0 {
        return limit.max(1);
    }
    // In halves, thirds and so on of a core: exact for any number of ranks up to 16.
    let sharing = |core: usize| {
        let uses = |cores: &&Cores| cores[core / 64] & 1 << (core % 64) != 0;
        all.iter().filter(uses).count().max(1)
    };
    let is_own = |core: &usize| own[core / 64] & 1 << (core % 64) != 0;
    let shares = (0..64 * own.len()).filter(is_own);
    let share: usize = shares.map(|core| WHOLE / sharing(core)).sum();
    // Thirds of three cores are a whole one, whatever their rounding.
    let share = (share + own.len() * 64) / WHOLE;
    let share = if parallelism < count {
        share.min(limit)
    } else {
        share
    };
    share.max(1)
}

/// A core, in units of which every number of ranks gets nearly equal shares.
const WHOLE: usize = 720_720_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(range: std::ops::Range<usize>) -> Cores {
        let mut cores = Cores::default();
        for core in range {
            cores[core / 64] |= 1 << (core % 64);
        }
        cores
    }

    #[test]
    fn ranks_share_the_cores_they_have_in_common() {
        let all = cores(0..64);
        for (ranks, threads) in [(1, 64), (2, 32), (3, 21), (64, 1), (100, 1)] {
            assert_eq!(fair_share(&all, &vec![all; ranks], 64), threads, "{ranks}");
        }
        // Each bound to its own.
        let (low, high) = (cores(0..8), cores(8..24));
        assert_eq!(fair_share(&low, &[low, high], 8), 8);
        assert_eq!(fair_share(&high, &[low, high], 16), 16);
        // One bound to a part of the other's.
        assert_eq!(fair_share(&cores(0..24), &[low, cores(0..24)], 24), 20);
        // Three ranks on three cores.
        let three = cores(0..3);
        assert_eq!(fair_share(&three, &[three; 3], 3), 1);
    }

    #[test]
    fn a_limit_on_processor_time_is_shared_too() {
        let all = cores(0..64);
        assert_eq!(fair_share(&all, &[all; 2], 8), 4);
        assert_eq!(fair_share(&all, &[all; 16], 8), 1);
        assert_eq!(fair_share(&Cores::default(), &[Cores::default(); 2], 8), 4);
    }

    #[test]
    fn this_process_has_cores() {
        if cfg!(target_os = "linux") {
            assert_ne!(own(), Cores::default());
        }
    }
}
