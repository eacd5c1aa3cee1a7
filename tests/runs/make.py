#!/usr/bin/env python3
"""Makes small.h5, the run that the tests of the explorer look at.

    cargo build --release
    python3 tests/runs/make.py target/release/lcascope      (needs h5py)

Trains the network of small.toml on the sample of MNIST in the repository, and records everything there
is. The file that a training writes has room for many more steps; it is copied without, every dataset
compressed with gzip, which all HDF5 programs read. Names, types, shapes, attributes and values stay, but
for the names of machine and process.

Times, and on another kind of CPU the last digits, come out otherwise: then the snapshots of the screens
are to be made anew too (docs/development.md).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import h5py

HERE = Path(__file__).resolve().parent
FLAGS = """
    --quiet --steps 48 --train-size 400 --test-size 100 --batch-size 50 --learning-rate 0.1 --seed 1
    --by-class --lca-test --record-params 1 --record-weights 1 --trace 16
    --compression deflate --mantissa-bits 5 --device cpu --threads 1
""".split()


def copy_attributes(source: h5py.HLObject, target: h5py.HLObject) -> None:
    for name, value in source.attrs.items():
        kind = h5py.h5a.open(source.id, name.encode()).dtype
        target.attrs.create(name, value, dtype=kind)


def copy(source: h5py.Group, target: h5py.Group) -> None:
    """Everything in a group; a dataset becomes one compressed chunk."""
    copy_attributes(source, target)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            copy(item, target.create_group(name))
            continue
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if item.chunks is not None:
            layout.set_chunk(tuple(max(1, n) for n in item.shape))
            layout.set_shuffle()
            layout.set_deflate(9)
        # Of fixed size: nobody adds to it any more.
        space = h5py.h5s.create_simple(item.shape)
        kind = item.id.get_type()
        copied = h5py.Dataset(h5py.h5d.create(target.id, name.encode(), kind, space, layout))
        if item.id.get_storage_size():
            copied[...] = item[...]
        copy_attributes(item, copied)


def main() -> None:
    program = Path(sys.argv[1]).resolve()
    small = HERE / "small.h5"
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "small.h5"
        train = [program, "train", HERE / "small.toml", *FLAGS, "-o", run]
        subprocess.run(train, check=True, cwd=HERE)
        with (
            h5py.File(run, "r", locking=False) as source,
            h5py.File(small, "w", libver=("v110", "v110")) as target,
        ):
            copy(source, target)
            target["state/host"][0] = b"example"
            target["state/process"][0] = 1
    print(f"{small}: {small.stat().st_size} bytes")


if __name__ == "__main__":
    main()
