"""A model in single precision, evaluated in double precision."""

from __future__ import annotations

from collections.abc import Callable

import h5py
import processes
import pytest
import torch
import torch.nn.functional as F
from models import ResNet, images
from reference import Reference, by_layer, largest_difference, parameters_of
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import lcascope


class Reader(nn.Module):
    """A frozen embedding, an LSTM, a layer whose weight is used twice, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 6).requires_grad_(False)
        self.lstm = nn.LSTM(6, 6, batch_first=True)
        self.tied = nn.Linear(6, 6)
        self.last = nn.Linear(6, 3)
        self.register_buffer("scale", torch.tensor(0.7))
        self.again = nn.Linear(6, 6, bias=False)
        self.again.weight = self.tied.weight

    def forward(self, tokens: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(self.embedding(tokens) * self.scale)
        return self.last(self.again(torch.relu(self.tied(hidden[0]))))


def weighted(weight: Tensor) -> Callable[[nn.Module, tuple[Tensor, Tensor]], Tensor]:
    return lambda model, batch: F.cross_entropy(model(batch[0]), batch[1], weight=weight)


@pytest.mark.parametrize("whole", [False, True], ids=["of-the-model", "of-the-output"])
def test_all_parts_of_a_model_and_the_loss_are_in_double_precision(whole: bool):
    model = Reader()
    inputs, labels = torch.randint(0, 7, (12, 5)), torch.arange(12) % 3
    weight = torch.tensor([1.0, 2.0, 0.5])
    reference = Reference(model, lambda module: weighted(weight.double())(module, (inputs, labels)))
    loss = nn.CrossEntropyLoss(weight=weight) if whole else weighted(weight.double())
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], 0.03)
    with lcascope.watch(
        model, optimizer, data=[(inputs, labels)], loss=loss, precision="float64", output="run.h5", quiet=True
    ) as scope:
        for _ in range(3):
            before = parameters_of(model)
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            expected = by_layer(reference.allocate(before, parameters_of(model), scope.last.segments))
            # What the program knows of a gradient is float32.
            assert largest_difference(scope.last.layers, expected) < 1e-6
            assert scope.last.loss_before == pytest.approx(reference.losses_at(before).item(), rel=1e-13)
    assert all(value.dtype == torch.float32 for value in [*model.parameters(), *model.buffers()])
    assert weight.dtype == torch.float32
    with h5py.File("run.h5") as file:
        assert "in double precision" in file.attrs["device"]


def test_the_path_is_that_of_an_unwatched_training():
    def train(watched: bool) -> list[bytes]:
        torch.manual_seed(0)
        model = ResNet(dropout=0.3)
        called: list[int] = []
        model.fc.weight.register_post_accumulate_grad_hook(lambda parameter: called.append(parameter.numel()))
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        inputs, labels = images(20)
        if watched:
            scope = lcascope.watch(
                model,
                optimizer,
                data=(inputs, labels),
                loss=F.cross_entropy,
                precision="float64",
                output="run.h5",
                quiet=True,
            )
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        if watched:
            assert scope.last.step == 3
            scope.close()
        assert called == [model.fc.weight.numel()] * 3
        return [value.detach().numpy().tobytes() for value in model.state_dict().values()]

    assert train(True) == train(False)


def train_on_own_examples(rank: int, size: int) -> tuple[list[float], lcascope.Step]:
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    inputs, labels = torch.randn(30, 6), torch.arange(30) % 3
    with lcascope.watch(
        model,
        optimizer,
        data=(inputs, labels),
        batch_size=10,
        loss=F.cross_entropy,
        precision="float64",
        output="run.h5",
        quiet=True,
    ) as scope:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[rank::size]), labels[rank::size]).backward()
            optimizer.step()
    return torch.nn.utils.parameters_to_vector(model.parameters()).tolist(), scope.last


def test_processes_still_add_their_gradients():
    (one, last), (other, _) = processes.ranks(2, train_on_own_examples)
    assert one == other and last.step == 3 and last.lca < 0


def test_a_loss_that_holds_parameters_itself_is_refused():
    model = nn.Linear(6, 3)
    held = model.weight
    given = {"data": [(torch.randn(20, 6), torch.arange(20) % 3)], "precision": "float64", "output": "run.h5"}
    with pytest.raises(lcascope.Error, match=r"loss holds parameters of the model itself.*ask the model for them"):
        lcascope.watch(model, loss=lambda out, target: F.cross_entropy(out, target) + held.square().mean(), **given)
    given |= {"force": True, "quiet": True}
    with lcascope.watch(
        model, loss=lambda out, target: F.cross_entropy(out, target) + model.weight.square().mean(), **given
    ) as scope:
        with scope.step(), torch.no_grad():
            model.weight *= 0.9
        assert scope.last.lca < 0
