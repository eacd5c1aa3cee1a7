#!/usr/bin/env python3
"""Throughput of the full-training-set gradient: this program against PyTorch.

    bench_torch.py compare --ours PATH_TO_BINARY --network NAME
        tunes PyTorch, then measures both in turn and prints a table
    bench_torch.py compare --ours PATH_TO_BINARY --network all --peak
        the same for every network, and each side's share of what this machine's
        matrix multiplications reach
    bench_torch.py worker --network NAME --threads T --batch-size B --seconds S
        measures PyTorch alone, in one process, and prints one JSON line

With ``--device cuda`` both sides run on the GPU, in float32 proper (without TF32).

Both sides do the same work: the gradient of the mean cross-entropy over all
examples, accumulated batch by batch, in float32, on random inputs of the data
set's shape. Networks with batch norm take its statistics over ``--slice-size``
examples on both sides (250 if not given): it is PyTorch's batch and our slice.

Where a choice had to be made it favours PyTorch:

* its batch size (but with batch norm), its memory format (channels last or not)
  and its use of the cores are tuned on the spot: one process with a thread a core,
  or one single-threaded process a core; with ``--compile`` the best is tried
  through ``torch.compile`` too;
* several processes each take a share of the examples and never add up their
  gradients, nor wait for each other between passes;
* the inputs are cut into batches before the clock starts, and each process warms
  up first;
* ReLU works in place, batch norm keeps no running averages, and the padding of
  convolutions with stride 2 is PyTorch's own: one zero on every side, which costs
  it no copy (ours is TensorFlow's "same", behind the image alone; the work is the
  same).

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
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn

BATCH_SIZES = (25, 50, 100, 250, 500, 1000, 2000, 5000)
NORM_SLICE = 250
TUNE_SWEEPS = 2
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
PEAK_SIZES = (512, 1024, 2048)


class Workload(NamedTuple):
    """What is measured of a network."""

    shape: tuple[int, int, int]  # of an example
    examples: int  # in a pass
    batch_sizes: tuple[int, ...]  # that PyTorch is tuned over
    norm: bool = False

    @property
    def images(self) -> bool:
        """Whether the memory format matters."""
        return self.norm or self.batch_sizes[0] < 100


MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
WORKLOADS = {
    "mnist-fc": Workload(MNIST, 10_000, BATCH_SIZES[2:]),
    "mnist-lenet": Workload(MNIST, 4_000, BATCH_SIZES[:6]),
    "cifar-resnet20": Workload(CIFAR, 1_000, (), norm=True),
    "cifar-allcnn": Workload(CIFAR, 500, (), norm=True),
    "cifar-vgg": Workload(CIFAR, 1_000, BATCH_SIZES[:5]),
}


# Worker: one PyTorch process ----------------------------------------------------


def model(network: str) -> nn.Module:
    """The network as one would write it in PyTorch."""
    from torch import nn

    def relu() -> nn.Module:
        return nn.ReLU(inplace=True)

    def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
        return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)

    def norm(channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels, track_running_stats=False)

    def dense(*widths: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(inputs, outputs), relu()]
        return layers[:-1]

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                conv(inputs, outputs, 3, stride), norm(outputs), relu(),
                conv(outputs, outputs, 3), norm(outputs),
            )  # fmt: skip
            self.shortcut = conv(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()
            self.relu = relu()

        def forward(self, x):  # noqa: ANN001, ANN202
            return self.relu(self.body(x) + self.shortcut(x))

    layers: list[nn.Module] = []
    if network == "mnist-fc":
        layers = dense(784, 100, 50, 10)
    elif network == "mnist-lenet":
        for inputs, outputs in ((1, 20), (20, 40)):
            layers += [conv(inputs, outputs, 5), relu(), nn.MaxPool2d(2)]
        layers += dense(7 * 7 * 40, 400, 10)
    elif network == "cifar-vgg":
        inputs = 3
        for group in ((32,), (64,), (128, 128), (256, 256)):
            for outputs in group:
                layers += [conv(inputs, outputs, 3), relu()]
                inputs = outputs
            layers += [nn.MaxPool2d(2)]
        layers += dense(4 * inputs, 512, 512, 10)
    elif network == "cifar-resnet20":
        layers, inputs = [conv(3, 16, 3), norm(16), relu()], 16
        for outputs in (16, 32, 64):
            for _ in range(3):
                layers += [Block(inputs, outputs, outputs // inputs)]
                inputs = outputs
        layers += [nn.AdaptiveAvgPool2d(1), *dense(64, 10)]
    elif network == "cifar-allcnn":
        inputs = 3
        for outputs, kernel, stride in (
            (96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2),
            (192, 3, 1), (192, 1, 1),
        ):  # fmt: skip
            layers += [conv(inputs, outputs, kernel, stride)]
            layers += [norm(outputs), relu()] if stride == 1 else []
            inputs = outputs
        layers += [conv(inputs, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)


def worker(args: argparse.Namespace) -> None:
    """Measure PyTorch in this process; print one JSON line."""
    import torch  # here only: the driver needs no PyTorch of its own

    torch.set_num_threads(args.threads)
    if args.peak:
        print(json.dumps({"gflops": peak(args.seconds)}), flush=True)
        return
    torch.manual_seed(0)
    # float32 proper, as ours.
    torch.backends.cudnn.allow_tf32 = False
    finish = torch.cuda.synchronize if args.device.startswith("cuda") else lambda: None
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    net = model(args.network).to(args.device, memory_format=layout)
    if args.compile:
        net = torch.compile(net)
    # Sum over the batch, then divide by the number of all examples: the batches'
    # gradients add up to the mean's, also when the last batch is smaller.
    loss = torch.nn.CrossEntropyLoss(reduction="sum")
    x = torch.rand(args.examples, *WORKLOADS[args.network].shape)
    y = torch.randint(10, (args.examples,))
    batches = [
        (bx.to(args.device).contiguous(memory_format=layout), by.to(args.device))
        for bx, by in zip(x.split(args.batch_size), y.split(args.batch_size), strict=True)
    ]

    def full_gradient() -> None:
        net.zero_grad(set_to_none=True)
        for bx, by in batches:
            (loss(net(bx), by) / args.examples).backward()
        finish()

    # Twice, or once where that takes long; compiling is part of the first.
    for _ in range(2):
        began = time.monotonic()
        full_gradient()
        if time.monotonic() - began > 1 and not args.compile:
            break
    if args.wait:
        print("ready", flush=True)
        sys.stdin.readline()

    # time.monotonic is one clock for all processes, so the driver can compare.
    times = [time.monotonic()]
    while times[-1] - times[0] < args.seconds:
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


def peak(seconds: float) -> float:
    """The most GFLOP/s of a square float32 matrix product in PyTorch."""
    import torch

    best = 0.0
    for size in PEAK_SIZES:
        a, b, c = torch.rand(size, size), torch.rand(size, size), torch.empty(size, size)
        torch.mm(a, b, out=c)
        end = time.monotonic() + seconds / len(PEAK_SIZES)
        while time.monotonic() < end:
            began = time.perf_counter()
            torch.mm(a, b, out=c)
            best = max(best, 2e-9 * size**3 / (time.perf_counter() - began))
    return best


# Driver -------------------------------------------------------------------------


class SetUp(NamedTuple):
    """A way of running PyTorch."""

    processes: int
    threads: int  # of each process
    batch_size: int
    channels_last: bool = False
    compiled: bool = False

    def __str__(self) -> str:
        """For the tables."""
        processes = "1 process" if self.processes == 1 else f"{self.processes} processes"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        text = f"{processes} x {threads}, batches of {self.batch_size}"
        text += ", channels last" if self.channels_last else ""
        return text + (", compiled" if self.compiled else "")


def shares(examples: int, processes: int) -> list[int]:
    """Split the examples as evenly as can be."""
    return [
        (examples * (i + 1)) // processes - (examples * i) // processes for i in range(processes)
    ]


def run_torch(
    setup: SetUp, network: str, examples: int, seconds: float, device: str
) -> float:
    """Samples per second of PyTorch in a set-up.

    The workers start together once all of them are ready. One process: the median
    over its passes. Several: all samples over the time from the first start to the
    last end, so that only throughput reached at the same time counts.
    """
    workers = []
    try:
        for share in shares(examples, setup.processes):
            command = [sys.executable, __file__, "worker", "--wait", "--network", network]
            command += ["--threads", str(setup.threads), "--batch-size", str(setup.batch_size)]
            command += ["--seconds", str(seconds), "--examples", str(share), "--device", device]
            command += ["--channels-last"] if setup.channels_last else []
            command += ["--compile"] if setup.compiled else []
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


def run_json(command: list[str | Path], threads: int) -> dict:
    """Run a program that prints a line of JSON last."""
    env = os.environ | {key: str(threads) for key in THREAD_VARIABLES}
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=False, env=env)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed: exit status {done.returncode}")
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as e:
        raise SystemExit(f"{command[0]}: no line of JSON ({e!r})") from e


def ours_command(args: argparse.Namespace, network: str, examples: int) -> list[str | Path]:
    """Our side's command line."""
    command = [args.ours, "--network", network, "--examples", str(examples)]
    command += ["--seconds", str(args.seconds), "--threads", str(args.threads)]
    command += ["--device", args.device]
    size = args.slice_size or (NORM_SLICE if WORKLOADS[network].norm else None)
    return command + (["--slice-size", str(size)] if size else [])


def tune(args: argparse.Namespace, network: str, examples: int) -> SetUp:
    """Try PyTorch's set-ups, print their throughput, return the best.

    Each counts with the best of its trials, so that a moment's disturbance does not
    hide the set-up that is best.
    """
    work, setups = WORKLOADS[network], []
    ways = {(1, args.threads)} if args.device != "cpu" else {(1, args.threads), (args.threads, 1)}
    for processes, each in sorted(ways):
        # A batch cannot exceed a process's share.
        largest = min(shares(examples, processes))
        sizes = [args.slice_size or NORM_SLICE] if work.norm else work.batch_sizes
        sizes = sorted({min(size, largest) for size in sizes})
        formats = (False, True) if work.images else (False,)
        setups += [SetUp(processes, each, size, last) for size in sizes for last in formats]
    print(f"Tuning PyTorch (best of {TUNE_SWEEPS} trials of {args.tune_seconds:g} s)", flush=True)
    found = dict.fromkeys(setups, 0.0)

    def attempt(setup: SetUp) -> None:
        got = run_torch(setup, network, examples, args.tune_seconds, args.device)
        found[setup] = max(found.get(setup, 0.0), got)

    for _ in range(TUNE_SWEEPS):
        for setup in setups:
            attempt(setup)
    if args.compile:
        attempt(max(found, key=found.__getitem__)._replace(compiled=True))
    for setup, throughput in found.items():
        print(f"  {setup!s:<60} {throughput:>12,.0f} samples/s")
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


def measure_peak(args: argparse.Namespace) -> float:
    """Print what matrix products of both sides' libraries reach; the best GFLOP/s."""
    command = [sys.executable, __file__, "worker", "--peak", "--network", "mnist-fc"]
    command += ["--threads", str(args.threads), "--batch-size", "1", "--seconds", "3"]
    theirs = run_json(command, args.threads)["gflops"]
    command = [args.ours, "--peak", "--threads", str(args.threads)]
    ours = run_json(command, args.threads)["gflops"]
    print("Square float32 matrix products, the best seen")
    print(f"  PyTorch     {theirs:>8.0f} GFLOP/s")
    print(f"  gemm crate  {ours:>8.0f} GFLOP/s\n", flush=True)
    return max(theirs, ours)


def examples_of(args: argparse.Namespace, network: str) -> int:
    """Examples in a pass; with batch norm a whole number of slices for every process."""
    work = WORKLOADS[network]
    examples = args.examples or work.examples
    if work.norm:
        step = (args.slice_size or NORM_SLICE) * args.threads
        examples = -(-examples // step) * step
    return examples


def compare_network(args: argparse.Namespace, network: str, peak: float | None) -> str:
    """Tune PyTorch, then alternate the two sides and print the table."""
    examples = examples_of(args, network)
    print(f"== {network}\n", flush=True)
    best = tune(args, network, examples)
    command = ours_command(args, network, examples)

    print(f"{args.rounds} rounds of {args.seconds:g} s, {examples:,} examples, samples/s")
    print(f"{'round':>6} {'ours':>14} {'PyTorch':>14} {'ratio':>8}")
    rows, last = [], {}
    for i in range(args.rounds):
        sides = {
            "ours": lambda: run_json(command, args.threads),
            "torch": lambda: run_torch(best, network, examples, args.seconds, args.device),
        }
        order = list(sides) if i % 2 == 0 else list(sides)[::-1]
        got = {side: sides[side]() for side in order}
        last = got["ours"]
        ours = float(last["samples_per_second"])
        rows.append((ours, got["torch"], ours / got["torch"]))
        print(
            f"{i + 1:>6} {ours:>14,.0f} {got['torch']:>14,.0f} {rows[-1][2]:>8.3f}",
            flush=True,
        )
    ours, torch, ratios = zip(*rows, strict=True)
    rates, middle = (statistics.median(ours), statistics.median(torch)), statistics.median(ratios)
    print(f"{'median':>6} {rates[0]:>14,.0f} {rates[1]:>14,.0f} {middle:>8.3f}")
    print(
        f"ratio ours / PyTorch: min {min(ratios):.3f}, median {middle:.3f}, max {max(ratios):.3f}"
    )
    print(f"ours: {last['engine']}, slices of {last['slice_size']}")
    work = [rate * last["flops_per_sample"] / 1e9 for rate in rates]
    share = ""
    if peak:
        share = f", {100 * work[0] / peak:.0f} % and {100 * work[1] / peak:.0f} % of the peak"
    print(f"GFLOP/s: ours {work[0]:.0f}, PyTorch {work[1]:.0f}{share}\n", flush=True)
    row = f"{network:<16} {rates[0]:>12,.0f} {rates[1]:>12,.0f}"
    row += f" {min(ratios):>7.3f} {middle:>7.3f} {max(ratios):>7.3f}"
    return row + (f" {work[0] / peak:>7.1%} {work[1] / peak:>7.1%}" if peak else "")


def compare(args: argparse.Namespace) -> None:
    """Compare one network or all."""
    describe_machine(args.threads)
    peak = measure_peak(args) if args.peak else None
    networks = list(WORKLOADS) if args.network == "all" else [args.network]
    rows = [compare_network(args, network, peak) for network in networks]
    head = f"{'network':<16} {'ours':>12} {'PyTorch':>12} {'min':>7} {'median':>7} {'max':>7}"
    print(head + (f" {'ours':>7} {'PyTorch':>7}  (share of the peak)" if peak else ""))
    print("\n".join(rows))


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
    one.add_argument("--network", choices=WORKLOADS, required=True)
    one.add_argument("--threads", type=positive, required=True)
    one.add_argument("--batch-size", type=positive, required=True)
    one.add_argument("--seconds", type=float, required=True, help="measure at least this long")
    one.add_argument("--examples", type=positive, default=1_000)
    one.add_argument("--device", default="cpu", help="cpu, or cuda[:N]")
    one.add_argument("--channels-last", action="store_true")
    one.add_argument("--compile", action="store_true", help="through torch.compile")
    one.add_argument("--peak", action="store_true", help="of matrix products, instead")
    one.add_argument("--wait", action="store_true", help="print 'ready', start on a line of input")
    one.set_defaults(run=worker)

    both = commands.add_parser("compare", help="tune PyTorch, then compare the two")
    both.add_argument("--ours", type=Path, required=True, help="our benchmark binary")
    both.add_argument("--network", choices=[*WORKLOADS, "all"], default="mnist-fc")
    both.add_argument("--device", default="cpu", help="cpu, or cuda[:N]")
    both.add_argument("--rounds", type=positive, default=5)
    both.add_argument("--examples", type=positive, help="in a pass (default: by network)")
    both.add_argument("--slice-size", type=positive, help="of ours; of both with batch norm")
    both.add_argument("--seconds", type=float, default=3.0, help="of a measurement, at least")
    both.add_argument("--tune-seconds", type=float, default=1.0, help="of a trial, at least")
    both.add_argument("--compile", action="store_true", help="try torch.compile on the best")
    both.add_argument("--peak", action="store_true", help="measure matrix products too")
    both.add_argument(
        "--threads", type=positive, default=available_cpus(), help="for both (default: all CPUs)"
    )
    both.set_defaults(run=compare)

    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
