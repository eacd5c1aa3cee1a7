#!/bin/sh
# Compile and link with `--features cuda` on a machine without a GPU, a driver or a CUDA toolkit,
# and see that the program then says so instead of falling over.
#
# The toolkit goes to .cuda/ (cuda_toolkit.sh). The first compile takes some ten minutes of one core, nearly all of it
# candle's kernels. Arguments go on to `cargo build` (for example -j1).
set -eu

cd "$(dirname "$0")/.."
root=$PWD
target=$root/target/cuda
. scripts/cuda_toolkit.sh

# Without optimisation: only the kernels matter here, and nvcc optimises them anyway.
cargo build --locked --features cuda --target-dir "$target" \
    --config profile.dev.opt-level=0 --config 'profile.dev.package."*".opt-level=0' "$@"

# With a driver that has no device, asking for the GPU is an error and `auto` is the CPU.
run=$target/no-gpu.h5
train() {
    "$target/debug/lcascope" train --train-size 64 --batch-size 32 --test-size 8 --steps 1 \
        --headless --force --output "$run" "$@"
}
if message=$(train --device cuda:0 2>&1); then
    echo "check_cuda: --device cuda:0 succeeded without a GPU:" >&2
    echo "$message" >&2
    exit 1
fi
case $message in
*'no CUDA device 0'*) ;;
*)
    echo "check_cuda: --device cuda:0 failed with another error than it should:" >&2
    echo "$message" >&2
    exit 1
    ;;
esac
train --device auto --quiet
rm -f "$run"
echo "check_cuda: built, linked, and no GPU is reported as it should be"
