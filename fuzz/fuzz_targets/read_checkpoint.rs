//! Fuzzes the reading of checkpoints of other programs: arbitrary bytes are both points of a path, as a file of
//! `torch.save` or of safetensors.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use lcascope::layout::{ParamLayout, TensorKind};
use lcascope::trajectory::{SnapshotFolder, Trajectory};
use libfuzzer_sys::fuzz_target;

/// The folder of the path; in memory, if there is such a place.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = parent.join(format!("lcascope-fuzz-{}", std::process::id()));
    let _ = fs::create_dir_all(&folder);
    folder
});

/// The network of `tests/golden/checkpoints`.
static LAYOUT: LazyLock<ParamLayout> = LazyLock::new(|| {
    let mut layout = ParamLayout::default();
    for (name, kind, weight) in [
        ("conv1", "conv", vec![2, 1, 3, 3]),
        ("fc1", "linear", vec![4, 8]),
        ("fc2", "linear", vec![10, 4]),
    ] {
        let units = weight[0];
        let tensors = [(TensorKind::Weight, weight), (TensorKind::Bias, vec![units])];
        layout.push_layer(name, kind, units, &tensors);
    }
    layout
});

fuzz_target!(|bytes: &[u8]| {
    for name in ["0.pt", "1.pt"] {
        let _ = fs::write(FOLDER.join(name), bytes);
    }
    if let Ok(mut path) = SnapshotFolder::open(&FOLDER, &LAYOUT, &[]) {
        let _ = path.point(1, &mut vec![0.0; LAYOUT.params()]);
    }
});
