//! Rows of a list of runs.

use std::path::PathBuf;

use lcascope::record::Status;
use lcascope::runs::{Content, RunEntry, RunFacts, RunStatus};

/// A run whose numbers follow from its index.
pub fn entry(index: u32) -> RunEntry {
    let share = f64::from(index % 7) / 7.0;
    let (status, live) = [
        (Status::Running, true),
        (Status::Finished, false),
        (Status::Stopped, false),
        (Status::Failed, false),
        (Status::Running, false),
    ][index as usize % 5];
    let message = match status {
        Status::Failed => "the loss is NaN in step 17".to_owned(),
        _ => String::new(),
    };
    let rate = ["0.1", "0.05", "0.2"][index as usize % 3];
    let mut settings = vec![
        ("learning_rate".to_owned(), rate.to_owned()),
        ("momentum".to_owned(), "0.9".to_owned()),
    ];
    if index % 4 == 1 {
        settings.push((
            "layer".to_owned(),
            "[\"fc3:freeze\", \"fc1:delay=3\"]".to_owned(),
        ));
    }
    #[expect(clippy::cast_possible_truncation, reason = "a curve to look at")]
    let curve = (0..32).map(|point| (2.3 / (1.0 + share * f64::from(point))) as f32);
    let facts = RunFacts {
        status: RunStatus {
            status,
            live,
            paused: false,
            message,
            committed: u64::from(100 + 31 * (index % 9)),
            planned: 400,
            network: "mnist-fc".to_owned(),
            loss: 0.01 + share,
            updated: 0.0,
            seconds_a_step: 1.5,
        },
        created: format!("2026-01-{:02}T10:{:02}:00Z", 1 + index % 28, index % 60),
        seed: u64::from(index % 10),
        dataset: "MNIST sample".to_owned(),
        settings,
        held_out: 0.05 + share,
        accuracy: 1.0 - share / 2.0,
        held_out_accuracy: 0.95 - share / 2.0,
        seconds: f64::from(index) * 37.0,
        curve: curve.collect(),
    };
    named(
        &format!("runs/mnist-fc-seed-{index}.h5"),
        Content::Run(Box::new(facts)),
    )
}

/// A file in a list.
pub fn named(path: &str, content: Content) -> RunEntry {
    let path = PathBuf::from(path);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    RunEntry {
        path,
        name,
        modified: 0.0,
        content,
    }
}
