//! The memory that this process can have at most: what cannot fit is refused before anything is made of it.

/// Returns the bytes of memory and swap that this process can have, if the system says so.
#[cfg(target_os = "linux")]
#[must_use]
pub fn available() -> Option<u64> {
    let system = rustix::system::sysinfo();
    let unit = u64::from(system.mem_unit.max(1));
    let all = (system.totalram as u64).saturating_add(system.totalswap as u64);
    let own = rustix::process::getrlimit(rustix::process::Resource::As).current;
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max");
    let container = container.ok().and_then(|text| text.trim().parse().ok());
    let bounds = [Some(all.saturating_mul(unit)), own, container];
    bounds.into_iter().flatten().min()
}

#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn available() -> Option<u64> {
    None
}

/// Formats a number of bytes: `3.4 GiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn size(bytes: u64) -> String {
    let mut bytes = bytes as f64 / 1024.0;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if bytes < 1000.0 {
            return format!("{bytes:.1} {unit}");
        }
        bytes /= 1024.0;
    }
    format!("{bytes:.0} EiB")
}
