#!/usr/bin/env python3
"""Cut a small class-balanced sample out of the full MNIST.

    python scripts/cut_mnist_sample.py SOURCE_DIR

SOURCE_DIR holds the four original files (``train-images-idx3-ubyte.gz`` and so
on). The sample goes to ``assets/mnist``: the first 600 examples of each digit
of the training file and the first 100 of each digit of the test file, in the
order of the source. A ``README.md`` with the checksums is written beside it.

Needs the standard library only. The output is the same byte for byte each time
(no time stamp and no name in the gzip header), given the same zlib.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import struct
from pathlib import Path

SIDE = 28
CLASSES = 10
# An IDX file's magic number: unsigned bytes (0x08), then the number of axes.
IMAGES_MAGIC = 0x0803
LABELS_MAGIC = 0x0801
# (file name prefix, examples to keep of each digit)
PARTS = (("train", 600), ("t10k", 100))

README = """\
# MNIST sample

A class-balanced sample of the MNIST handwritten digits, for the tests, the
examples and a first run without a download: {train} training and {test} test
images of 28 x 28 grey levels (0 = background, 255 = ink), with their labels.
The files are gzipped IDX, the format of the original.

It is a sample. Train on the full MNIST before drawing conclusions.

## Provenance

MNIST, by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, made
available under the Creative Commons Attribution-Share Alike 3.0 licence
(<https://creativecommons.org/licenses/by-sa/3.0/>). This sample is a derived
work and is under the same licence; the licence of the program's source code
does not apply to it.

## How it was cut

`scripts/cut_mnist_sample.py SOURCE_DIR` takes the first {per_train} examples
of each digit of the training file and the first {per_test} of each digit of
the test file and keeps them in the order of the source. No pixel and no label
was changed.

## SHA-256

```text
{sums}
```
"""


def read_idx(path: Path, magic: int, axes: tuple[int, ...]) -> bytes:
    """Return the payload of a gzipped IDX file, having checked its header.

    ``axes`` are the expected sizes after the first axis, which may be any.
    """
    raw = gzip.decompress(path.read_bytes())
    header = struct.unpack_from(f">{2 + len(axes)}I", raw)
    if header[0] != magic or header[2:] != axes:
        raise SystemExit(f"{path}: not the expected IDX file: header {header}")
    payload = raw[4 * len(header) :]
    size = header[1]
    for axis in axes:
        size *= axis
    if len(payload) != size:
        raise SystemExit(f"{path}: {len(payload)} bytes of data, expected {size}")
    return payload


def gzip_bytes(data: bytes) -> bytes:
    """Compress reproducibly: level 9, time 0, no file name in the header."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as f:
        f.write(data)
    return out.getvalue()


def first_of_each(labels: bytes, count: int) -> list[int]:
    """Rows of the first ``count`` examples of each class, in source order."""
    seen = [0] * CLASSES
    rows = []
    for row, label in enumerate(labels):
        if seen[label] < count:
            seen[label] += 1
            rows.append(row)
    if seen != [count] * CLASSES:
        raise SystemExit(f"too few examples of some digit: {seen}")
    return rows


def cut(source: Path, part: str, count: int) -> dict[str, bytes]:
    """Cut one part; return the new files' names and (compressed) contents."""
    images_name = f"{part}-images-idx3-ubyte.gz"
    labels_name = f"{part}-labels-idx1-ubyte.gz"
    images = read_idx(source / images_name, IMAGES_MAGIC, (SIDE, SIDE))
    labels = read_idx(source / labels_name, LABELS_MAGIC, ())
    pixels = SIDE * SIDE
    if len(images) != len(labels) * pixels:
        raise SystemExit(f"{part}: images and labels differ in number")
    rows = first_of_each(labels, count)
    image_header = struct.pack(">4I", IMAGES_MAGIC, len(rows), SIDE, SIDE)
    label_header = struct.pack(">2I", LABELS_MAGIC, len(rows))
    return {
        images_name: gzip_bytes(
            image_header + b"".join(images[r * pixels : (r + 1) * pixels] for r in rows)
        ),
        labels_name: gzip_bytes(label_header + bytes(labels[r] for r in rows)),
    }


def main() -> None:
    """Read SOURCE_DIR, write the sample and its README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="directory with the four original .gz files")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).resolve().parent.parent / "assets" / "mnist",
        help="where to write the sample (default: assets/mnist of this repository)",
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sums = []
    for part, count in PARTS:
        for name, data in cut(args.source, part, count).items():
            (args.out / name).write_bytes(data)
            sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}")
            print(f"{name}: {len(data)} bytes")
    (per_train, per_test) = (count for _, count in PARTS)
    readme = README.format(
        train=f"{per_train * CLASSES:,}",
        test=f"{per_test * CLASSES:,}",
        per_train=per_train,
        per_test=per_test,
        sums="\n".join(sums),
    )
    (args.out / "README.md").write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
