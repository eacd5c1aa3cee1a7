#!/usr/bin/env python3
"""A whole LCA run against a straightforward PyTorch program: the same numbers, and the time.

    lca_torch.py --ours PATH_TO_LCASCOPE --data FOLDER_WITH_MNIST

needs torch, numpy and h5py. It trains a network with this program (SGD, Simpson's
rule, all weights recorded), then

1. takes some steps of that path, theta_t to theta_{t+1} as recorded, and computes in
   PyTorch what they allocate to each layer, and both ends' losses. Nothing but
   rounding to float32 may differ: 1e-7 or so, and up to 1e-4 in a step where it
   puts a ReLU or a pool of some example on the other side of its kink;
2. lets PyTorch do the same amount of work from the same start: in every step a
   mini-batch, SGD, the full gradient at the middle and at the end, the held-out loss
   where our run took it, and the allocation by layer. It draws its own mini-batches;
3. prints both times.

Our time is the program's whole run, with reading the data and writing the run file
(and, beside it, its training alone); PyTorch's begins when the data are in memory,
batches are cut and it is warm. Its
batch size for full gradients and its memory format are tuned before.

``--run FILE`` takes a run file that is there already, and its own times, instead of
training; it must have been made with ``--integrator simpson --record-weights 1``
(and ``--compression none`` or deflate, unless hdf5plugin is installed).
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import subprocess
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from bench_torch import available_cpus, model, positive

with contextlib.suppress(ImportError):
    import hdf5plugin  # noqa: F401

NETWORKS = ("mnist-fc", "mnist-lenet")
BATCH_SIZES = (50, 100, 250, 500, 1000, 2500)
TUNE_EXAMPLES = 5000


# The data and the run file --------------------------------------------------------


def idx(folder: Path, name: str, header: int) -> np.ndarray:
    """The bytes of an IDX file, plain or gzipped."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            data = path.read_bytes()
            data = gzip.decompress(data) if path.suffix == ".gz" else data
            return np.frombuffer(data, np.uint8)[header:]
    raise SystemExit(f"no {name} or {name}.gz in {folder}")


def mnist(folder: Path, part: str, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Images [N, 1, 28, 28] in [0, 1] and labels of the given rows."""
    pixels = idx(folder, f"{part}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)[rows]
    labels = idx(folder, f"{part}-labels-idx1-ubyte", 8)[rows]
    x = pixels.astype(np.float32) / np.float32(255)
    return torch.from_numpy(x), torch.from_numpy(labels.astype(np.int64))


class Run(NamedTuple):
    """What a run file says that is needed here."""

    network: str
    config: dict
    train_rows: np.ndarray
    test_rows: np.ndarray
    layers: list[str]
    tensor_layer: np.ndarray  # [K]
    shapes: list[tuple[int, ...]]
    weights: h5py.Dataset  # [T + 1, P]
    loss: np.ndarray  # [T + 1]
    test_loss: np.ndarray  # [T + 1], NaN where not evaluated
    layer: np.ndarray  # [T, L]
    seconds: float

    @property
    def steps(self) -> int:
        """T."""
        return len(self.layer)


def read(file: h5py.File) -> Run:
    """Read a run file; stop if it is not one that can be compared."""
    network, rule = file.attrs["network"], file.attrs["integrator"]
    if network not in NETWORKS:
        raise SystemExit(f"the run is of {network}; this knows {' and '.join(NETWORKS)}")
    if rule != "simpson":
        raise SystemExit(f"the run's integrator is {rule}: make it with --integrator simpson")
    if "data/lca_index" in file:
        raise SystemExit("the run's loss is of some training examples: make it without --lca-size")
    layer = file["lca/layer"][:]
    steps = file["weight/step"][:] if "weight/step" in file else []
    if list(steps) != list(range(len(layer) + 1)):
        raise SystemExit("the run does not have every step's weights: --record-weights 1")
    shapes = [tuple(int(n) for n in shape if n) for shape in file["layout/tensor/shape"][:]]
    return Run(
        network,
        tomllib.loads(file.attrs["config"]),
        file["data/train_index"][:],
        file["data/test_index"][:],
        [name.decode().rstrip("\0") for name in file["layout/layer/name"][:]],
        file["layout/tensor/layer"][:].astype(int),
        shapes,
        file["weight/value"],
        file["loss/train"][:],
        file["loss/test"][:],
        layer,
        float(file["step/seconds"][-1]),
    )


def train(args: argparse.Namespace, output: Path) -> float:
    """Let our program train; its wall time in seconds."""
    command = [args.ours, "train", args.network, "--data", args.data, "--output", output]
    command += ["--train-size", args.train_size, "--validation-size", args.validation_size]
    command += ["--steps", args.steps, "--integrator", "simpson", "--record-weights", 1]
    command += ["--threads", args.threads, "--quiet", "--force"]
    command += ["--compression", "none"]  # what h5py alone can read
    began = time.monotonic()
    done = subprocess.run([str(word) for word in command], check=False)
    if done.returncode != 0:
        raise SystemExit(f"{args.ours} failed: exit status {done.returncode}")
    return time.monotonic() - began


# LCA in PyTorch -------------------------------------------------------------------


class Program:
    """Training with Loss Change Allocation, as one would write it in PyTorch."""

    def __init__(self, run: Run, x: Tensor, y: Tensor, batch_size: int, last: bool) -> None:
        """``batch_size``, ``last``: of full gradients, and whether channels are last."""
        layout = torch.channels_last if last else torch.contiguous_format
        self.run, self.net = run, model(run.network).to(memory_format=layout)
        self.parameters = list(self.net.parameters())
        shapes = [tuple(p.shape) for p in self.parameters]
        assert shapes == run.shapes, f"another network: {shapes}, {run.shapes}"
        self.x, self.y = x.contiguous(memory_format=layout), y
        self.batches = list(zip(self.x.split(batch_size), y.split(batch_size), strict=True))
        self.loss = nn.CrossEntropyLoss(reduction="sum")

    def set(self, values: list[Tensor]) -> None:
        """Move to these parameters."""
        with torch.no_grad():
            for p, value in zip(self.parameters, values, strict=True):
                p.copy_(value)

    def get(self) -> list[Tensor]:
        """A copy of the parameters."""
        return [p.detach().clone() for p in self.parameters]

    def recorded(self, step: int) -> list[Tensor]:
        """The parameters before a step of the recorded run."""
        flat = torch.from_numpy(self.run.weights[step])
        parts = flat.split([p.numel() for p in self.parameters])
        return [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    def full_gradient(self) -> tuple[float, list[Tensor]]:
        """Mean loss over all examples, and its gradient, at the parameters."""
        self.net.zero_grad(set_to_none=True)
        total, n = 0.0, len(self.y)
        for bx, by in self.batches:
            loss = self.loss(self.net(bx), by) / n
            loss.backward()
            total += loss.item()
        return total, [p.grad.clone() for p in self.parameters]

    def allocate(
        self, start: list[Tensor], end: list[Tensor], before: list[Tensor]
    ) -> tuple[np.ndarray, float, list[Tensor]]:
        """A of each layer by Simpson's rule; the loss and the gradient at the end.

        ``before``: the gradient at the start. Leaves the parameters at the end.
        """
        self.set([(a + b) / 2 for a, b in zip(start, end, strict=True)])
        _, middle = self.full_gradient()
        self.set(end)
        loss, after = self.full_gradient()
        layers = np.zeros(len(self.run.layers))
        tensors = zip(start, end, before, middle, after, strict=True)
        for layer, (a, b, g0, g1, g2) in zip(self.run.tensor_layer, tensors, strict=True):
            mean = (g0.double() + 4 * g1.double() + g2.double()) / 6
            layers[layer] += ((b.double() - a.double()) * mean).sum().item()
        return layers, loss, after

    def train(self, steps: int, test: tuple[Tensor, Tensor]) -> tuple[float, float]:
        """Train from the recorded start; the loss at the end, and the seconds it took."""
        config, generator = self.run.config, torch.Generator().manual_seed(0)
        optimizer = torch.optim.SGD(
            self.parameters,
            lr=config["learning_rate"],
            momentum=config.get("momentum", 0.0),
            weight_decay=config.get("weight_decay", 0.0),
        )
        n, size = len(self.y), config["batch_size"]
        self.set(self.recorded(0))
        began = time.monotonic()
        loss, gradient = self.full_gradient()
        rows = torch.randperm(n, generator=generator)
        at = 0
        for step in range(steps):
            if at + size > n:
                rows, at = torch.randperm(n, generator=generator), 0
            batch, at = rows[at : at + size], at + size
            start = self.get()
            optimizer.zero_grad()
            (self.loss(self.net(self.x[batch]), self.y[batch]) / size).backward()
            optimizer.step()
            _, loss, gradient = self.allocate(start, self.get(), gradient)
            if np.isfinite(self.run.test_loss[step + 1]):
                self.held_out_loss(*test)
        return loss, time.monotonic() - began

    @torch.no_grad()
    def held_out_loss(self, x: Tensor, y: Tensor) -> float:
        """Mean loss over the test examples."""
        size = len(self.batches[0][1])
        parts = zip(x.split(size), y.split(size), strict=True)
        return sum(self.loss(self.net(bx), by).item() for bx, by in parts) / len(y)


def tune(run: Run, x: Tensor, y: Tensor) -> tuple[int, bool]:
    """The batch size and memory format with the fastest full gradient."""
    x, y = x[:TUNE_EXAMPLES], y[:TUNE_EXAMPLES]
    best: tuple[float, int, bool] = (np.inf, 0, False)
    for size in BATCH_SIZES:
        for last in (False, True) if "lenet" in run.network else (False,):
            program = Program(run, x, y, size, last)
            program.set(program.recorded(0))
            program.full_gradient()
            seconds = np.inf
            for _ in range(3):
                began = time.monotonic()
                program.full_gradient()
                seconds = min(seconds, time.monotonic() - began)
            best = min(best, (seconds, size, last))
    seconds, size, last = best
    print(
        f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads: full gradients in "
        f"batches of {size}{', channels last' if last else ''} "
        f"({len(y) / seconds:,.0f} examples/s)",
        flush=True,
    )
    return size, last


# The comparison -------------------------------------------------------------------


def agreement(program: Program, run: Run, checks: int) -> None:
    """Compare some steps of the recorded path."""
    steps = np.unique(np.linspace(0, run.steps - 1, min(checks, run.steps)).astype(int))
    print(f"\nThe recorded path in PyTorch, float32: {len(steps)} of {run.steps} steps")
    print(f"{'step':>6} {'largest A':>12} {'error':>9} {'loss error':>11}   worst layer")
    worst, worst_loss, gradients = 0.0, 0.0, 0
    began, cpu = time.monotonic(), time.process_time()
    reached, end_loss, gradient = -1, 0.0, []
    for t in steps:
        start, end = program.recorded(t), program.recorded(t + 1)
        # A step's end is the next one's start.
        loss = end_loss
        if reached != t:
            program.set(start)
            loss, gradient = program.full_gradient()
            gradients += 1
        layers, end_loss, gradient = program.allocate(start, end, gradient)
        reached, gradients = t + 1, gradients + 2
        largest = np.abs(run.layer[t]).max()
        errors = np.abs(layers - run.layer[t]) / largest
        loss_error = max(abs(loss / run.loss[t] - 1), abs(end_loss / run.loss[t + 1] - 1))
        worst, worst_loss = max(worst, errors.max()), max(worst_loss, loss_error)
        print(
            f"{t:>6} {largest:>12.3e} {errors.max():>9.1e} {loss_error:>11.1e}"
            f"   {run.layers[int(errors.argmax())]}",
            flush=True,
        )
    began, cpu = time.monotonic() - began, time.process_time() - cpu
    print(f"{gradients} full gradients in {began:.1f} s, {cpu:.1f} s of processor time")
    print(f"largest error of a layer: {worst:.1e} of the step's largest |A|")
    print(f"largest error of a loss: {worst_loss:.1e}, relative", flush=True)


def compare(args: argparse.Namespace, path: Path, wall: float | None) -> None:
    """Agreement, then time."""
    with h5py.File(path) as file:
        run = read(file)
        ours = run.seconds if wall is None else wall  # of it, run.seconds are training
        print(f"{run.network}, {len(run.train_rows):,} training examples, {run.steps} steps")
        print(
            f"our run took {ours:.1f} s ({run.seconds:.1f} s to its last step), {file.attrs['device']}"
        )
        x, y = mnist(args.data, "train", run.train_rows)
        test = mnist(args.data, "t10k", run.test_rows)
        size, last = tune(run, x, y)
        program = Program(run, x, y, size, last)
        agreement(program, run, args.checks)
        if args.no_timing:
            return
        steps = min(args.time_steps or run.steps, run.steps)
        loss, theirs = program.train(steps, test)
        # A run has one full gradient at its start, and two a step.
        whole = theirs * (1 + 2 * run.steps) / (1 + 2 * steps)
        print(f"\n{'':>10} {'seconds':>9} {'loss at the end':>16}")
        print(f"{'ours':>10} {ours:>9.1f} {run.loss[-1]:>16.4f}")
        print(f"{'PyTorch':>10} {whole:>9.1f} {loss:>16.4f}", end="")
        print(f"   ({theirs:.1f} s for {steps} steps)" if steps < run.steps else "")
        print(
            f"PyTorch's time is {whole / ours:.2f} times ours "
            f"({whole / run.seconds:.2f} times without our start and end)"
        )


def main() -> None:
    """Parse the command line, train, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--ours", type=Path, help="our program: train with it")
    source.add_argument("--run", type=Path, help="a run file, instead of training")
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's IDX files")
    parser.add_argument("--network", choices=NETWORKS, default="mnist-lenet")
    parser.add_argument("--steps", type=positive, default=100)
    parser.add_argument("--train-size", type=positive, default=55_000)
    parser.add_argument("--validation-size", type=int, default=5_000)
    parser.add_argument("--threads", type=positive, default=available_cpus(), help="of both")
    parser.add_argument("--checks", type=positive, default=5, help="steps to compare")
    parser.add_argument(
        "--time-steps", type=positive, help="of PyTorch's run, if fewer; then scaled up"
    )
    parser.add_argument("--no-timing", action="store_true", help="agreement alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.run:
        compare(args, args.run, None)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5"
        wall = train(args, path)
        compare(args, path, wall)


if __name__ == "__main__":
    main()
