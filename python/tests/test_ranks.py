"""Several processes with torch.distributed agree with one."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import h5py
import numpy as np
import processes
import pytest
import torch
import torch.nn.functional as F
from models import ResNet, images
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import lcascope


def train_alike(rank: int, size: int) -> list[lcascope.Step]:
    """Train on the same batch everywhere, so that the path does not depend on the number of ranks."""
    torch.manual_seed(0)
    model = ResNet(blocks=1, dropout=0.0)
    inputs, labels = images(70)
    batches = list(zip(inputs.split(16), labels.split(16), strict=True))
    held_out = [images(11), images(7)]
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    steps = []
    with lcascope.watch(
        model,
        optimizer,
        data=batches,
        loss=F.cross_entropy,
        held_out=held_out,
        lca_test=True,
        by_class=True,
        output=f"{size}.h5",
        quiet=True,
        integrator="simpson",
    ) as scope:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[:20]), labels[:20]).backward()
            optimizer.step()
            steps.append(scope.last)
    assert scope.status == "finished" and scope.output.name == f"{size}.h5"
    return steps


def close(one: dict[str, float], other: dict[str, float]) -> bool:
    scale = max(map(abs, one.values()))
    return max(abs(one[name] - other[name]) for name in one) < 1e-6 * scale


@pytest.mark.long
def test_one_two_and_four_ranks_agree(lcascope_says):
    runs = {size: processes.ranks(size, train_alike) for size in (1, 2, 4)}
    single = runs[1][0]
    assert [step.step for step in single] == [1, 2, 3]
    for size in (2, 4):
        for steps in runs[size]:
            assert steps == runs[size][0], "all ranks know the same"
            for one, other in zip(single, steps, strict=True):
                assert one.loss_after == pytest.approx(other.loss_after, rel=1e-6)
                assert one.accuracy == other.accuracy
                assert close(one.layers, other.layers) and close(one.held_out_layers, other.held_out_layers)
        with h5py.File("1.h5") as one, h5py.File(f"{size}.h5") as other:
            for name in ("lca/class_layer", "loss/train_class", "lca/unit"):
                scale = np.abs(one[name][:]).max()
                np.testing.assert_allclose(one[name][:], other[name][:], atol=2e-6 * scale)
            assert other.attrs["device"].startswith(f"{size} processes")
        lcascope_says("verify", f"{size}.h5")


def train_wrapped(rank: int, size: int) -> tuple[list[str], lcascope.Step]:
    torch.manual_seed(0)
    model = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)))
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(wrapped.parameters(), 0.1)
    inputs, labels = torch.randn(30, 6), torch.arange(30) % 3
    with lcascope.watch(
        wrapped, optimizer, data=(inputs, labels), batch_size=20, loss=F.cross_entropy, output="run.h5", quiet=True
    ) as scope:
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(wrapped(inputs[rank::size]), labels[rank::size]).backward()
            optimizer.step()
    return list(scope.last.layers), scope.last


def test_distributed_data_parallel():
    (names, one), (_, other) = processes.ranks(2, train_wrapped)
    assert names == ["0", "2"] and one.step == 2
    assert (one.layers, one.loss_after, one.seconds) == (other.layers, other.loss_after, other.seconds)
    assert abs(one.residual) < 1e-3 and one.lca < 0


def evaluate_synchronised(rank: int, size: int) -> float:
    """A batch norm that synchronises is evaluated by each rank's batches alone."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    if size > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    inputs, labels = torch.randn(30, 6), torch.arange(30) % 3
    with lcascope.watch(
        model, data=(inputs, labels), batch_size=10, loss=F.cross_entropy, output=f"{size}.h5", quiet=True
    ) as scope:
        with torch.no_grad():
            model[0].weight += 0.1
        return scope.moved().lca


def test_batch_norms_that_synchronise():
    (one,) = processes.ranks(1, evaluate_synchronised)
    two = processes.ranks(2, evaluate_synchronised)
    assert two == [pytest.approx(one, rel=1e-5)] * 2


def train_and_fail(rank: int, size: int, failing: int) -> Any:
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    batches = [(torch.randn(5, 6), torch.arange(5) % 3) for _ in range(4)]
    calls = 0

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 9 and rank == failing:
            raise ValueError("out of luck")
        return F.cross_entropy(model(batch[0]), batch[1])

    scope = lcascope.watch(model, optimizer, data=batches, loss=loss, output="run.h5", quiet=True, force=True)
    for _ in range(100):
        loss(model, batches[0]).backward()
        optimizer.step()


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one_rank_ends_all(failing: int):
    results = processes.ranks(2, train_and_fail, failing)
    assert results[failing] == "ValueError: out of luck"
    assert results[1 - failing] == f"Error: On rank {failing}: ValueError: out of luck"
    with h5py.File("run.h5") as file:
        assert file["state/status"][0] == 3
        assert "ValueError: out of luck" in file["state/message"][0].decode()


def train_without_program(rank: int, size: int) -> Any:
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = torch.randn(5, 6), torch.arange(5) % 3
    scope = lcascope.watch(model, optimizer, data=[(x, y)], loss=F.cross_entropy, output="run.h5", quiet=True)
    optimizer.step()
    if rank == 0:
        os.kill(scope._session.process_id, signal.SIGKILL)
    optimizer.step()


def test_the_programs_death_ends_all():
    own, other = processes.ranks(2, train_without_program)
    assert own == "Error: The program lcascope was killed by SIGKILL."
    assert other == "Error: On rank 0: Error: The program lcascope was killed by SIGKILL."


def train_until_stopped(rank: int, size: int) -> int:
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = torch.randn(5, 6), torch.arange(5) % 3
    steps = 0
    with lcascope.watch(model, optimizer, data=[(x, y)], loss=F.cross_entropy, output="run.h5", quiet=True) as scope:
        while not scope.stopped:
            optimizer.step()
            steps += 1
            if rank == 0 and steps == 3:
                subprocess.run([os.environ["LCASCOPE"], "stop", "run.h5"], check=True, capture_output=True)
    assert scope.status == "stopped"
    return steps


def test_stop_ends_all_at_the_same_step():
    one, other = processes.ranks(2, train_until_stopped)
    assert isinstance(one, int) and one == other >= 3


def watch_different(rank: int, size: int) -> None:
    torch.manual_seed(rank)
    model = nn.Linear(6, 3)
    lcascope.watch(model, data=[torch.zeros(2, 6)], loss=lambda model, x: model(x).mean(), output="run.h5")


def test_ranks_with_different_parameters_are_refused():
    for said in processes.ranks(2, watch_different):
        assert said.startswith("Error: The ranks have different parameters: wrap the model in DistributedDataParallel")
