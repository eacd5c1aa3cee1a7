"""Measures what a watched step costs beside the gradients that it needs: `just bench-python`.

A step that is allocated needs a few gradients of the loss over all examples, usually two. Everything else is the cost
of lcascope: points between the weights, the way to the program, its sums, and the file. Gradients and steps are timed
in turn, in one process, and the medians compared:

    gradient      seconds of one gradient, by the model alone
    step          seconds of one allocated step
    beside        seconds of a step that are not those of its gradients, and what share of these they are

What a step costs beside its gradients does not depend on the number of examples. It is therefore measured with four of
them, where it is not lost in the variation of the gradients. Its share of the gradients is smaller for more examples.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import lcascope
import torch
from models import Subject, gpt, resnet18
from torch import Tensor

Batches = list[tuple[Tensor, Tensor]]


def main() -> None:
    options = parsed()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    # Of classes without examples, where there are only four.
    warnings.simplefilter("ignore")
    small = options.small
    examples = options.examples or (1000 if small else 256)
    subjects: dict[str, Callable[[], Subject]] = {
        "resnet18": lambda: resnet18(examples, 16 if small else 64),
        "gpt": lambda: gpt(max(1, examples // 4), *((128, 2, 64) if small else (384, 6, 256))),
    }
    print(f"PyTorch {torch.__version__} on {options.device}, {torch.get_num_threads()} threads")
    print(f"{'model':10}{'parameters':>12}{'examples':>10}{'gradient':>12}{'step':>12}{'gradients':>11}{'beside':>20}")
    for name in options.models:
        subject = subjects[name]()
        row = measured(subject, options.batch_size, options.steps, options.device)
        few = replace(subject, inputs=subject.inputs[:4], targets=subject.targets[:4])
        small_row = measured(few, 4, 5 * options.steps, options.device)
        parameters = sum(parameter.numel() for parameter in subject.model.parameters())
        extra = small_row.step - small_row.gradients * small_row.gradient
        beside = f"{extra:.3f} s {100 * extra / (row.gradients * row.gradient):7.2f} %"
        print(
            f"{name:10}{parameters:12}{len(subject.inputs):10}{row.gradient:10.3f} s{row.step:10.3f} s"
            f"{row.gradients:11.2f}{beside:>20}",
            flush=True,
        )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="just bench-python", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=["resnet18", "gpt"], default=["resnet18", "gpt"])
    parser.add_argument("--small", action="store_true", help="models of under a million parameters")
    parser.add_argument("--examples", type=int, help="images, and four times the sequences [default: 256, small 1000]")
    parser.add_argument("--batch-size", type=int, default=64, help="examples evaluated together [default: 64]")
    parser.add_argument("--steps", type=int, default=7, help="steps to take the median of [default: 7]")
    parser.add_argument("--threads", type=int, help="threads of PyTorch [default: its own]")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


class Row:
    """Medians over the steps, and the mean number of gradients of a step."""

    def __init__(self, gradients: Sequence[float], steps: Sequence[float], counts: Sequence[int]) -> None:
        self.gradient = statistics.median(gradients)
        self.step = statistics.median(steps)
        self.gradients = statistics.mean(counts)


def measured(subject: Subject, batch_size: int, steps: int, device: str) -> Row:
    """Take steps of SGD and time, in turn, a gradient by the model alone and the allocation of the step."""
    model = subject.model.to(device)
    data = subject.inputs.to(device), subject.targets.to(device)
    batches = list(zip(*(part.split(batch_size) for part in data), strict=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    gradients, allocations, counts = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        scope = lcascope.watch(
            model,
            data=batches,
            loss=subject.loss,
            output=Path(folder) / "bench.h5",
            integrator="simpson",
            test_every=steps + 2,
            quiet=True,
        )
        with scope:
            for step in range(steps + 1):
                optimizer.zero_grad()
                gradient = seconds(lambda: accumulate(model, subject.loss, batches), device)
                optimizer.step()
                allocation = seconds(scope.moved, device)
                # The first is to get warm.
                if step > 0:
                    gradients.append(gradient)
                    allocations.append(allocation)
                    counts.append(scope.last.gradients)
    return Row(gradients, allocations, counts)


def accumulate(model: torch.nn.Module, loss: Callable[[Tensor, Tensor], Tensor], batches: Batches) -> None:
    """Add up the gradient over all batches, as the model is evaluated for the loss."""
    model.eval()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.train()
    examples = sum(len(inputs) for inputs, _ in batches)
    for inputs, targets in batches:
        (loss(model(inputs), targets) * (len(inputs) / examples)).backward()


def seconds(work: Callable[[], object], device: str) -> float:
    """Time work on a device."""
    synchronize = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    synchronize()
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start


main()
