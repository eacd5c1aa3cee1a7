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
        losses, gradients = self.each_at(state)
        return losses.item(), gradients[0]

    def losses_at(self, state: State) -> Tensor:
        """The loss, or the losses if `loss` returns several in a vector."""
        own = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in state.items():
                own[name].copy_(value)
        return self.loss(self.model)

    def each_at(self, state: State) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """The losses and the gradient of each."""
        losses = self.losses_at(state)
        own = dict(self.model.named_parameters())
        out = []
        for part in losses.flatten():
            found = torch.autograd.grad(part, [own[name] for name in state], retain_graph=True, allow_unused=True)
            zeros = (torch.zeros_like(own[name]) if g is None else g for name, g in zip(state, found, strict=True))
            out.append(dict(zip(state, zeros, strict=True)))
        return losses.detach(), out

    def allocate(self, before: State, after: State, segments: int) -> dict[str, Tensor]:
        """The allocation of every parameter by composite Simpson over so many segments (1: the trapezoid)."""
        return self.allocate_each(before, after, segments)[0]

    def allocate_each(self, before: State, after: State, segments: int) -> list[dict[str, Tensor]]:
        """The allocation of each loss."""
        if segments == 1:
            weights = [0.5, 0.5]
        else:
            inner = [4 if index % 2 else 2 for index in range(1, segments)]
            weights = [weight / (3 * segments) for weight in [1, *inner, 1]]
        start = {name: value.double() for name, value in before.items()}
        change = {name: after[name].double() - start[name] for name in start}
        out: list[dict[str, Tensor]] = []
        for index, weight in enumerate(weights):
            alpha = index / (len(weights) - 1)
            _, gradients = self.each_at({name: start[name] + alpha * change[name] for name in start})
            out = out or [{name: torch.zeros_like(value) for name, value in start.items()} for _ in gradients]
            for allocation, gradient in zip(out, gradients, strict=True):
                for name in allocation:
                    allocation[name] += weight * gradient[name] * change[name]
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
