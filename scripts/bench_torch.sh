#!/bin/sh
# Compare the throughput of the full-training-set gradient with PyTorch's, on this
# machine: bench_torch.sh [NETWORK | all] [arguments of `bench_torch.py compare`, for
# example --rounds 9 --peak].
set -eu

cd "$(dirname "$0")/.."
python=.venv-bench/bin/python

# A virtual environment of its own, made once. The import is tried each time, so an
# interrupted first run is made good.
[ -x "$python" ] || python3 -m venv .venv-bench
"$python" -c 'import numpy, torch' 2>/dev/null || "$python" -m pip install torch numpy

case ${1-} in
    '' | -*) ;;
    *)
        network=$1
        shift
        set -- --network "$network" "$@"
        ;;
esac

cargo build --release --example gradient_throughput
exec "$python" scripts/bench_torch.py compare \
    --ours "${CARGO_TARGET_DIR:-target}/release/examples/gradient_throughput" "$@"
