"""The path of a training by `lcascope train`, taken once more in PyTorch: the same allocations, number by number."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lcascope

MNIST = Path(__file__).parents[2] / "assets/mnist"
STEPS = 8

# Of the largest value. Sums over 6,000 examples in another order differ by 1e-7; a ReLU at 0 up to rounding, by more.
TOLERANCE = 1e-5


def idx(name: str, header: int) -> Tensor:
    """Read the bytes after the header of an IDX file."""
    content = gzip.decompress((MNIST / name).read_bytes())
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).copy())


def part(name: str) -> tuple[Tensor, Tensor]:
    """Return a part of the sample of MNIST as the program's networks get it."""
    labels = idx(f"{name}-labels-idx1-ubyte.gz", 8).long()
    return idx(f"{name}-images-idx3-ubyte.gz", 16).view(len(labels), 784) / 255, labels


class Net(nn.Module):
    """`mnist-fc`."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 100), nn.Linear(100, 50), nn.Linear(50, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


@pytest.mark.long
@pytest.mark.parametrize("explicit", [False, True], ids=["moved", "step"])
def test_mnist_fc(lcascope_says: Callable[..., str], explicit: bool) -> None:
    every = ["--record-weights=1", "--record-params=1", "--lca-test", "--by-class"]
    lcascope_says("train", "mnist-fc", f"--steps={STEPS}", *every, "--quiet", "--output=own.h5")
    model = Net()
    with h5py.File("own.h5") as own:
        path = torch.from_numpy(own["weight/value"][:])
        train, held_out = part("train"), part("t10k")
        rows, test_rows = own["data/train_index"][:], own["data/test_index"][:]
    assert len(path) == STEPS + 1 and len(rows) == 6000
    nn.utils.vector_to_parameters(path[0], model.parameters())
    with lcascope.watch(
        model,
        data=(train[0][rows], train[1][rows]),
        held_out=(held_out[0][test_rows], held_out[1][test_rows]),
        batch_size=500,
        loss=F.cross_entropy,
        output="watched.h5",
        lca_test=True,
        by_class=True,
        record_params=1,
        record_weights=1,
        steps=STEPS,
        quiet=True,
    ) as scope:
        for weights in path[1:]:
            if explicit:
                with scope.step():
                    nn.utils.vector_to_parameters(weights, model.parameters())
            else:
                nn.utils.vector_to_parameters(weights, model.parameters())
                scope.moved()
    with h5py.File("own.h5") as own, h5py.File("watched.h5") as watched:
        for name in ("layout/tensor/name", "layout/tensor/offset", "weight/value", "trace/parameter", "trace/value"):
            assert np.array_equal(own[name][:], watched[name][:]), name
        assert own["step/segments"][:].tolist() == watched["step/segments"][:].tolist()
        for name in (
            *("loss/train", "loss/test", "loss/train_class", "loss/train_accuracy", "loss/test_accuracy"),
            *("lca/total", "lca/layer", "lca/tensor", "lca/unit", "lca/param", "lca/class_layer"),
            *("lca_test/total", "lca_test/layer", "lca_test/tensor", "lca_test/unit"),
            *("trace/lca", "trace/gradient", "param/lca_sum", "motion/update_norm", "motion/gradient_norm"),
        ):
            expected, got = own[name][:], watched[name][:]
            assert expected.shape == got.shape and not np.isnan(got).any(), name
            difference = np.abs(got - expected).max() / np.abs(expected).max()
            assert difference < TOLERANCE, (name, difference)
        assert math.isclose(own["lca/total"][:].sum(), watched["lca/total"][:].sum(), rel_tol=1e-6)
