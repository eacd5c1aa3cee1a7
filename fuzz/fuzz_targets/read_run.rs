//! Fuzzes the reading of run files: arbitrary bytes are opened, displayed and read to the end, as by `lcascope open`.
//!
//! The HDF5 library itself crashes on some; `just fuzz` therefore runs every batch of inputs in a separate process and
//! continues after a crash. `scripts/fuzz.sh` then tells which crashes are the library's.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use lcascope::app::App;
use lcascope::feed::{FeedEvent, Origin};
use lcascope::store::{RunReader, StoreError};
use libfuzzer_sys::fuzz_target;

/// In memory, if there is such a folder.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("lcascope-fuzz-{}.h5", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    // An open file must not be overwritten: each input gets a new one.
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
    // A small file's claims are bounded, but reading all of it would take too long.
    let end = state.committed.min(4096);
    while from < end {
        let to = end.min(from + 512);
        app.event(FeedEvent::Steps(reader.steps(from..to)?));
        from = to;
    }
    Ok(())
}
