# Recipes for working on lcascope; `just` alone lists them. None of them is needed to build it.

python := env("PYTHON", "python3")

_list:
    @just --list --unsorted

# Install what the build needs, if it is missing
setup:
    sh scripts/setup.sh

# Run the program with the given arguments
run *args:
    cargo run --release -- {{ args }}

# Train a small network on a sample of MNIST and watch it
demo: setup
    cargo run

# Run the tests; arguments go on to `cargo test`
test *args: setup
    cargo test {{ args }}

# Check the format and the lints
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings

# Run the Python tests with the program that `cargo build` makes; arguments go on to pytest
test-python *args:
    cargo build
    LCASCOPE="${CARGO_TARGET_DIR:-target}/debug/lcascope" "$(sh scripts/python_env.sh)" -m pytest {{ args }}

# Run the tests of trainings in several processes (needs an MPI library)
test-mpi:
    cargo test --features mpi --test cli mpi

# Build the documentation of the code
doc:
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items

# Kill a run 100 times (or N times) at random moments, and what replaces files at every write: nothing may be lost
torture kills="100":
    LCASCOPE_KILLS={{ kills }} cargo test --test run_file -- --nocapture random kill
    LCASCOPE_KILLS={{ kills }}0 cargo test --lib power_loss
    LCASCOPE_KILLS={{ kills }} cargo test --test cli -- --nocapture kill
    LCASCOPE_ORDERS=10000000 cargo test --test cli -- --nocapture flood

# Run the benchmarks; arguments go on to `cargo bench`
bench *args:
    cargo bench {{ args }}

# Say what recording costs: the same training with and without a run file
overhead *args:
    cargo run --release --example overhead -- {{ args }}

# Compare the full gradient's throughput with PyTorch's (in .venv-bench): `just bench-torch NETWORK`
bench-torch *args:
    sh scripts/bench_torch.sh {{ args }}

# Say what watching a PyTorch model costs beside its gradients (PYTHON=… chooses a Python with torch for the GPU)
bench-python *args:
    cargo build --release
    LCASCOPE="${CARGO_TARGET_DIR:-target}/release/lcascope" PYTHONPATH=python \
        "${PYTHON:-$(sh scripts/python_env.sh)}" python/bench {{ args }}

# Compare a whole run of mnist-lenet with a PyTorch program: numbers and time (MNIST is in DIR)
lca-torch dir *args:
    sh scripts/lca_torch.sh {{ dir }} {{ args }}

# Build the wheel of the Python package, with the program in it, to target/wheels
wheel *args:
    sh scripts/wheel.sh {{ args }}

# Compile with CUDA on a machine that has none; arguments go on to `cargo build`
check-cuda *args:
    sh scripts/check_cuda.sh {{ args }}

# Build what proves the program on a GPU, on a machine without one, to target/lcascope-gpu.tar.xz
gpu-bundle *args:
    sh scripts/gpu_bundle.sh {{ args }}

# Read damaged run files for so many seconds (needs nightly Rust and cargo-fuzz)
fuzz seconds='600':
    sh scripts/fuzz.sh {{ seconds }}

# Run what continuous integration runs
ci:
    .ci/run

# Make the golden numbers of the tests anew (needs torch, numpy, scipy, h5py and safetensors; PYTHON=… chooses the Python)
golden:
    {{ python }} tests/golden/mnist_fc.py
    {{ python }} tests/golden/presets.py
    {{ python }} tests/golden/optimizers.py
    {{ python }} tests/golden/analysis.py
    {{ python }} tests/golden/planted.py
    {{ python }} tests/golden/paired.py
    {{ python }} tests/golden/checkpoints.py

# Make the recorded run of the tests anew (needs h5py; PYTHON=… chooses the Python)
fixture:
    cargo build --release
    {{ python }} tests/runs/make.py target/release/lcascope
