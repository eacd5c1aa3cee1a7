#!/bin/sh
# Make the virtual environment of the Python tests, if it is not there yet, and print the path of its interpreter.
#
#     sh scripts/python_env.sh
#
# It lies in ${XDG_CACHE_HOME:-~/.cache}/lcascope/, 2.4 GB, and takes one to three minutes to make. It is kept until
# python/tests/requirements.txt, this script or the Python changes. PYTHON names the Python to use (3.11 or newer).
set -eu

cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
requirements=python/tests/requirements.txt

say() {
    echo "python_env: $*" >&2
}

version=$("$python" -c 'import sys; print("%d.%d %s" % (*sys.version_info[:2], sys.executable))') || {
    say "$python does not run: name a Python 3.11 or newer with PYTHON=…"
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "Python is ${version%% *}, the tests need 3.11 or newer: name one with PYTHON=…"
    exit 1
}

made_of=$({
    echo "$version"
    cat "$requirements" scripts/python_env.sh scripts/torch_without_cuda.sh
} | cksum | cut -d ' ' -f 1)
caches=${XDG_CACHE_HOME:-$HOME/.cache}/lcascope
folder=$caches/python-$made_of
# Written last: a folder without it was left by a script that was interrupted.
complete=$folder/complete

mkdir -p "$caches"
# Two scripts at the same time make one environment.
exec 9>"$caches/python.lock"
if command -v flock >/dev/null; then
    flock 9
fi
if ! [ -e "$complete" ]; then
    say "installing the packages of $requirements into $folder"
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --no-deps --no-compile --only-binary :all: --requirement "$requirements" >&2
    if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then
        sh scripts/torch_without_cuda.sh "$folder/bin/python" >&2 || {
            say "PyTorch does not load without NVIDIA's libraries: installing them too (3 GB)"
            find "$folder" -lname libcuda_absent.so -delete
            "$folder/bin/python" -m pip install --quiet --only-binary :all: "$(grep '^torch==' "$requirements")" >&2
        }
    fi
fi
touch "$complete"
# Environments that nobody has used for two weeks.
find "$caches" -mindepth 2 -maxdepth 2 -path '*/python-*/complete' -mtime +14 -exec dirname {} \; |
    while read -r old; do
        rm -rf "$old"
    done
echo "$folder/bin/python"
