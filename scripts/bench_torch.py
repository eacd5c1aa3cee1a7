#!/usr/bin/env python3
"""Throughput of the full-training-set gradient: this program against PyTorch.

    bench_torch.py worker --threads T --batch-size B --seconds S
        measures PyTorch alone, in one process, and prints one JSON line
    bench_torch.py compare --ours PATH_TO_BINARY
        tunes PyTorch, then measures both in turn and prints a table

Both sides do the same work: the gradient of the mean cross-entropy over all
examples, accumulated batch by batch, for ``mnist-fc`` (784-100-50-10, ReLU) in
float32. PyTorch runs eagerly on random inputs of MNIST's shape.

Where a choice had to be made it favours PyTorch:

* its batch size and its use of the cores are tuned on the spot: one process with
  a thread a core, or one single-threaded process a core;
* several processes each take a share of the examples and never add up their
  gradients, nor wait for each other between passes;
* the inputs are cut into batches before the clock starts, and each process warms
  up first.

Rounds alternate which side goes first, so that a drift of the machine (heat,
neighbours) does not favour one. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

WIDTHS = (784, 100, 50, 10)
BATCH_SIZES = (100, 250, 500, 1000, 2000, 5000)
TUNE_SWEEPS = 2
WARM_UP_PASSES = 3
MIN_PASSES = 3
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


# Worker: one PyTorch process ----------------------------------------------------


def worker(args: argparse.Namespace) -> None:
    """Measure PyTorch in this process; print one JSON line."""
    import torch  # here only: the driver needs no PyTorch of its own
    from torch import nn

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    # Sum over the batch, then divide by the number of all examples: the batches'
    # gradients add up to the mean's, also when the last batch is smaller.
    loss = nn.CrossEntropyLoss(reduction="sum")
    x = torch.rand(args.examples, WIDTHS[0])
    y = torch.randint(WIDTHS[-1], (args.examples,))
    batches = list(zip(x.split(args.batch_size), y.split(args.batch_size), strict=True))

    def full_gradient() -> None:
        model.zero_grad(set_to_none=True)
        for bx, by in batches:
            (loss(model(bx), by) / args.examples).backward()

    for _ in range(WARM_UP_PASSES):
        full_gradient()
    if args.wait:
        print("ready", flush=True)
        sys.stdin.readline()

    # time.monotonic is one clock for all processes, so the driver can compare.
    times = [time.monotonic()]
    while times[-1] - times[0] < args.seconds or len(times) <= MIN_PASSES:
        full_gradient()
        times.append(time.monotonic())
    passes = [b - a for a, b in zip(times, times[1:], strict=False)]
    result = {
        "samples_per_second": args.examples / statistics.median(passes),
        "samples": args.examples * len(passes),
        "passes": len(passes),
        "start": times[0],
        "end": times[-1],
        "threads": args.threads,
        "batch_size": args.batch_size,
        "torch": torch.__version__,
    }
    print(json.dumps(result), flush=True)


# Driver -------------------------------------------------------------------------


class SetUp(NamedTuple):
    """A way of running PyTorch."""

    processes: int
    threads: int  # of each process
    batch_size: int

    def __str__(self) -> str:
        """For the tables."""
        processes = "1 process" if self.processes == 1 else f"{self.processes} processes"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{processes} x {threads}, batches of {self.batch_size}"


def shares(examples: int, processes: int) -> list[int]:
    """Split the examples as evenly as can be."""
    return [
        (examples * (i + 1)) // processes - (examples * i) // processes for i in range(processes)
    ]


def run_torch(setup: SetUp, examples: int, seconds: float) -> float:
    """Samples per second of PyTorch in a set-up.

    The workers start together once all of them are ready. One process: the median
    over its passes. Several: all samples over the time from the first start to the
    last end, so that only throughput reached at the same time counts.
    """
    workers = []
    try:
        for share in shares(examples, setup.processes):
            command = [sys.executable, __file__, "worker", "--wait"]
            command += ["--threads", str(setup.threads), "--batch-size", str(setup.batch_size)]
            command += ["--seconds", str(seconds), "--examples", str(share)]
            # OpenMP and MKL read these before set_num_threads is called.
            env = os.environ | {key: str(setup.threads) for key in THREAD_VARIABLES}
            workers.append(
                subprocess.Popen(
                    command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
        for w in workers:
            if w.stdout.readline() != "ready\n":
                raise SystemExit("a PyTorch worker failed to start")
        for w in workers:
            w.stdin.write("go\n")
            w.stdin.flush()
        results = []
        for w in workers:
            out, _ = w.communicate()
            if w.returncode != 0:
                raise SystemExit(f"a PyTorch worker failed: exit status {w.returncode}")
            results.append(json.loads(out))
    finally:
        for w in workers:
            if w.poll() is None:
                w.kill()
                w.wait()
    if setup.processes == 1:
        return results[0]["samples_per_second"]
    wall = max(r["end"] for r in results) - min(r["start"] for r in results)
    return sum(r["samples"] for r in results) / wall


def run_ours(binary: Path, examples: int, seconds: float, threads: int) -> float:
    """Samples per second of our binary, from the last line that it prints."""
    command = [binary, "--examples", str(examples), "--seconds", str(seconds)]
    command += ["--threads", str(threads)]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{binary} failed: exit status {done.returncode}")
    lines = done.stdout.strip().splitlines()
    try:
        return float(json.loads(lines[-1])["samples_per_second"])
    except (IndexError, KeyError, TypeError, ValueError) as e:
        raise SystemExit(f"{binary}: no JSON line with samples_per_second ({e!r})") from e


def tune(threads: int, examples: int, seconds: float) -> SetUp:
    """Try PyTorch's set-ups, print their throughput, return the best.

    Each counts with the best of its trials, so that a moment's disturbance does not
    hide the set-up that is best.
    """
    setups = []
    for processes, each in sorted({(1, threads), (threads, 1)}):
        # A batch cannot exceed a process's share.
        largest = min(shares(examples, processes))
        sizes = sorted({min(size, largest) for size in BATCH_SIZES})
        setups += [SetUp(processes, each, size) for size in sizes]
    print(f"Tuning PyTorch (best of {TUNE_SWEEPS} trials of {seconds:g} s)", flush=True)
    found = dict.fromkeys(setups, 0.0)
    for _ in range(TUNE_SWEEPS):
        for setup in setups:
            found[setup] = max(found[setup], run_torch(setup, examples, seconds))
    for setup, throughput in found.items():
        print(f"  {setup!s:<44} {throughput:>12,.0f} samples/s")
    best = max(found, key=found.__getitem__)
    print(f"  best: {best}\n", flush=True)
    return best


def describe_machine(threads: int) -> None:
    """Print what the numbers were taken on."""
    model = "unknown CPU"
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    version = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.__version__)"],
        text=True,
        stdout=subprocess.PIPE,
        check=False,
    ).stdout.strip()
    if not version:
        raise SystemExit(f"{sys.executable} cannot import torch")
    load = ""
    if hasattr(os, "getloadavg"):
        load = f", load average {os.getloadavg()[0]:.2f} before the start"
    print(f"{model}, {threads} threads used{load}\nPyTorch {version}\n", flush=True)


def compare(args: argparse.Namespace) -> None:
    """Tune PyTorch, then alternate the two sides and print the table."""
    describe_machine(args.threads)
    best = tune(args.threads, args.examples, args.tune_seconds)

    print(f"{args.rounds} rounds of {args.seconds:g} s, {args.examples:,} examples, samples/s")
    print(f"{'round':>6} {'ours':>14} {'PyTorch':>14} {'ratio':>8}")
    rows = []
    for i in range(args.rounds):
        sides = {
            "ours": lambda: run_ours(args.ours, args.examples, args.seconds, args.threads),
            "torch": lambda: run_torch(best, args.examples, args.seconds),
        }
        order = list(sides) if i % 2 == 0 else list(sides)[::-1]
        got = {side: sides[side]() for side in order}
        rows.append((got["ours"], got["torch"], got["ours"] / got["torch"]))
        print(
            f"{i + 1:>6} {got['ours']:>14,.0f} {got['torch']:>14,.0f} {rows[-1][2]:>8.3f}",
            flush=True,
        )
    ours, torch, ratios = zip(*rows, strict=True)
    middle = statistics.median(ratios)
    print(
        f"{'median':>6} {statistics.median(ours):>14,.0f} {statistics.median(torch):>14,.0f}"
        f" {middle:>8.3f}"
    )
    print(
        f"ratio ours / PyTorch: min {min(ratios):.3f}, median {middle:.3f}, max {max(ratios):.3f}"
    )


def available_cpus() -> int:
    """The CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def positive(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def main() -> None:
    """Parse the command line and run the subcommand."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("worker", help="measure PyTorch in this process")
    one.add_argument("--threads", type=positive, required=True)
    one.add_argument("--batch-size", type=positive, required=True)
    one.add_argument("--seconds", type=float, required=True, help="measure at least this long")
    one.add_argument("--examples", type=positive, default=10_000)
    one.add_argument("--wait", action="store_true", help="print 'ready', start on a line of input")
    one.set_defaults(run=worker)

    both = commands.add_parser("compare", help="tune PyTorch, then compare the two")
    both.add_argument("--ours", type=Path, required=True, help="our benchmark binary")
    both.add_argument("--rounds", type=positive, default=5)
    both.add_argument("--examples", type=positive, default=10_000)
    both.add_argument("--seconds", type=float, default=3.0, help="of a measurement")
    both.add_argument("--tune-seconds", type=float, default=1.0, help="of a trial")
    both.add_argument(
        "--threads", type=positive, default=available_cpus(), help="for both (default: all CPUs)"
    )
    both.set_defaults(run=compare)

    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
