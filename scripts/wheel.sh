#!/bin/sh
# Build the wheel to publish: the program with HDF5 built in, the Python package, completions for shells,
# and manual pages.
#
#     sh scripts/wheel.sh [--no-zig] [arguments of `maturin build`, for example --out DIR]
#
# maturin checks the program against the libraries that manylinux allows. With zig as C compiler and linker, which comes
# from PyPI as maturin and cmake do, the wheel runs on systems with glibc 2.17 or newer; without it, on those that are
# not older than this one. PROFILE=release takes a part of the time, and makes a larger program.
set -eu

cd "$(dirname "$0")/.."
tools=.venv-wheel/bin

# A virtual environment of its own, made once. The import is tried each time, so an interrupted first run is made good.
[ -x "$tools/python" ] || python3 -m venv .venv-wheel
"$tools/python" -c 'import cmake, maturin, ziglang' 2>/dev/null ||
    "$tools/python" -m pip install --quiet 'maturin[zig]>=1.9,<2' 'cmake>=3.26'
PATH=$PWD/$tools:$PATH
export PATH

compatibility='--zig --compatibility manylinux2014'
if [ "${1-}" = --no-zig ]; then
    compatibility=
    shift
fi

# maturin puts what lies in this folder into the wheel.
data=lcascope.data
scratch=$(mktemp -d)
trap 'rm -rf "$scratch" "$data"' EXIT
rm -rf "$data"

# Once for the program, which writes these files, and once more with them. Nothing is compiled the second time.
build() {
    # shellcheck disable=SC2086 # words
    maturin build --profile ${PROFILE:-dist} $compatibility "$@"
}
build --out "$scratch"
python -m zipfile -e "$scratch"/lcascope-*.whl "$scratch/wheel"
program=$(find "$scratch/wheel" -path '*.data/scripts/lcascope')
chmod +x "$program"
add_completions() {
    mkdir -p "$(dirname "$data/data/share/$2")"
    "$program" completions "$1" >"$data/data/share/$2"
}
add_completions bash bash-completion/completions/lcascope
add_completions zsh zsh/site-functions/_lcascope
add_completions fish fish/vendor_completions.d/lcascope.fish
manual=$data/data/share/man/man1
mkdir -p "$manual"
"$program" man >"$manual/lcascope.1"
sed -n 's/^lcascope\\-\([a-z]*\)(1)$/\1/p' "$manual/lcascope.1" | while read -r command; do
    "$program" man "$command" >"$manual/lcascope-$command.1"
done
build "$@"
