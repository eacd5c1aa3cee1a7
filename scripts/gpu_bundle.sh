#!/bin/sh
# Build what proves lcascope on a GPU, on a machine that has none: gpu_bundle.sh
#
# Makes target/lcascope-gpu.tar.xz: the program with CUDA and HDF5 built in, the tests of the gradient engines, the
# benchmark of gradients with its counterpart in PyTorch, and `run.sh`, which runs them all. On the machine with the GPU,
# it needs a driver for CUDA 13 (580 or newer) and cuBLAS: that of PyTorch, of a CUDA toolkit, or from PyPI.
#
# The GPU code is PTX for compute capability 8.0, which the driver compiles for every newer one (sm_80, sm_90, sm_100).
# The first compile takes some twenty minutes of one core. Arguments go on to `cargo build`.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
target=$root/target/gpu
bundle=$target/lcascope-gpu
. scripts/cuda_toolkit.sh

# HDF5 needs a newer cmake than many systems have.
"$env/bin/python" -c 'import cmake' 2>/dev/null || "$env/bin/pip" install --quiet 'cmake>=3.26,<4'
PATH=$env/bin:$PATH
export PATH

build() {
    cargo "$@" --locked --profile dist --config profile.dist.lto=false --config profile.dist.codegen-units=16 \
        --features cuda,static --target-dir "$target"
}
build build --bin lcascope --example gradient_throughput "$@"
tests=$(build test --no-run --test engines --message-format=json "$@" |
    python3 -c '
import json, sys
messages = (json.loads(line) for line in sys.stdin if line.startswith("{"))
[path] = {m["executable"] for m in messages if m.get("target", {}).get("name") == "engines" and m.get("executable")}
print(path)')

rm -rf "$bundle"
mkdir -p "$bundle"
cp "$target/dist/lcascope" "$target/dist/examples/gradient_throughput" scripts/bench_torch.py "$bundle"
cp scripts/gpu_run.sh "$bundle/run.sh"
cp "$tests" "$bundle/engines"
strip "$bundle/lcascope" "$bundle/gradient_throughput" "$bundle/engines"
tar -C "$target" -cJf target/lcascope-gpu.tar.xz lcascope-gpu
ls -l target/lcascope-gpu.tar.xz
size=$(wc -c <target/lcascope-gpu.tar.xz)
if [ "$size" -gt 60000000 ]; then
    echo "gpu_bundle: $size bytes, which is more than 60 MB" >&2
    exit 1
fi
