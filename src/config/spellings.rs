//! Names that flags have in other programs.

/// Names in other programs, and the flag here.
pub const ELSEWHERE: [(&[&str], &str); 20] = [
    (
        &["lr", "rate", "learningrate", "eta", "step-size"],
        "learning-rate",
    ),
    (
        &[
            "bs",
            "batch",
            "batchsize",
            "minibatch-size",
            "train-batch-size",
        ],
        "batch-size",
    ),
    (
        &["epoch", "num-epochs", "n-epochs", "nepochs", "max-epochs"],
        "epochs",
    ),
    (
        &["iters", "iterations", "num-steps", "max-steps", "max-iter"],
        "steps",
    ),
    (&["wd", "l2", "decay"], "weight-decay"),
    (&["mom", "beta"], "momentum"),
    (&["opt", "optim"], "optimizer"),
    (&["scheduler", "lr-scheduler", "lr-schedule"], "schedule"),
    (&["random-seed", "manual-seed", "random-state"], "seed"),
    (
        &[
            "dataset",
            "data-dir",
            "data-path",
            "dataroot",
            "root",
            "input",
        ],
        "data",
    ),
    (&["n-train", "num-train", "subset"], "train-size"),
    (&["val-size", "val", "validation"], "validation-size"),
    (&["n-test", "num-test"], "test-size"),
    (
        &[
            "out",
            "outdir",
            "output-dir",
            "output-file",
            "save",
            "save-dir",
            "log-dir",
        ],
        "output",
    ),
    (&["overwrite"], "force"),
    (
        &["workers", "num-workers", "jobs", "num-threads", "cpus"],
        "threads",
    ),
    (&["gpu", "cuda"], "device cuda:0"),
    (&["no-cuda", "no-gpu"], "device cpu"),
    (&["silent"], "quiet"),
    (&["freeze", "lr-mult"], "layer"),
];

/// Names for the network in other programs.
const NETWORK: [&str; 5] = ["model", "network", "net", "arch", "architecture"];

/// Returns the flag for a name that other programs use, with underscores or hyphens; a value may follow the flag.
#[must_use]
pub fn called_here(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('_', "-");
    let mut known = ELSEWHERE.iter();
    known.find_map(|(others, here)| others.contains(&name.as_str()).then_some(*here))
}

/// Returns true if the name means the network, which has no flag.
#[must_use]
pub fn means_network(name: &str) -> bool {
    NETWORK.contains(&name.to_lowercase().as_str())
}
