#!/bin/sh
# Compare a whole run with a PyTorch program: lca_torch.sh FOLDER_WITH_MNIST [arguments of
# lca_torch.py, for example --network mnist-fc --steps 50].
set -eu

if [ $# -lt 1 ]; then
    echo "usage: $0 FOLDER_WITH_MNIST [arguments of lca_torch.py]" >&2
    exit 2
fi
case $1 in
    /*) data=$1 ;;
    *) data=$PWD/$1 ;;
esac
shift

cd "$(dirname "$0")/.."
python=.venv-bench/bin/python

# The environment of bench_torch.sh, and h5py.
[ -x "$python" ] || python3 -m venv .venv-bench
"$python" -c 'import h5py, numpy, torch' 2>/dev/null || "$python" -m pip install torch numpy h5py

cargo build --release --bin lcascope
exec "$python" scripts/lca_torch.py --data "$data" \
    --ours "${CARGO_TARGET_DIR:-target}/release/lcascope" "$@"
