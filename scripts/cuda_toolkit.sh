# Sets up CUDA's compiler and libraries and a stub of the driver, to compile with `--features cuda` on a machine that has
# none of them. To be sourced by a script that has set `root` to the folder of the project.
#
# The toolkit comes from PyPI's wheels and goes to .cuda/ (1.2 GB); the driver is a stub whose every function reports
# CUDA_ERROR_STUB_LIBRARY. Nothing outside .cuda/ is touched.

env=$root/.cuda/venv

# candle 0.11's cudarc knows CUDA up to 13.4.
wheels='nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88
nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cuda-nvrtc==13.0.88
nvidia-cublas==13.1.0.3 nvidia-curand==10.4.0.35'

for tool in python3 cargo cc c++; do
    command -v "$tool" >/dev/null || { echo "cuda_toolkit: $tool is missing" >&2; exit 1; }
done

# The stamp is written last, so that an interrupted set-up is done again.
stamp=$root/.cuda/ready
if [ "$(cat "$stamp" 2>/dev/null)" != "$wheels" ]; then
    echo "cuda_toolkit: installing CUDA 13.0's compiler and libraries into .cuda/"
    rm -rf "$root/.cuda"
    mkdir -p "$root/.cuda"
    python3 -m venv "$env"
    # shellcheck disable=SC2086 # a list of words
    "$env/bin/pip" install --quiet --no-deps $wheels
    ln -s "$(echo "$env"/lib/python3*/site-packages/nvidia/cu13)" "$root/.cuda/toolkit"
    # The linker looks for names without a version, which wheels leave out.
    (
        cd "$root/.cuda/toolkit/lib"
        for file in lib*.so.*; do
            ln -sf "$file" "${file%%.so.*}.so"
        done
    )
    ln -s lib "$root/.cuda/toolkit/lib64"
    printf '%s' "$wheels" >"$stamp"
fi

# A driver of stubs: every function that cudarc declares.
metadata() {
    cargo metadata --locked --format-version 1 --features cuda
}
declarations=$(metadata | python3 -c '
import json, pathlib, sys
packages = json.load(sys.stdin)["packages"]
[manifest] = [p["manifest_path"] for p in packages if p["name"] == "cudarc"]
print(pathlib.Path(manifest).parent / "src/driver/sys/mod.rs")')
stubs=$root/.cuda/stubs
mkdir -p "$stubs"
grep -oE 'pub (unsafe )?fn cu[A-Z][A-Za-z0-9_]*' "$declarations" |
    awk '{ print "int " $NF "(void) { return 34; }" }' | sort -u >"$stubs/cuda.c"
cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$stubs/libcuda.so" "$stubs/cuda.c"
ln -sf libcuda.so "$stubs/libcuda.so.1"

export CUDA_HOME="$root/.cuda/toolkit" CUDA_PATH="$root/.cuda/toolkit" CUDA_COMPUTE_CAP=80
export PATH="$CUDA_HOME/bin:$PATH" LIBRARY_PATH="$CUDA_HOME/lib:$stubs"
export LD_LIBRARY_PATH="$CUDA_HOME/lib:$stubs"
