"""A watched training takes the path of an unwatched one, to the bit."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from models import ResNet, images
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lcascope


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[tuple[str, Any]]:
    """Everything that a training has, as bytes and plain values."""
    tensors = [*model.state_dict().items(), *((name, p.grad) for name, p in model.named_parameters())]
    state = [(name, None if value is None else value.numpy().tobytes()) for name, value in tensors]
    for index, own in optimizer.state_dict()["state"].items():
        state += [(f"{index}.{key}", value.numpy().tobytes()) for key, value in own.items()]
    state += [(name, module.training) for name, module in model.named_modules()]
    state += [(name, p.requires_grad) for name, p in model.named_parameters()]
    state.append(("torch", torch.get_rng_state().numpy().tobytes()))
    state.append(("numpy", np.random.get_state()[1].tobytes()))
    state.append(("python", random.getstate()))
    return state


class Noisy(TensorDataset):
    """Augments by all kinds of random numbers."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = super().__getitem__(index)
        return x + 0.01 * torch.randn_like(x) + 0.01 * np.random.rand() + 0.01 * random.random(), y


@pytest.mark.parametrize("workers", [0, 2])
def test_path_is_that_of_an_unwatched_training(workers: int):
    def train(watched: bool) -> list[list[tuple[str, Any]]]:
        torch.manual_seed(3)
        np.random.seed(3)
        random.seed(3)
        model = ResNet(dropout=0.3)
        for parameter in model.layers[0].parameters():
            parameter.requires_grad_(False)
        dataset = Noisy(*images(48))
        loader = DataLoader(dataset, 16, shuffle=True, num_workers=workers)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        if watched:
            scope = lcascope.watch(
                model, optimizer, data=loader, loss=F.cross_entropy, output="run.h5", quiet=True, integrator="simpson"
            )
        model.layers[1].eval()
        states = []
        for _ in range(2):
            for x, y in loader:
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16):
                    loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                states.append(state_of(model, optimizer))
        if watched:
            assert scope.last.step == 6
            scope.close()
            states.append(state_of(model, optimizer))
        else:
            states.append(states[-1])
        return states

    watched, unwatched = train(True), train(False)
    for own, other in zip(watched[:-1], unwatched[:-1], strict=True):
        for (name, value), (_, other_value) in zip(own, other, strict=True):
            assert value == other_value, name


def test_a_graph_from_before_the_step_can_still_be_used():
    """As in adversarial training: the generator's graph is made before the discriminator's step."""
    generator, discriminator = nn.Linear(3, 3), nn.Linear(3, 1)
    both = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
    optimizer = torch.optim.SGD(discriminator.parameters(), 0.1)
    x = torch.randn(8, 3)
    with lcascope.watch(
        both,
        optimizer,
        data=[x],
        loss=lambda model, batch: model["discriminator"](model["generator"](batch)).mean(),
        output="run.h5",
        quiet=True,
    ):
        fake = generator(x)
        fake_loss = (fake * generator(fake)).sum()
        discriminator(fake.detach()).mean().backward()
        optimizer.step()
        fake_loss.backward()
    assert generator.weight.grad is not None


def test_hooks_on_parameters_do_not_touch_the_evaluated_gradient():
    torch.manual_seed(1)
    model = nn.Linear(4, 3)
    hooked = copy.deepcopy(model)
    calls = []
    hooked.weight.register_hook(lambda gradient: calls.append(1) or gradient * 0)
    inputs, labels = torch.randn(12, 4), torch.arange(12) % 3
    lcas = []
    for own in (model, hooked):
        optimizer = torch.optim.SGD([own.bias], 0.3)
        with lcascope.watch(
            own, optimizer, data=(inputs, labels), loss=F.cross_entropy, output=f"{len(lcas)}.h5", quiet=True
        ) as scope:
            with scope.step(), torch.no_grad():
                own.weight -= 0.1
                own.bias += torch.tensor([0.1, 0.0, -0.1])
        lcas.append(scope.last.layers)
    assert lcas[0] == lcas[1] and calls == []
    F.cross_entropy(hooked(inputs), labels).backward()
    assert calls == [1] and not hooked.weight.grad.any()


def test_modules_that_change_their_own_state_are_not_touched():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))
            self.register_buffer("count", torch.zeros(()))
            self.register_buffer("scale", torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            self.scale = self.scale * 1.5
            return x * self.weight * self.scale

    model = Counting()
    count, scale = model.count, model.scale
    x = torch.randn(5, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with lcascope.watch(
        model, optimizer, data=[x], loss=lambda model, x: model(x).square().mean(), output="run.h5", quiet=True
    ) as scope:
        assert model.count is count and model.scale is scale and count == 0
        model(x).sum().backward()
        optimizer.step()
        assert model.count is count and count == 1
        assert scope.last.lca + scope.last.residual == scope.last.loss_after - scope.last.loss_before


def test_optimizers_of_all_kinds():
    """Closures are called before the step is seen; of several optimizers the last ends a step."""
    inputs, labels = images(20)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 5))

    def closure() -> Tensor:
        model.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    arguments = {"data": (inputs, labels), "loss": F.cross_entropy, "quiet": True}
    lbfgs = torch.optim.LBFGS(model.parameters(), max_iter=3)
    with lcascope.watch(model, lbfgs, output="lbfgs.h5", **arguments) as scope:
        lbfgs.step(closure)
        assert scope.last.step == 1 and scope.last.lca < 0
        assert scope.last.loss_after == pytest.approx(F.cross_entropy(model(inputs), labels).item(), rel=1e-6)
    first = torch.optim.SGD(model[1].parameters(), 0.1)
    last = torch.optim.Adam(model[3].parameters(), 0.1)
    with lcascope.watch(model, [first, last], output="two.h5", **arguments) as scope:
        closure()
        first.step()
        assert scope.last is None
        last.step()
        assert scope.last.step == 1 and all(scope.last.layers.values())
    # Accumulated gradients: a step is what the optimizer does, not what a batch does.
    with lcascope.watch(model, last, output="accumulated.h5", **arguments) as scope:
        for index in range(4):
            F.cross_entropy(model(inputs[index::4]), labels[index::4]).backward()
            if index % 2:
                last.step()
        assert scope.last.step == 2
    # After the end, nothing is left at the optimizer.
    last.step()
    assert scope.last.step == 2


def test_steps_that_a_gradient_scaler_skips_are_no_steps():
    model = nn.Linear(4, 3)
    inputs, labels = torch.randn(12, 4), torch.arange(12) % 3
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    with lcascope.watch(
        model, optimizer, data=(inputs, labels), loss=F.cross_entropy, output="run.h5", quiet=True
    ) as scope:
        for factor in (1.0, float("inf"), 1.0):
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(inputs), labels) * factor).backward()
            scaler.step(optimizer)
            scaler.update()
        assert scope.last.step == 2


def test_explicit_steps_count_once():
    model = nn.Linear(4, 3)
    inputs, labels = torch.randn(12, 4), torch.arange(12) % 3
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with lcascope.watch(
        model, optimizer, data=(inputs, labels), loss=F.cross_entropy, output="run.h5", quiet=True
    ) as scope:
        with scope.step():
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            optimizer.step()
        assert scope.last.step == 1
        with torch.no_grad():
            model.bias += 0.1
        scope.note(batch_loss=1.5, epoch=0.5)
        step = scope.moved()
        assert step is scope.last and step.step == 2 and step.segments >= 2
    assert scope.status == "finished" and scope.moved() is None
