//! `lcascope record`: trainings in another program. Here the test is that program. Its model is one whose allocations
//! are known exactly: the loss is Σ θ⁴, so a step allocates θ'⁴ − θ⁴ to each parameter, whatever the path.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::common::{Outcome, RunFile, assert_close, lcascope, patiently};
use lcascope::record::Status;
use lcascope::store::{RunReader, RunState};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Two layers: a weight of two rows of two, and a bias of two numbers.
const SHAPES: [(&str, &[usize]); 2] = [("a.weight", &[2, 2]), ("b.bias", &[2])];
const PARAMS: usize = 6;
const START: [f32; PARAMS] = [1.0, 1.5, -1.0, 0.5, 0.25, -0.75];
const RATE: f32 = 0.02;

/// A program that trains, and its end of the connection.
struct Program {
    child: Child,
    lines: BufReader<UnixStream>,
    memory: File,
    /// θ and θ'.
    theta: [f32; PARAMS],
    next: [f32; PARAMS],
    /// Added to the loss at each evaluation, to make it no function.
    drift: f64,
    evaluations: u32,
}

impl Program {
    fn start() -> Self {
        let memory = tempfile::tempfile().unwrap();
        // Inherited by the program.
        rustix::io::fcntl_setfd(&memory, rustix::io::FdFlags::empty()).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut command = lcascope();
        let child = command
            .args(["record", "--memory", &memory.as_raw_fd().to_string()])
            .stdin(OwnedFd::from(theirs))
            .spawn()
            .unwrap();
        let program = Self {
            child,
            lines: BufReader::new(ours),
            memory,
            theta: START,
            next: START,
            drift: 0.0,
            evaluations: 0,
        };
        program.write(0, &START);
        program
    }

    /// Starts, opens a run with these options, and waits until it has begun.
    fn begun(options: Value) -> Self {
        let mut program = Self::start();
        program.send(&open(options));
        let ready = program.receive();
        assert_eq!(ready["message"], "ready", "{ready}");
        let started = program.serve();
        assert_eq!(started["message"], "started", "{started}");
        program
    }

    fn write(&self, vector: usize, values: &[f32]) {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let at = vector * PARAMS * size_of::<f32>();
        self.memory.write_all_at(bytes, at as u64).unwrap();
    }

    fn send(&mut self, message: &Value) {
        let _ = writeln!(self.lines.get_mut(), "{message}");
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the program ended: {line:?}");
        serde_json::from_str(&line).unwrap()
    }

    /// Evaluates until another message comes.
    fn serve(&mut self) -> Value {
        loop {
            let message = self.receive();
            if message["message"] != "evaluate" {
                return message;
            }
            self.evaluations += 1;
            let alpha = message["at"].as_f64().unwrap();
            let held_out = message["part"] == "test";
            let point: Vec<f64> = (self.theta.iter().zip(&self.next))
                .map(|(&a, &b)| f64::from(a) + alpha * (f64::from(b) - f64::from(a)))
                .collect();
            // Held out: Σ θ².
            let power = if held_out { 2 } else { 4 };
            let gradient: Vec<f32> = (point.iter())
                .map(|x| single(f64::from(power) * x.powi(power - 1)))
                .collect();
            self.write(1, &gradient);
            let terms: Vec<f64> = point.iter().map(|x| x.powi(power)).collect();
            let loss = terms.iter().sum::<f64>() + self.drift * f64::from(self.evaluations);
            // Each class has one of the two examples, and half of the parameters.
            let class_loss = terms.chunks(3).map(|half| 2.0 * half.iter().sum::<f64>());
            let mut answer = json!({"message": "evaluated", "loss": loss, "accuracy": 0.5});
            if message["want"] == "class_gradient" {
                let half = |from: usize| {
                    let kept = (0..PARAMS).map(|i| (from..from + 3).contains(&i));
                    let kept = gradient.iter().zip(kept);
                    kept.map(|(&g, is_kept)| if is_kept { g } else { 0.0 })
                        .collect::<Vec<f32>>()
                };
                self.write(2, &half(0));
                self.write(3, &half(3));
                answer["class_loss"] = class_loss.collect();
            }
            self.send(&answer);
        }
    }

    /// Takes a step of gradient descent; returns what is told of it.
    fn step(&mut self) -> Value {
        self.step_to(self.theta.map(|x| x - RATE * 4.0 * x.powi(3)))
    }

    fn step_to(&mut self, next: [f32; PARAMS]) -> Value {
        self.next = next;
        self.write(0, &self.next);
        self.send(&json!({"message": "step", "learning_rate": RATE, "batch_loss": 1.25}));
        let told = self.serve();
        if told["message"] == "allocated" {
            self.theta = self.next;
        }
        told
    }

    fn close(&mut self) -> Value {
        self.send(&json!({"message": "close"}));
        let closed = self.serve();
        assert_eq!(closed["message"], "closed");
        closed
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
fn single(value: f64) -> f32 {
    value as f32
}

#[expect(clippy::needless_pass_by_value, reason = "for `json!` at the caller's")]
fn open(options: Value) -> Value {
    let layers = SHAPES.iter().map(|(name, shape)| {
        let (layer, kind) = name.split_once('.').unwrap();
        json!({"name": layer, "kind": "Any", "tensors": [{"name": name, "kind": kind, "shape": shape}]})
    });
    json!({
        "message": "open", "protocol": 1, "producer": "a test", "network": "quartic", "device": "here",
        "layers": layers.collect::<Vec<_>>(),
        "data": {"name": "two examples", "train": 2, "held_out": 1, "classes": ["x", "y"]},
        "options": options,
    })
}

fn in_folder(folder: &TempDir) -> PathBuf {
    folder.path().join("run.h5")
}

fn state(path: &Path) -> RunState {
    RunReader::open(path).unwrap().refresh().unwrap()
}

fn runs(command: &str, path: &Path) -> Outcome {
    let mut program = lcascope();
    program.arg(command).arg(path);
    Outcome::of(program)
}

#[test]
fn a_recorded_path_has_the_exact_allocations_of_every_kind() {
    let folder = TempDir::new().unwrap();
    let path = in_folder(&folder);
    let mut program = Program::begun(json!({
        "output": path, "by_class": true, "lca_test": true, "record_params": 1, "record_weights": 1,
        "tolerance": 1e-6,
    }));
    let mut path_taken = vec![program.theta];
    for step in 1..=6_u64 {
        let told = program.step();
        assert_eq!(
            (&told["message"], &told["step"]),
            (&json!("allocated"), &json!(step))
        );
        let (before, after) = (path_taken[path_taken.len() - 1], program.theta);
        let term = |power: i32, range: std::ops::Range<usize>| -> f64 {
            let change = |i| f64::from(after[i]).powi(power) - f64::from(before[i]).powi(power);
            range.map(change).sum()
        };
        let layers = [term(4, 0..4), term(4, 4..6)];
        for (layer, exact) in layers.iter().enumerate() {
            let lca = told["layers"][layer].as_f64().unwrap();
            assert_close(lca, *exact, 2e-6, &format!("layer {layer}"));
        }
        let held_out = told["held_out_layers"][0].as_f64().unwrap();
        assert_close(held_out, term(2, 0..4), 1e-6, "held out");
        let residual = told["residual"].as_f64().unwrap();
        assert!(residual.abs() < 2e-6, "{residual}");
        path_taken.push(after);
    }
    let closed = program.close();
    assert_eq!(
        (&closed["status"], &closed["steps"]),
        (&json!("finished"), &json!(6))
    );
    assert_eq!(program.exit_code(), Some(0));

    let file = RunFile::open(&path);
    let params = file.reals("lca/param");
    assert_eq!(params.shape, [6, PARAMS]);
    for (step, points) in path_taken.windows(2).enumerate() {
        let lca = &params.values[step * PARAMS..][..PARAMS];
        for ((from, to), lca) in points[0].iter().zip(&points[1]).zip(lca) {
            let exact = f64::from(*to).powi(4) - f64::from(*from).powi(4);
            assert_close(*lca, exact, 2e-6, "a parameter");
        }
    }
    // The first three parameters are those of the first class.
    let classes = file.reals("lca/class_layer");
    assert_eq!(classes.shape, [6, 2, 2]);
    let sum = |range: std::ops::Range<usize>| range.map(|i| params.values[i]).sum::<f64>();
    for (at, exact) in [sum(0..3), 0.0, sum(3..4), sum(4..6)]
        .into_iter()
        .enumerate()
    {
        assert_close(classes.values[at], exact, 1e-6, "a class in a layer");
    }
    let weights = file.singles("weight/value");
    let taken: Vec<f32> = path_taken.concat();
    assert_eq!(weights.values, taken, "θ_0 and every point after it");
    let rate = file.reals("step/learning_rate").values;
    assert!(rate.iter().all(|&rate| rate == f64::from(RATE)), "{rate:?}");
    drop(file);
    let verified = runs("verify", &path);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let info = runs("info", &path);
    assert!(info.stdout.contains("steps        6,"), "{info:?}");
}

#[test]
fn a_loss_that_is_no_function_is_refused_with_its_usual_causes() {
    let folder = TempDir::new().unwrap();
    for exact in [true, false] {
        let path = folder.path().join(format!("{exact}.h5"));
        let mut program = Program::start();
        program.drift = 1e-3;
        let mut request = open(json!({"output": path}));
        request["exact"] = json!(exact);
        program.send(&request);
        assert_eq!(program.receive()["message"], "ready");
        let closed = program.serve();
        assert_eq!(closed["status"], "failed", "{closed}");
        let reason = closed["reason"].as_str().unwrap();
        for cause in ["random order", "augmentation", "dropout", "1.0e-3"] {
            assert!(reason.contains(cause), "{reason}");
        }
        assert_eq!(program.exit_code(), Some(1));
    }
    // A difference in the last bits is refused only where the same bits are promised.
    for (exact, begins) in [(true, false), (false, true)] {
        let mut program = Program::start();
        program.drift = 1e-9;
        let mut request = open(json!({"output": folder.path().join(format!("small-{exact}.h5"))}));
        request["exact"] = json!(exact);
        program.send(&request);
        assert_eq!(program.receive()["message"], "ready");
        assert_eq!(program.serve()["message"] == "started", begins);
    }
}

#[test]
fn a_program_that_dies_fails_its_run_at_once_and_costs_no_step() {
    let folder = TempDir::new().unwrap();
    // Between two steps, and while an evaluation is awaited.
    for mid_step in [false, true] {
        let path = folder.path().join(format!("{mid_step}.h5"));
        let mut program = Program::begun(json!({"output": path}));
        for _ in 0..4 {
            program.step();
        }
        if mid_step {
            program.send(&json!({"message": "step"}));
            assert_eq!(program.receive()["message"], "evaluate");
        }
        let began = Instant::now();
        program
            .lines
            .get_mut()
            .shutdown(std::net::Shutdown::Both)
            .unwrap();
        assert_eq!(program.exit_code(), Some(1));
        assert!(began.elapsed() < Duration::from_secs(5));
        let state = state(&path);
        assert_eq!((state.status, state.committed), (Status::Failed, 4));
        assert!(state.message.contains("without closing"), "{state:?}");
        assert_eq!(runs("verify", &path).code, Some(0));
    }
}

#[test]
fn an_error_of_the_program_is_the_reason_for_the_end() {
    let folder = TempDir::new().unwrap();
    let path = in_folder(&folder);
    let mut program = Program::begun(json!({"output": path}));
    program.step();
    program.send(&json!({"message": "step"}));
    assert_eq!(program.receive()["message"], "evaluate");
    program.send(&json!({"message": "error", "reason": "KeyError: 'label'"}));
    let closed = program.receive();
    assert_eq!(closed["status"], "failed");
    let state = state(&path);
    assert_eq!((state.status, state.committed), (Status::Failed, 1));
    assert!(state.message.contains("KeyError: 'label'"), "{state:?}");
}

#[test]
fn orders_reach_a_program_that_takes_its_time() {
    let folder = TempDir::new().unwrap();
    let path = in_folder(&folder);
    let mut program = Program::begun(json!({"output": path}));
    program.step();
    // It stands still between two steps. A pause is answered at once, and the next step only after it.
    assert_eq!(runs("pause", &path).code, Some(0));
    program.next = program.theta;
    program.send(&json!({"message": "step"}));
    let lines = program.lines.get_mut();
    lines
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    assert!(lines.read(&mut [0]).is_err(), "paused");
    lines
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    assert_eq!(runs("resume", &path).code, Some(0));
    assert_eq!(program.serve()["message"], "allocated");
    let began = Instant::now();
    let stopped = runs("stop", &path);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    let closed = program.receive();
    assert_eq!(
        (&closed["status"], &closed["steps"]),
        (&json!("stopped"), &json!(2))
    );
    assert_eq!(program.exit_code(), Some(0));
}

#[test]
fn planned_steps_end_the_run() {
    let folder = TempDir::new().unwrap();
    let path = in_folder(&folder);
    let mut program = Program::begun(json!({"output": path, "steps": 2}));
    program.step();
    program.step();
    let closed = program.receive();
    assert_eq!(
        (&closed["status"], &closed["steps"]),
        (&json!("finished"), &json!(2))
    );
    assert_eq!(state(&path).status, Status::Finished);
}

#[test]
fn a_resumed_recording_goes_on_as_if_it_had_never_ended() {
    let folder = TempDir::new().unwrap();
    let options = |name: &str| json!({"output": folder.path().join(name), "record_params": 1, "test_every": 2});
    let mut whole = Program::begun(options("whole.h5"));
    for _ in 0..7 {
        whole.step();
    }
    whole.close();

    let path = folder.path().join("parts.h5");
    let mut first = Program::begun(options("parts.h5"));
    for _ in 0..3 {
        first.step();
    }
    // A checkpoint of the program's own, and of the run.
    let saved = first.theta;
    first.send(&json!({"message": "checkpoint"}));
    assert_eq!(first.receive()["message"], "saved");
    patiently("the checkpoint", || {
        let verified = runs("verify", &path);
        verified
            .stdout
            .contains("newest after step 3")
            .then_some(())
    });
    // A step that the resumed program does not repeat; then the run is stopped, with another checkpoint.
    first.step_to(first.theta.map(|x| x * 1.5));
    assert_eq!(runs("stop", &path).code, Some(0));
    drop(first);

    let resume = |theta: [f32; PARAMS], options: Value| {
        let mut program = Program::start();
        (program.theta, program.next) = (theta, theta);
        program.write(0, &theta);
        let mut request = open(options);
        request["resume"] = json!(path);
        program.send(&request);
        program
    };
    let mut other = resume(START, json!({}));
    let refused = other.serve();
    let reason = refused["reason"].to_string();
    assert!(reason.contains("the weights after step 4"), "{refused}");
    let mut other = resume(saved, json!({"tolerance": 1.0}));
    let refused = other.serve();
    assert_eq!(other.exit_code(), Some(2));
    assert!(
        refused["reason"].as_str().unwrap().contains("`tolerance`"),
        "{refused}"
    );

    let mut second = resume(saved, json!({}));
    let ready = second.serve();
    assert_eq!(
        (&ready["message"], &ready["steps"]),
        (&json!("ready"), &json!(3)),
        "{ready}"
    );
    assert_eq!(second.serve()["message"], "started");
    for step in 4..=7_u64 {
        assert_eq!(second.step()["step"], step);
    }
    second.close();
    let [whole, parts] =
        ["whole.h5", "parts.h5"].map(|name| RunFile::open(&folder.path().join(name)));
    for dataset in [
        "lca/param",
        "loss/train",
        "loss/test",
        "lca/layer",
        "motion/update_flips",
    ] {
        assert_eq!(
            whole.reals(dataset).values.len(),
            parts.reals(dataset).values.len()
        );
        assert!(whole.bits(dataset) == parts.bits(dataset), "{dataset}");
    }
}

#[test]
fn what_cannot_be_recorded_is_refused_before_a_file_exists() {
    let folder = TempDir::new().unwrap();
    let path = in_folder(&folder);
    let change = |key: &str, value: Value| {
        let mut request = open(json!({"output": path}));
        request[key] = value;
        request
    };
    let options = |key: &str, value: Value| {
        let mut request = open(json!({"output": path}));
        request["options"][key] = value;
        request
    };
    let bad_layer = json!([{"name": "a", "kind": "Any", "tensors": [
        {"name": "w", "kind": "weight", "shape": [2, 2]}, {"name": "b", "kind": "bias", "shape": [3]}]}]);
    for (request, said) in [
        (json!({"message": "step"}), "first message"),
        (json!({"message": "opne"}), "opne"),
        (json!(3), "not understood"),
        (change("protocol", json!(2)), "version 2"),
        (change("layers", json!([])), "no trainable parameters"),
        (change("layers", bad_layer), "first axis"),
        (change("data", json!({"train": 0})), "no examples"),
        (change("everything", json!(1)), "`everything`"),
        (options("optimizer", json!("adam")), "`optimizer`"),
        (options("headless", json!(true)), "`headless`"),
        (options("tolerence", json!(0.1)), "`tolerence`"),
        (options("tolerance", json!(-1.0)), "--tolerance"),
        (options("max_segments", json!(3)), "--max-segments"),
        (options("output", json!(folder.path())), "is a folder"),
    ] {
        let mut program = Program::start();
        program.send(&request);
        let refused = program.receive();
        assert_eq!(refused["message"], "refused", "{request}");
        let reason = refused["reason"].as_str().unwrap();
        assert!(reason.contains(said), "{reason}");
        assert_eq!(program.exit_code(), Some(2), "{reason}");
    }
    assert!(!path.exists());
    // Another program's memory may be too small.
    let mut program = Program::start();
    program.memory.set_len(4).unwrap();
    program.send(&open(json!({"output": path})));
    let refused = program.receive();
    assert!(
        refused["reason"]
            .as_str()
            .unwrap()
            .contains("shared memory ends"),
        "{refused}"
    );
    assert!(!path.exists());
}

#[test]
fn a_recording_without_a_checkpoint_is_not_resumed_and_keeps_its_steps() {
    let folder = TempDir::new().unwrap();
    let path = in_folder(&folder);
    let mut first = Program::begun(json!({"output": path}));
    first.step();
    first.step();
    let theta = first.theta;
    patiently("both steps", || (state(&path).committed == 2).then_some(()));
    // Both programs are killed.
    drop(first);
    let before = std::fs::read(&path).unwrap();
    for weights in [START, theta] {
        let mut program = Program::start();
        (program.theta, program.next) = (weights, weights);
        program.write(0, &weights);
        let mut request = open(json!({}));
        request["resume"] = json!(path);
        program.send(&request);
        let refused = program.serve();
        let reason = refused["reason"].to_string();
        assert!(reason.contains("it has no checkpoint"), "{refused}");
        assert_eq!(program.exit_code(), Some(1));
        assert!(std::fs::read(&path).unwrap() == before);
    }
}

#[test]
fn a_model_beyond_memory_is_refused_with_the_bound() {
    let folder = TempDir::new().unwrap();
    let mut program = Program::start();
    let mut request = open(json!({"output": in_folder(&folder)}));
    request["layers"][0]["tensors"][0]["shape"] = json!([1_u64 << 40]);
    request["layers"] = json!([request["layers"][0]]);
    program.send(&request);
    let refused = program.receive();
    let reason = refused["reason"].as_str().unwrap();
    assert!(
        reason.contains("of memory, but this machine has"),
        "{refused}"
    );
    assert_eq!(program.exit_code(), Some(2));
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn a_training_of_this_program_is_not_resumed_as_a_recording_nor_the_reverse() {
    let folder = TempDir::new().unwrap();
    let trained = crate::common::train(folder.path(), "trained.h5", &["--steps", "2"]);
    let mut program = Program::start();
    let mut request = open(json!({}));
    request["resume"] = json!(trained);
    program.send(&request);
    let refused = program.receive();
    assert_eq!(refused["message"], "refused", "{refused}");

    let path = in_folder(&folder);
    let mut program = Program::begun(json!({"output": path}));
    program.step();
    assert_eq!(runs("stop", &path).code, Some(0));
    let mut resume = lcascope();
    resume.args(["train", "--quiet", "--resume"]).arg(&path);
    Outcome::of(resume).fails(2, &["another program"]);
    let mut by_hand = lcascope();
    by_hand.args(["record", "--memory", "3"]);
    Outcome::of(by_hand).fails(2, &["docs/protocol.md"]);
}
