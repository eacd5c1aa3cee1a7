//! Any bytes as a run file: opened, looked at and read to its end, as `lcascope open` does.
//!
//! The HDF5 library itself crashes on some; `just fuzz` therefore has every batch of inputs tried in a
//! process of its own and goes on after a crash. `scripts/fuzz.sh` then tells whose fault each was.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use lcascope::app::App;
use lcascope::feed::{FeedEvent, Origin};
use lcascope::store::{RunReader, StoreError};
use libfuzzer_sys::fuzz_target;

/// In memory, where there is such a folder.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("lcascope-fuzz-{}.h5", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    // A file that is open may not be written: each gets its own.
    let _ = fs::remove_file(&*PATH);
    if fs::write(&*PATH, bytes).is_ok() {
        let _ = read();
    }
});

fn read() -> Result<(), StoreError> {
    let reader = RunReader::open(&PATH)?;
    let state = reader.refresh()?;
    let mut app = App::new(reader.header().clone().into(), Origin::Replay);
    if let Some(losses) = reader.start()? {
        app.event(FeedEvent::Start(losses));
    }
    let mut from = 0;
    // What a small file may claim is bounded; not all of it is worth the time.
    let end = state.committed.min(4096);
    while from < end {
        let to = end.min(from + 512);
        app.event(FeedEvent::Steps(reader.steps(from..to)?));
        from = to;
    }
    Ok(())
}
