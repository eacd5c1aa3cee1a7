#!/usr/bin/env python3
"""Golden values of Loss Change Allocation (LCA), from PyTorch in float64.

    python tests/golden/mnist_fc.py

writes ``mnist_fc.json`` beside itself. Needs torch and numpy, a few seconds and
the sample in ``assets/mnist``. It shares no code with the Rust program; the
tests there rebuild the inputs below and compare.

Inputs
======

Network ``mnist-fc``: 784-100-50-10, ReLU, mean cross-entropy. The flat parameter
vector (P = 84,060) is, for fc1, fc2, fc3: the weight [out, in] row by row, then
the bias [out]. So there are six tensors and three layers.

Initial parameters, i the flat index::

    splitmix64(x): z = x + 0x9E3779B97F4A7C15            (all modulo 2^64)
                   z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
                   z = (z ^ (z >> 27)) * 0x94D049BB133111EB
                   return z ^ (z >> 31)
    u_i = (splitmix64(i) >> 40) / 2^24
    theta_i = float32((2 u_i - 1) * b),  b = sqrt(6 / fan_in) for a weight,
                                         b = 0.05 for a bias

with the product in float64, rounded to float32, then used as float64.

Data: the first 1,000 training and the first 300 test examples of the embedded
sample; a pixel is float32(byte) / float32(255), used as float64.

Six steps, t = 0..5. The mini-batch of step t is the training examples
(t*97 + j*7) mod 1000, j = 0..99.

Trajectories, both from the same start, weight decay on weights and biases alike
and coupled (added to the gradient, as PyTorch's two optimizers do):

* ``sgd``: learning rate 0.05, momentum 0.9, weight decay 1e-3;
* ``adam``: learning rate 1e-3, weight decay 1e-3, betas 0.9 and 0.999, eps 1e-8.

Quantities
==========

L is the mean cross-entropy over the 1,000 training examples, without weight
decay; g = grad L; theta_t the parameters before step t;
delta_t = theta_{t+1} - theta_t.

    A_{t,i} = delta_{t,i} * sum_k w_k g_i(theta_t + a_k delta_t)

    name          nodes a_k       weights w_k                   S
    first-order   0               1                             0
    trapezoid     0, 1            1/2, 1/2                      1
    simpson       0, 1/2, 1       1/6, 4/6, 1/6                 2
    adaptive      k/S, k = 0..S   (1, 4, 2, 4, ..., 4, 1)/(3S)  2, 4, 8, 16 or 32

``adaptive`` starts at S = 2 and doubles S while |residual| > tolerance, S < 32.

Keys of the JSON
================

``parameters``, ``steps``; ``layers``, ``tensors``: names, in the order used below.

``inputs``: to find a wrong input first.
    ``initial_first`` [8] the first eight initial parameters; ``initial_tensor_sum``
    [6]; ``train_pixel_sum``, ``test_pixel_sum``; ``train_class_count``,
    ``test_class_count`` [10]; ``batch_label_sum`` [6] the sum of the labels in each
    mini-batch.

``trajectories``: ``sgd`` and ``adam``, each with

    ``tolerance``           of ``adaptive``
    ``train_loss`` [7]      L(theta_t), t = 0..6
    ``test_loss`` [7]       mean cross-entropy over the 300 test examples
    ``train_accuracy``, ``test_accuracy`` [7]  fraction right, 0..1
    ``train_class_loss`` [7][10]  mean cross-entropy over one class's examples
    ``batch_loss`` [6]      the mini-batch's, at theta_t
    ``layer_params_l2`` [3] Euclidean norm of a layer's parameters, theta_6
    ``tensor_sum`` [6]      sum of a tensor's elements, theta_6
    ``integrators``         by name, each with

        ``total`` [6]       sum_i A_{t,i}
        ``residual`` [6]    L(theta_{t+1}) - L(theta_t) - total_t
        ``layer`` [6][3], ``tensor`` [6][6]  sums of A over a layer, a tensor
        ``layer_error`` [6][3]  from the layers' sums: |trapezoid - first-order|
                            for S = 0 and 1, |Simpson - trapezoid| for S = 2,
                            |A(S) - A(S/2)| / 15 for S >= 4
        ``segments`` [6]    S
        ``gradients`` [6]   full gradients first evaluated in the step: 1 for
                            S = 0 and 1, else S. The gradient at a = 1 is the next
                            step's at a = 0 and is not counted again; the one at
                            theta_0 belongs to no step where S >= 1 (so a run of
                            trapezoid, simpson or adaptive spends 1 + the sum).

    and ``adaptive`` also

        ``tried`` [6][]     the residual at S = 2, 4, ... up to the S it ended with

    and ``simpson`` also

        ``unit`` [6][160]   sum of A over a unit's incoming weights and its bias:
                            fc1's 100 units, fc2's 50, fc3's 10
        ``class_layer`` [6][10][3]  the allocation of (n_c/N) L_c, L_c the class's
                            mean loss; sums over c to ``layer``
        ``test_layer`` [6][3]  ``layer`` with the gradient of the test loss at the
                            same nodes
        ``helped``, ``hurt`` [6][3]  #{A < 0}, #{A > 0}
        ``update_norm`` [6][3]    |delta_t|, Euclidean
        ``gradient_norm`` [6][3]  |g(theta_t)|
        ``cosine`` [6][3]   of the angle between delta_t and -g(theta_t)
        ``update_flips`` [6][3]   #{delta_{t-1} * delta_t < 0}; 0 at t = 0
        ``gradient_flips`` [6][3] #{g(theta_t) * g(theta_{t+1}) < 0}
        ``gradient_turns`` [6][3] #{(g(theta_{t+1}) - g(theta_t)) * (g(theta_t) - g(theta_{t-1})) < 0};
                            0 at t = 0
        ``lca_turns`` [6][3]      #{(A_t - A_{t-1}) * (A_{t-1} - A_{t-2}) < 0};
                            0 for t < 2
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, relu

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parent.parent / "assets" / "mnist"

STEPS = 6
TRAIN, TEST, BATCH = 1000, 300, 100
CLASSES = 10
WIDTHS = (784, 100, 50, 10)
LAYERS = ("fc1", "fc2", "fc3")
TENSORS = tuple(f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias"))
SHAPES = [shape for i, o in pairwise(WIDTHS) for shape in ((o, i), (o,))]
SIZES = [math.prod(shape) for shape in SHAPES]
LAYER_SIZES = [w + b for w, b in zip(SIZES[::2], SIZES[1::2], strict=True)]
P = sum(SIZES)
MAX_SEGMENTS = 32

# Chosen so that S varies over the steps and every |residual| that a decision rests
# on is off by a factor of at least MARGIN: rounding (1e-15 in float64, under 1e-6
# in float32) cannot change a decision. No tolerance allows a much larger margin:
# ReLU's kinks keep the residuals of all S near each other, at 1e-5 to 1e-4.
TOLERANCE = {"sgd": 9.9e-5, "adam": 2.2e-5}
MARGIN = 1.25


# Inputs -----------------------------------------------------------------------


def splitmix64(x: np.ndarray) -> np.ndarray:
    """The SplitMix64 finaliser, elementwise on uint64 (which wraps)."""
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def initial_parameters() -> Tensor:
    """The flat initial parameter vector, float32 values held as float64."""
    u = (splitmix64(np.arange(P, dtype=np.uint64)) >> np.uint64(40)).astype(np.float64) / 2**24
    bounds = [math.sqrt(6 / shape[1]) if len(shape) == 2 else 0.05 for shape in SHAPES]
    value = (2 * u - 1) * np.repeat(np.array(bounds), SIZES)
    return torch.from_numpy(value.astype(np.float32).astype(np.float64))


def load(part: str, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` images (float64, flat) and labels of the sample."""
    images = gzip.decompress((ASSETS / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((ASSETS / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    pixels = np.frombuffer(images, np.uint8).reshape(-1, WIDTHS[0])[:count]
    x = (pixels.astype(np.float32) / np.float32(255)).astype(np.float64)
    y = np.frombuffer(labels, np.uint8)[:count].astype(np.int64)
    return torch.from_numpy(x), torch.from_numpy(y)


def batch_rows(t: int) -> Tensor:
    """The training examples in the mini-batch of step t."""
    return (t * 97 + torch.arange(BATCH) * 7) % TRAIN


# The network ------------------------------------------------------------------


def logits(tensors: list[Tensor] | tuple[Tensor, ...], x: Tensor) -> Tensor:
    """The network's output for inputs ``x``, given its six tensors."""
    w1, b1, w2, b2, w3, b3 = tensors
    x = relu(x @ w1.T + b1)
    x = relu(x @ w2.T + b2)
    return x @ w3.T + b3


def split(theta: Tensor) -> list[Tensor]:
    """View the flat vector as the six tensors."""
    return [v.view(s) for v, s in zip(theta.split(SIZES), SHAPES, strict=True)]


def gradient(theta: Tensor, x: Tensor, y: Tensor, total: int) -> Tensor:
    """Gradient, flat, of (the sum of the examples' cross-entropy) / total."""
    theta = theta.detach().requires_grad_(True)
    loss = cross_entropy(logits(split(theta), x), y, reduction="sum") / total
    return torch.autograd.grad(loss, theta)[0]


def optimizer(name: str, tensors: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of a trajectory."""
    if name == "sgd":
        return torch.optim.SGD(tensors, lr=0.05, momentum=0.9, weight_decay=1e-3)
    return torch.optim.Adam(tensors, lr=1e-3, weight_decay=1e-3)


# Reductions -------------------------------------------------------------------


def by_layer(v: Tensor) -> list[float]:
    """Sum of a flat vector over each layer."""
    return [part.sum().item() for part in v.split(LAYER_SIZES)]


def by_tensor(v: Tensor) -> list[float]:
    """Sum of a flat vector over each tensor."""
    return [part.sum().item() for part in v.split(SIZES)]


def by_unit(v: Tensor) -> list[float]:
    """Sum over each unit's incoming weights and its bias."""
    t = split(v)
    return [u for w, b in zip(t[::2], t[1::2], strict=True) for u in (w.sum(1) + b).tolist()]


def norms(v: Tensor) -> list[float]:
    """Euclidean norm of each layer's part."""
    return [part.norm().item() for part in v.split(LAYER_SIZES)]


def count(mask: Tensor) -> list[int]:
    """How many elements are true in each layer."""
    return [int(part.sum()) for part in mask.split(LAYER_SIZES)]


# LCA --------------------------------------------------------------------------


def rule(segments: int) -> list[tuple[float, float]]:
    """The (node, weight) pairs of S = 0 (first order), 1 (trapezoid), 2, 4, ..."""
    if segments == 0:
        return [(0.0, 1.0)]
    if segments == 1:
        return [(0.0, 0.5), (1.0, 0.5)]
    weights = [1.0] + [4.0, 2.0] * (segments // 2 - 1) + [4.0, 1.0]
    return [(k / segments, w / (3 * segments)) for k, w in enumerate(weights)]


class Segment:
    """One step's straight path, with the gradients of one loss along it."""

    def __init__(self, start: Tensor, end: Tensor, gradient: Callable[[Tensor], Tensor]) -> None:
        """``gradient`` is the loss's, as a function of the parameters."""
        self.start, self.end, self.delta = start, end, end - start
        self.gradient = gradient
        self.known: dict[float, Tensor] = {}

    def at(self, a: float) -> Tensor:
        """The gradient at start + a delta, evaluated once a node."""
        if a not in self.known:
            theta = self.end if a == 1.0 else self.start + a * self.delta
            self.known[a] = self.gradient(theta)
        return self.known[a]

    def allocate(self, segments: int) -> Tensor:
        """A, flat."""
        mean = torch.zeros_like(self.delta)
        for node, weight in rule(segments):
            mean += weight * self.at(node)
        return self.delta * mean

    def layer_error(self, segments: int) -> list[float]:
        """The error estimate of each layer."""
        coarse, fine = (0, 1) if segments <= 1 else (segments // 2, segments)
        pairs = zip(by_layer(self.allocate(fine)), by_layer(self.allocate(coarse)), strict=True)
        scale = 15 if segments >= 4 else 1
        return [abs(f - c) / scale for f, c in pairs]


class Data:
    """The training and test examples, and the gradients of their losses."""

    def __init__(self) -> None:
        """Load the sample."""
        self.x, self.y = load("train", TRAIN)
        self.test_x, self.test_y = load("t10k", TEST)
        self.class_rows = [torch.nonzero(self.y == c).flatten() for c in range(CLASSES)]

    def full(self, theta: Tensor) -> Tensor:
        """Gradient of the training loss."""
        return gradient(theta, self.x, self.y, TRAIN)

    def one_class(self, c: int, theta: Tensor) -> Tensor:
        """Gradient of (n_c/N) L_c."""
        rows = self.class_rows[c]
        return gradient(theta, self.x[rows], self.y[rows], TRAIN)

    def test(self, theta: Tensor) -> Tensor:
        """Gradient of the test loss."""
        return gradient(theta, self.test_x, self.test_y, TEST)


def train(name: str, data: Data) -> tuple[list[Tensor], list[float]]:
    """Run the optimizer: theta_0..theta_6 and the mini-batch losses."""
    tensors = [torch.nn.Parameter(v.clone()) for v in split(initial_parameters())]
    opt = optimizer(name, tensors)

    def flat() -> Tensor:
        return torch.cat([p.detach().flatten() for p in tensors])

    path, batch_loss = [flat()], []
    for t in range(STEPS):
        rows = batch_rows(t)
        opt.zero_grad()
        loss = cross_entropy(logits(tensors, data.x[rows]), data.y[rows])
        loss.backward()
        opt.step()
        batch_loss.append(loss.item())
        path.append(flat())
    return path, batch_loss


def losses(path: list[Tensor], data: Data) -> dict[str, Any]:
    """Losses and accuracies at theta_0..theta_6."""
    keys = ["train_loss", "test_loss", "train_accuracy", "test_accuracy", "train_class_loss"]
    out: dict[str, Any] = {key: [] for key in keys}
    for theta in path:
        for part, x, y in (("train", data.x, data.y), ("test", data.test_x, data.test_y)):
            z = logits(split(theta), x)
            each = cross_entropy(z, y, reduction="none")
            out[f"{part}_loss"].append(each.mean().item())
            out[f"{part}_accuracy"].append((z.argmax(1) == y).double().mean().item())
            if part == "train":
                out["train_class_loss"].append([each[r].mean().item() for r in data.class_rows])
    return out


def summary(path: Segment, change: float, segments: int) -> dict[str, Any]:
    """What every integrator records of a step."""
    a = path.allocate(segments)
    total = a.sum().item()
    return {
        "total": total,
        "residual": change - total,
        "layer": by_layer(a),
        "layer_error": path.layer_error(segments),
        "tensor": by_tensor(a),
        "segments": segments,
        "gradients": max(1, segments),
    }


def adapt(path: Segment, change: float, tolerance: float) -> tuple[int, list[float]]:
    """The S that ``adaptive`` ends with, and the residuals it saw on the way."""
    segments, tried = 2, [summary(path, change, 2)["residual"]]
    while abs(tried[-1]) > tolerance and segments < MAX_SEGMENTS:
        segments *= 2
        tried.append(summary(path, change, segments)["residual"])
    return segments, tried


def details(path: Segment, data: Data) -> dict[str, Any]:
    """What ``simpson`` records besides, except what looks back at earlier steps."""
    a, delta, start = path.allocate(2), path.delta, path.at(0.0)
    by_class = [
        Segment(path.start, path.end, partial(data.one_class, c)).allocate(2)
        for c in range(CLASSES)
    ]
    # The same A summed in another order: the counts must not depend on it.
    assert count(sum(by_class) < 0) == count(a < 0)
    assert count(sum(by_class) > 0) == count(a > 0)
    dots = zip(by_layer(delta * start), norms(delta), norms(start), strict=True)
    return {
        "unit": by_unit(a),
        "class_layer": [by_layer(part) for part in by_class],
        "test_layer": by_layer(Segment(path.start, path.end, data.test).allocate(2)),
        "helped": count(a < 0),
        "hurt": count(a > 0),
        "update_norm": norms(delta),
        "gradient_norm": norms(start),
        "cosine": [-dot / (u * g) for dot, u, g in dots],
        "gradient_flips": count(start * path.at(1.0) < 0),
    }


def looking_back(paths: list[Segment]) -> dict[str, Any]:
    """What ``simpson`` records that needs earlier steps, for the last of ``paths``."""
    flips = gradient_turns = turns = [0] * len(LAYERS)
    if len(paths) >= 2:
        flips = count(paths[-2].delta * paths[-1].delta < 0)
        rises = [path.at(1.0) - path.at(0.0) for path in paths[-2:]]
        gradient_turns = count(rises[0] * rises[1] < 0)
    if len(paths) >= 3:
        a, b, c = (path.allocate(2) for path in paths[-3:])
        turns = count((c - b) * (b - a) < 0)
    return {"update_flips": flips, "gradient_turns": gradient_turns, "lca_turns": turns}


def trajectory(name: str, data: Data) -> dict[str, Any]:
    """Everything recorded for one optimizer."""
    thetas, batch_loss = train(name, data)
    out: dict[str, Any] = {"tolerance": TOLERANCE[name], **losses(thetas, data)}
    out["batch_loss"] = batch_loss
    out["layer_params_l2"] = norms(thetas[-1])
    out["tensor_sum"] = by_tensor(thetas[-1])

    steps: dict[str, list[dict[str, Any]]] = {
        n: [] for n in ("first-order", "trapezoid", "simpson", "adaptive")
    }
    paths: list[Segment] = []
    for t in range(STEPS):
        path = Segment(thetas[t], thetas[t + 1], data.full)
        paths.append(path)
        change = out["train_loss"][t + 1] - out["train_loss"][t]
        segments, tried = adapt(path, change, TOLERANCE[name])
        for n, s in zip(steps, (0, 1, 2, segments), strict=True):
            steps[n].append(summary(path, change, s))
        steps["simpson"][t] |= details(path, data) | looking_back(paths)
        steps["adaptive"][t]["tried"] = tried
    # From a list of steps to a list for each key.
    out["integrators"] = {n: {k: [s[k] for s in ss] for k in ss[0]} for n, ss in steps.items()}
    return out


# Checks -----------------------------------------------------------------------


def close(a: float, b: float, what: str, tol: float = 1e-12) -> None:
    """Fail unless two numbers agree to rounding."""
    assert abs(a - b) <= tol * max(1.0, abs(a), abs(b)), f"{what}: {a!r} and {b!r}"


def check(name: str, run: dict[str, Any]) -> None:
    """What must hold of any allocation, and of this one's tolerance."""
    for t in range(STEPS):
        change = run["train_loss"][t + 1] - run["train_loss"][t]
        for n, r in run["integrators"].items():
            where = f"{name} {n} step {t}"
            close(sum(r["layer"][t]), r["total"][t], f"{where}: layers")
            close(sum(r["tensor"][t]), r["total"][t], f"{where}: tensors")
            close(r["total"][t] + r["residual"][t], change, f"{where}: residual")
        s = run["integrators"]["simpson"]
        where = f"{name} simpson step {t}"
        assert abs(s["residual"][t]) < 0.02 * abs(change) + 1e-4, where
        bounds = np.cumsum((0,) + WIDTHS[1:])
        for layer in range(3):
            total = s["layer"][t][layer]
            close(sum(c[layer] for c in s["class_layer"][t]), total, f"{where}: classes")
            units = s["unit"][t][bounds[layer] : bounds[layer + 1]]
            close(sum(units), total, f"{where}: units")
        # The held-out allocation has its own loss change, to the same accuracy.
        held_out = run["test_loss"][t + 1] - run["test_loss"][t]
        assert abs(held_out - sum(s["test_layer"][t])) < 0.05 * abs(held_out) + 1e-3, where
        for residual in run["integrators"]["adaptive"]["tried"][t]:
            ratio = abs(residual) / run["tolerance"]
            assert not 1 / MARGIN <= ratio <= MARGIN, f"{where}: {residual} is a close call"
    segments = set(run["integrators"]["adaptive"]["segments"])
    assert 2 in segments and len(segments) > 1, f"{name}: S does not vary: {segments}"


# Output -----------------------------------------------------------------------


def to_json(value: dict[str, Any]) -> str:
    """JSON with shortest round-trip floats, innermost lists on one line."""
    text = json.dumps(value, indent=1, allow_nan=False)
    return re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m[0].split()), text) + "\n"


def golden() -> dict[str, Any]:
    """Compute, check and return everything."""
    torch.set_num_threads(1)  # one order of summation
    data = Data()
    theta = initial_parameters()
    out: dict[str, Any] = {
        "parameters": P,
        "steps": STEPS,
        "layers": LAYERS,
        "tensors": TENSORS,
        "inputs": {
            "initial_first": theta[:8].tolist(),
            "initial_tensor_sum": by_tensor(theta),
            "train_pixel_sum": data.x.sum().item(),
            "test_pixel_sum": data.test_x.sum().item(),
            "train_class_count": torch.bincount(data.y, minlength=CLASSES).tolist(),
            "test_class_count": torch.bincount(data.test_y, minlength=CLASSES).tolist(),
            "batch_label_sum": [int(data.y[batch_rows(t)].sum()) for t in range(STEPS)],
        },
        "trajectories": {},
    }
    for name in TOLERANCE:
        run = trajectory(name, data)
        check(name, run)
        out["trajectories"][name] = run
    return out


def main() -> None:
    """Write the JSON and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "mnist_fc.json")
    args = parser.parse_args()
    out = golden()
    args.out.write_text(to_json(out), encoding="utf-8")
    for name, run in out["trajectories"].items():
        print(f"{name}: loss {run['train_loss'][0]:.4f} -> {run['train_loss'][-1]:.4f}")
        for n, r in run["integrators"].items():
            residuals = " ".join(f"{x:+.1e}" for x in r["residual"])
            print(f"  {n:<12} S {r['segments']}  residual {residuals}")
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
