#!/bin/sh
# Make sure that this machine can build lcascope: cargo, a C compiler, and HDF5 with its headers.
#
# Says nothing and changes nothing where all is there. Else it installs the packages, with sudo if
# need be: apt-get was tried on Debian 12 and 13; dnf, pacman and Homebrew are untried.
set -eu

oldest_rust=1.89
oldest_hdf5=1.10.7

# shellcheck disable=SC2016 # to be typed as it stands
by_hand='Other ways to HDF5:
  conda, without root:   conda install -c conda-forge hdf5 pkg-config
                         export HDF5_DIR="$CONDA_PREFIX"
                         export RUSTFLAGS="-C link-args=-Wl,-rpath,$CONDA_PREFIX/lib"
  an HDF5 of your own:   export HDF5_DIR=/where/it/is   (with include/ and lib/ below)
  build it in:           cargo run --release --features static   (needs cmake 3.26 or newer)'

fail() {
    echo "setup: $*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

check_cargo() {
    have cargo || fail "cargo is missing: install Rust from https://rustup.rs, then open a new \
shell (or run \`. ~/.cargo/env\`)"
    version=$(cargo --version) || fail "cargo does not run: try \`rustup default stable\`"
    version=${version#cargo }
    version=${version%% *}
    minor=${version#*.}
    minor=${minor%%.*}
    [ "${version%%.*}" -gt 1 ] || [ "$minor" -ge "${oldest_rust#*.}" ] ||
        fail "cargo is $version, lcascope needs $oldest_rust or newer: run \`rustup update\`, or \
install Rust from https://rustup.rs"
}

has_headers() {
    [ -f "$1/H5pubconf.h" ] || [ -f "$1/H5pubconf-64.h" ]
}

# Looks where the build script of hdf5-metno-sys looks.
have_hdf5() {
    if [ -n "${HDF5_DIR:-}" ]; then
        has_headers "$HDF5_DIR/include" ||
            fail "HDF5_DIR is $HDF5_DIR, but there is no include/H5pubconf.h in it: correct or \
unset it"
    elif [ "$(uname -s)" = Darwin ]; then
        have brew && has_headers "$(brew --prefix hdf5 2>/dev/null)/include"
    else
        { have pkg-config && pkg-config --exists "hdf5 >= $oldest_hdf5"; } ||
            { [ "$(uname -m)" = x86_64 ] &&
                { has_headers /usr/include/hdf5/serial || has_headers /usr/include; }; }
    fi
}

ready() {
    have cc && have_hdf5
}

as_root() {
    echo "setup: $1"
    if [ "$(id -u)" -eq 0 ]; then
        sh -c "$1"
    elif have sudo; then
        sudo sh -c "$1"
    else
        fail "this is not root, and there is no sudo: have the command above run by root.
$by_hand"
    fi
}

check_cargo
if ready; then
    exit 0
fi

if have apt-get; then
    packages='pkg-config libhdf5-dev'
    have cc || packages="$packages gcc libc6-dev"
    as_root "apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
apt-get install -qq -y --no-install-recommends $packages"
elif have dnf; then
    as_root 'dnf install -y gcc pkgconf-pkg-config hdf5-devel'
elif have pacman; then
    as_root 'pacman -S --needed --noconfirm gcc pkgconf hdf5'
elif have brew; then
    have cc || fail "the C compiler is missing: run \`xcode-select --install\`"
    brew install hdf5
else
    fail "a C compiler, pkg-config and HDF5 with its headers are needed, and this system's package
manager is unknown to this script: install them, then run it again.
$by_hand"
fi

ready || fail "HDF5 $oldest_hdf5 or newer, or the C compiler, is still not found.
$by_hand"
