#!/bin/sh
# Make PyTorch's Linux wheel from PyPI importable without NVIDIA's packages (3 GB), for tests on the CPU.
#
#     sh scripts/torch_without_cuda.sh PYTHON
#
# PyPI has no wheel of PyTorch for the CPU alone: its libraries name those of CUDA, and do not load without them. This
# puts one small library in their places, whose functions all report failure. Nothing calls them where there is no GPU.
# Needs a C compiler and ldd; nvidia-cuda-runtime and nvidia-cuda-cupti (55 MB) are to be installed as they are, because
# PyTorch calls them when it is loaded.
set -eu

lib=$("$1" -c 'from importlib.util import find_spec; print(find_spec("torch").submodule_search_locations[0] + "/lib")')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

build() {
    cc -shared -fPIC -w -fno-builtin "$@" -o "$lib/libcuda_absent.so" "$scratch/absent.c"
}

: >"$scratch/absent.c"
build
ldd "$lib/libtorch_python.so" | sed -n 's/^[[:space:]]*\(.*\) => not found$/\1/p' | sort -u |
    while read -r name; do
        ln -sf libcuda_absent.so "$lib/$name"
    done

# Lines of a function and the version that it is looked up with, if any.
ldd -r "$lib/libtorch_python.so" 2>&1 |
    sed -n 's/^undefined symbol: \([A-Za-z0-9_]*\)\(, version \)\{0,1\}\([^[:space:]]*\).*/\1 \3/p' |
    grep -v '^_\{0,1\}Py' | sort -u >"$scratch/functions"
awk '{ print "int " $1 "(void) { return 1; }" }' "$scratch/functions" >"$scratch/absent.c"
awk 'NF == 2 { names[$2] = names[$2] " " $1 ";" }
    END { for (version in names) print version " {" names[version] " };" }' "$scratch/functions" >"$scratch/versions"
build "-Wl,--version-script=$scratch/versions"

"$1" -c 'import torch; assert not torch.cuda.is_available(); torch.ones(2, 2) @ torch.ones(2, 2)'
