"""Loss Change Allocation by a plain program in double precision, to compare with."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


def parameters_of(model: nn.Module) -> State:
    """A copy of the trainable parameters."""
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}


class Reference:
    """The allocation of `loss(model)`, a function of the model's parameters that has no part in what is tested."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module], Tensor], batch_statistics: bool = True) -> None:
        self.model = copy.deepcopy(model).double().eval()
        for module in self.model.modules():
            if batch_statistics and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train()
        self.loss = loss

    def at(self, state: State) -> tuple[float, dict[str, Tensor]]:
        """The loss and its gradient."""
        own = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in state.items():
                own[name].copy_(value)
        loss = self.loss(self.model)
        gradients = torch.autograd.grad(loss, [own[name] for name in state], allow_unused=True)
        zeros = (torch.zeros_like(own[name]) if g is None else g for name, g in zip(state, gradients, strict=True))
        return loss.item(), dict(zip(state, zeros, strict=True))

    def allocate(self, before: State, after: State, segments: int) -> dict[str, Tensor]:
        """The allocation of every parameter by composite Simpson over so many segments (1: the trapezoid)."""
        if segments == 1:
            weights = [0.5, 0.5]
        else:
            inner = [4 if index % 2 else 2 for index in range(1, segments)]
            weights = [weight / (3 * segments) for weight in [1, *inner, 1]]
        start = {name: value.double() for name, value in before.items()}
        change = {name: after[name].double() - start[name] for name in start}
        out = {name: torch.zeros_like(value) for name, value in start.items()}
        for index, weight in enumerate(weights):
            alpha = index / (len(weights) - 1)
            _, gradient = self.at({name: start[name] + alpha * change[name] for name in start})
            for name in out:
                out[name] += weight * gradient[name] * change[name]
        return out


def by_layer(allocation: dict[str, Tensor]) -> dict[str, float]:
    """Sums over the parameters of each module."""
    out: dict[str, float] = {}
    for name, value in allocation.items():
        layer = name.rpartition(".")[0]
        out[layer] = out.get(layer, 0.0) + value.sum().item()
    return out


def largest_difference(got: dict[str, float], expected: dict[str, float]) -> float:
    """The largest difference, relative to the largest number."""
    assert got.keys() == expected.keys()
    scale = max(abs(value) for value in expected.values())
    return max(abs(got[name] - expected[name]) for name in expected) / scale

