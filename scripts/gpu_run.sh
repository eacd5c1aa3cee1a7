#!/bin/sh
# Prove lcascope on this machine's GPU: run.sh [DEVICE]
#
# Compares the GPU's numbers with the CPU's (`lcascope selftest`), runs the tests of the gradient engines, and measures
# full gradients, beside PyTorch's where there is a Python that has it (PYTHON=… chooses one). DEVICE is cuda:0 if left
# out. Everything printed also goes to results.txt. Exits with 1 if a number is wrong.
#
# Needs a driver for CUDA 13 (580 or newer), and cuBLAS 13, cuRAND 10 and NVRTC 13: those of a CUDA toolkit, of PyTorch
# for CUDA 13, or, if there are none, from PyPI, to lib/ (1 GB; needs python3 with venv, and a network).
set -u

cd "$(dirname "$0")" || exit 1
device=${1:-cuda:0}
python=${PYTHON:-python3}

say() {
    printf '\n== %s\n' "$*"
}

# Prints the libraries that are not found.
missing() {
    ldd ./lcascope | awk '/not found/ { print $1 }'
}

find_libraries() {
    [ -n "$(missing)" ] || return
    for folder in "$PWD/lib" /usr/local/cuda/lib64 /usr/local/cuda-13*/lib64 \
        $("$python" -c '
import pathlib, sysconfig
for path in sorted(pathlib.Path(sysconfig.get_path("purelib")).glob("nvidia/*/lib")):
    print(path)' 2>/dev/null); do
        [ -d "$folder" ] || continue
        LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
        export LD_LIBRARY_PATH
    done
}

download_libraries() {
    echo "no $(missing | tr '\n' ' ')here: downloading cuBLAS, cuRAND and NVRTC from PyPI to lib/"
    "$python" -m venv .venv && .venv/bin/pip install --quiet --no-deps \
        nvidia-cublas==13.1.0.3 nvidia-curand==10.4.0.35 nvidia-cuda-nvrtc==13.0.88 nvidia-cuda-runtime==13.0.96 &&
        ln -sfn "$(echo .venv/lib/python3*/site-packages/nvidia/cu13/lib)" lib
}

main() {
    say "machine"
    uname -srm
    sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sort | uniq -c
    if ! nvidia-smi --query-gpu=index,name,driver_version,memory.total,compute_cap --format=csv; then
        echo "run.sh: nvidia-smi does not work: this machine has no NVIDIA driver" >&2
        return 1
    fi

    find_libraries
    case $(missing) in
    '') ;;
    *libcuda.so*)
        echo "run.sh: libcuda.so.1, the driver's library, is missing" >&2
        return 1
        ;;
    *)
        download_libraries
        find_libraries
        if [ -n "$(missing)" ]; then
            echo "run.sh: these libraries are missing: $(missing | tr '\n' ' ')" >&2
            echo "Install CUDA 13 or PyTorch for CUDA 13, or set LD_LIBRARY_PATH." >&2
            return 1
        fi
        ;;
    esac

    failed=0
    say "lcascope selftest --device $device"
    ./lcascope selftest --device "$device" || failed=1

    say "tests of the engines"
    ./engines || failed=1

    say "training on $device"
    rm -f run.h5
    ./lcascope train mnist-lenet --train-size 500 --steps 5 --device "$device" --headless --output run.h5 &&
        ./lcascope verify run.h5 || failed=1

    say "examples per second of a full gradient"
    if "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
        "$python" bench_torch.py compare --ours ./gradient_throughput --network all --device "$device" --rounds 3 ||
            failed=1
    else
        echo "no $python with PyTorch for this GPU: lcascope alone"
        for network in mnist-fc mnist-lenet cifar-allcnn cifar-resnet20 cifar-vgg; do
            printf '%s ' "$network"
            ./gradient_throughput --network "$network" --device "$device" || failed=1
        done
    fi

    if [ "$failed" -ne 0 ]; then
        say "something is wrong: please report results.txt"
        return 1
    fi
    say "everything agrees"
}

{
    main
    echo $? >.status
} 2>&1 | tee results.txt
status=$(cat .status)
rm -f .status
exit "$status"
