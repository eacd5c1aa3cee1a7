"""A PyTorch model: its layout, its loss and gradient at a point, and everything of the user's as it was."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from ._data import Batch, Data, moved, wide
from ._errors import Error
from ._interrupts import let_through
from ._loss import Loss
from ._session import Losses, Request
from .layout import Layout, Owned, tensor_kind
from .layout import Tensor as Place

if TYPE_CHECKING:
    from torch import Tensor, nn

BatchNorm = Literal["batch", "running"]
Precision = Literal["model", "float64"]


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DataParallel, DistributedDataParallel and torch.compile."""
    from torch.nn.parallel import DataParallel, DistributedDataParallel

    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), torch.nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


def trainable(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that are trained, each once, with names."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def layout_of(model: nn.Module, units: Mapping[str, int] | None) -> Layout:
    """Return the layout of a model's trainable parameters: a layer is the module that owns them."""
    modules = dict(model.named_modules())
    arrays = []
    for name, parameter in trainable(model):
        _check(name, parameter)
        module_name, _, own_name = name.rpartition(".")
        module = modules[module_name]
        kind = tensor_kind(own_name, parameter.dim(), norm="Norm" in type(module).__name__)
        place = Place(name, kind, tuple(parameter.shape), _unit_axis(module, parameter))
        arrays.append(Owned(module_name, type(module).__name__, place))
    return Layout(arrays, units)


def _unit_axis(module: nn.Module, parameter: Tensor) -> int:
    """Return the axis of a parameter that counts its module's outputs."""
    transposed = isinstance(module, torch.nn.modules.conv._ConvTransposeNd) and module.groups == 1
    # Conv1D of Hugging Face's GPT-2: a linear layer whose weight is [in, out].
    if parameter.dim() > 1 and (transposed or (type(module).__name__ == "Conv1D" and parameter.dim() == 2)):
        return 1
    return 0


def _check(name: str, parameter: Tensor) -> None:
    kind = type(parameter.data)
    if kind.__name__ == "DTensor" or type(parameter).__name__ == "FlatParameter":
        raise Error(f"{name} is sharded over processes (FSDP), which is not supported: use DistributedDataParallel.")
    if kind is not torch.Tensor:
        raise Error(f"{name} is a {kind.__name__}, and only plain tensors are supported.")
    if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
        raise Error(f"{name} has no shape yet: run the model once before `watch`.")
    if parameter.device.type == "meta":
        raise Error(f"{name} is on the device meta and has no values: put the model on a real device first.")
    if parameter.dtype not in (torch.float32, torch.float64):
        raise Error(
            f"{name} is {str(parameter.dtype).removeprefix('torch.')}, in which points between two steps are not told "
            "apart: keep the parameters in float32 and train with torch.autocast."
        )


@dataclass
class Sums:
    """What one process's share of the examples adds to an evaluation."""

    # Losses, examples classified right, whether that is defined; then the losses of each class. Double precision.
    numbers: Tensor
    gradient: Tensor | None
    class_gradient: Tensor | None


class Model:
    """Evaluates the loss of a model and its gradient, between the parameters before a step and those it has now."""

    def __init__(
        self,
        model: nn.Module,
        layout: Layout,
        loss: Loss,
        batch_norm: BatchNorm,
        precision: Precision = "model",
    ) -> None:
        self.module = model
        self.layout = layout
        self.parts: dict[str, Data] = {}
        self.classes = 1
        self._loss = loss
        self._batch_norm = batch_norm
        own = dict(trainable(model))
        # In the order of the layout.
        self.parameters: list[nn.Parameter] = [own[place.name] for place in layout.tensors]
        self.device: torch.device = self.parameters[0].device
        if any(parameter.device != self.device for parameter in self.parameters):
            raise Error("The model's parameters are on several devices, which is not supported.")
        self._before = [parameter.detach().clone() for parameter in self.parameters]
        self._after: list[Tensor] | None = None
        self._point: list[Tensor] = []
        self._double: _Double | None = None
        if precision == "float64":
            if self.device.type == "mps":
                raise Error('precision="float64": the device mps has no double precision.')
            self._double = _Double(model)
            loss.widen()
        self._buffers = _Buffers(model, batch_norm, double=self._double is not None)
        self._reached = [False] * len(self.parameters)
        self._unreached_said = False

    @property
    def has_batch_norm(self) -> bool:
        """Whether the examples of a batch are normalised together."""
        return self._batch_norm == "batch" and any(
            isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in self.module.modules()
        )

    @property
    def in_double(self) -> bool:
        """Whether the model is evaluated in double precision, whatever its own is."""
        return self._double is not None

    @property
    def exact(self) -> bool:
        """Whether two evaluations give the same bits."""
        return self.device.type == "cpu"

    def check(self) -> None:
        """Raise if the model has other trainable parameters than at the start."""
        ours = {id(parameter) for parameter in self.parameters}
        found = 0
        for name, parameter in self.module.named_parameters():
            if id(parameter) in ours:
                found += 1
            elif parameter.requires_grad and parameter.numel() > 0:
                raise Error(
                    f"{name} is trained but was not when the run began: close this run and watch the model anew."
                )
        if found != len(ours):
            raise Error("Parameters have been replaced since the run began: close this run and watch again.")

    def write(self, flat: np.ndarray) -> None:
        """Write the parameters as they are now to a flat vector."""
        for place, parameter in zip(self.layout.tensors, self.parameters, strict=True):
            place.view(torch.from_numpy(flat)).copy_(parameter.detach())

    def come_back(self, flat: np.ndarray) -> None:
        """Let a step that was interrupted end at these parameters and not where the model is now."""
        self._after = []
        for place, before in zip(self.layout.tensors, self._before, strict=True):
            self._after.append(place.view(torch.from_numpy(flat)).to(before, copy=True))

    def arrived(self) -> None:
        """Let the next step begin where the last ended."""
        for before, after in zip(self._before, self._after or self.parameters, strict=True):
            before.copy_(after.detach())
        self._after = None

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Evaluate in here: afterwards the model and all random states are as before, to the bit."""
        module = self.module
        modes = [(part, part.training) for part in module.modules()]
        wanted = [parameter.requires_grad for parameter in self.parameters]
        data = [parameter.data for parameter in self.parameters]
        hooks = [(parameter._backward_hooks, dict(parameter._backward_hooks or {})) for parameter in self.parameters]
        kept = self._buffers.of_user()
        states = _random_states(self.device)
        try:
            for part, _ in modes:
                part.training = _trains(part, self._batch_norm)
            for parameter in self.parameters:
                parameter.requires_grad_(True)
            for own, _ in hooks:
                if own:
                    own.clear()
            with ExitStack() as stack:
                stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.enable_grad())
                for kind in {self.device.type, "cpu"}:
                    stack.enter_context(torch.autocast(kind, enabled=False))
                if any(_compiled(part) for part, _ in modes):
                    if not hasattr(torch.compiler, "set_stance"):
                        raise Error("A model with compiled parts needs PyTorch 2.6 or newer: watch it uncompiled.")
                    stack.enter_context(torch.compiler.set_stance("force_eager"))
                if any(_needs_training_on_gpu(part) for part, _ in modes):
                    stack.enter_context(torch.backends.cudnn.flags(enabled=False))
                yield
        finally:
            for parameter, own_data, want in zip(self.parameters, data, wanted, strict=True):
                parameter.data = own_data
                parameter.requires_grad_(want)
            for own, were in hooks:
                if own is not None:
                    own.update(were)
            self._buffers.give_back(kept)
            for part, training in modes:
                part.training = training
            _set_random_states(states)

    def evaluate(self, request: Request) -> Sums:
        """Return what this process's examples add to the loss at a point, and to its gradient if it is wanted."""
        self._buffers.fresh()
        with self._at(request.at) as parameters, let_through():
            return self._sums(request, parameters)

    def has_each_loss(self, batch: Batch) -> bool:
        """Have the loss of each example from now on; False if the user's function does not give it (`batch` tells)."""
        self._buffers.fresh()
        with self._at(0.0):
            return self._loss.split(self.module, self._received(batch))

    def losses(self, sums: Sums, part: str) -> Losses:
        """Return the means of sums over all processes' examples."""
        data = self.parts[part]
        numbers = sums.numbers.tolist()
        class_loss = None
        if self.classes > 1:
            counts = data.class_counts(self.classes) if data.labelled else [0] * self.classes
            class_loss = [loss / count if count else math.nan for loss, count in zip(numbers[3:], counts, strict=True)]
        return Losses(
            loss=numbers[0] / data.examples,
            accuracy=numbers[1] / data.examples if numbers[2] else math.nan,
            class_loss=class_loss,
        )

    def no_numbers(self) -> Tensor:
        """Return the numbers of no examples."""
        return torch.zeros(3 + (self.classes if self.classes > 1 else 0), dtype=torch.float64)

    def say_unreached(self) -> None:
        """Warn once about parameters on which the loss does not depend."""
        names = [place.name for place, reached in zip(self.layout.tensors, self._reached, strict=True) if not reached]
        if names and not self._unreached_said:
            self._unreached_said = True
            warnings.warn(
                f"The loss does not depend on {', '.join(names[:5])}{', …' if len(names) > 5 else ''}: "
                "their gradient is taken as 0.",
                stacklevel=2,
            )

    def _received(self, batch: Batch) -> Batch:
        """Return a batch as the model receives it."""
        batch = moved(batch, self.device)
        return wide(batch) if self.in_double else batch

    @contextmanager
    def _at(self, at: float) -> Iterator[list[nn.Parameter]]:
        """Let the model have the parameters at a point of the step, and yield those."""
        if self._double is not None:
            ends = (dict(zip(map(id, self.parameters), values, strict=True)) for values in (self._before, self._end()))
            with self._double.at(at, *ends) as doubles:
                yield [doubles[id(parameter)] for parameter in self.parameters]
            return
        own = [parameter.data for parameter in self.parameters]
        try:
            for parameter, point in zip(self.parameters, self._points(at), strict=True):
                parameter.data = point
            yield self.parameters
        finally:
            for parameter, data in zip(self.parameters, own, strict=True):
                parameter.data = data

    def _end(self) -> list[Tensor]:
        """Return the parameters after the step."""
        return self._after or [parameter.data for parameter in self.parameters]

    def _points(self, at: float) -> list[Tensor]:
        """Return the parameters at a point of the step; at its ends, exactly those."""
        after = self._end()
        if at in (0.0, 1.0):
            return after if at else self._before
        if not self._point:
            self._point = [torch.empty_like(before) for before in self._before]
        for point, start, end in zip(self._point, self._before, after, strict=True):
            torch.lerp(start, end.detach(), at, out=point)
        return self._point

    def _sums(self, request: Request, parameters: list[nn.Parameter]) -> Sums:
        data = self.parts[request.part]
        size = self.layout.size
        gradient = class_gradient = None
        if request.want == "class_gradient":
            class_gradient = torch.zeros(self.classes, size, device=self.device)
        elif request.want == "gradient":
            gradient = torch.zeros(size, device=self.device)
        # Double precision where the device has it: the sum of many losses is compared with that after the step.
        precise = torch.float32 if self.device.type == "mps" else torch.float64
        losses: list[Tensor] = []
        right: list[Tensor] = []
        by_class = torch.zeros(self.classes, dtype=precise, device=self.device)
        unchecked = self._double is not None and not self._double.checked
        with torch.set_grad_enabled(request.want != "loss" or unchecked):
            for batch, labels in data:
                loss, examples, correct = self._loss(self.module, self._received(batch))
                if self._double and not self._double.checked and loss.requires_grad:
                    self._double.check(loss.sum(), self.parameters)
                value = loss.detach().to(precise)
                losses.append(value.sum() if value.dim() else value * examples)
                if correct is not None:
                    right.append(correct)
                if labels is not None and self.classes > 1:
                    labels = labels.to(self.device)
                    by_class.index_add_(0, labels, value)
                if class_gradient is not None:
                    if labels is None:
                        raise Error("by_class: not all examples have a class; give groups as a function of a batch.")
                    self._add_by_class(class_gradient, loss, labels, data.examples, parameters)
                elif gradient is not None:
                    mean = loss.sum() / data.examples if loss.dim() else loss * (examples / data.examples)
                    self._add(gradient, mean, parameters)
        if class_gradient is not None:
            gradient = class_gradient.sum(0)
        numbers = self.no_numbers()
        if losses:
            numbers[0] = torch.stack(losses).cpu().double().sum()
        if right:
            numbers[1] = torch.stack(right).sum().item()
            numbers[2] = len(right)
        if self.classes > 1:
            numbers[3:] = by_class.cpu()
        return Sums(numbers, gradient, class_gradient)

    def _add_by_class(
        self, class_gradient: Tensor, loss: Tensor, labels: Tensor, examples: int, parameters: list[nn.Parameter]
    ) -> None:
        """Add to each class's gradient that of its examples in the batch."""
        present = torch.unique(labels).tolist()
        for value in present:
            own = loss[labels == value].sum() / examples
            self._add(class_gradient[value], own, parameters, keep=value != present[-1])

    def _add(self, flat: Tensor, loss: Tensor, parameters: list[nn.Parameter], *, keep: bool = False) -> None:
        """Add a loss's gradient to a flat vector."""
        if not loss.requires_grad:
            raise Error(
                "The loss does not depend on any trainable parameter: "
                "loss must be computed from the model's output, with gradients."
            )
        gradients = torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True)
        for index, (place, gradient) in enumerate(zip(self.layout.tensors, gradients, strict=True)):
            if gradient is not None:
                self._reached[index] = True
                place.view(flat).add_(gradient)


class _Double:
    """Parameters in double precision, which the model has in place of its own while it is evaluated.

    Its own keep their type: PyTorch would drop what DistributedDataParallel attaches to a parameter whose type changes.
    """

    def __init__(self, model: nn.Module) -> None:
        self._own = list(model.parameters())
        self._doubles = {
            id(own): torch.nn.Parameter(wide(own.detach()).clone(), requires_grad=own.requires_grad)
            for own in self._own
        }
        self._owners = [module for module in model.modules() if module._parameters]
        self.checked = False

    @contextmanager
    def at(
        self, at: float, start: Mapping[int, Tensor], end: Mapping[int, Tensor]
    ) -> Iterator[dict[int, nn.Parameter]]:
        """Let the model have the parameters at a point between two ends, and yield those: all by the id of its own."""
        doubles = self._doubles
        kept = [dict(module._parameters) for module in self._owners]
        flat = [(module, module._flat_weights) for module in self._owners if isinstance(module, torch.nn.RNNBase)]
        with torch.no_grad():
            for own in self._own:
                double = doubles[id(own)]
                double.copy_(end.get(id(own), own) if at > 0.0 else start.get(id(own), own))
                if id(own) in start and 0.0 < at < 1.0:
                    before = wide(start[id(own)])
                    double.sub_(before).mul_(at).add_(before)
        try:
            for module in self._owners:
                for name, own in module._parameters.items():
                    if own is not None:
                        module._parameters[name] = doubles[id(own)]
            for module, weights in flat:
                module._flat_weights = [weight if weight is None else doubles[id(weight)] for weight in weights]
            yield doubles
        finally:
            for module, parameters in zip(self._owners, kept, strict=True):
                module._parameters.update(parameters)
            for module, weights in flat:
                module._flat_weights = weights

    def check(self, loss: Tensor, own: list[nn.Parameter]) -> None:
        """Raise if a loss depends on the model's own parameters, which it must not have here."""
        strays = torch.autograd.grad(loss, own, retain_graph=True, allow_unused=True)
        if any(stray is not None for stray in strays):
            raise Error(
                'precision="float64": loss holds parameters of the model itself, in their own precision: '
                "let it ask the model for them."
            )
        self.checked = True


class _Buffers:
    """Copies of the model's buffers, for evaluation: the loss is a function of the parameters alone.

    While the model is evaluated it has these copies, with the values of the start; its own are not touched.
    """

    def __init__(self, model: nn.Module, batch_norm: BatchNorm, *, double: bool) -> None:
        self._model = model
        copies: dict[int, Tensor] = {}
        self._swapped: list[tuple[nn.Module, str, Tensor | None]] = []
        for module in model.modules():
            for name, buffer in module._buffers.items():
                if buffer is None:
                    continue
                if batch_norm == "batch" and isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    # Without running statistics, a batch norm in evaluation mode takes those of the batch, and of
                    # this process's batch alone if it is one that synchronises.
                    self._swapped.append((module, name, None))
                    continue
                own = wide(buffer.detach()) if double else buffer.detach()
                self._swapped.append((module, name, copies.setdefault(id(buffer), own.clone())))
        self._pristine = [(copy, copy.clone(), copy._version) for copy in copies.values()]

    def of_user(self) -> list[tuple[nn.Module, dict[str, Tensor | None]]]:
        """Return the user's buffers."""
        return [(module, dict(module._buffers)) for module in self._model.modules()]

    def fresh(self) -> None:
        """Give the model the copies, with the values of the start."""
        for index, (copy, value, version) in enumerate(self._pristine):
            if copy._version != version:
                copy.copy_(value)
                self._pristine[index] = (copy, value, copy._version)
        for module, name, own in self._swapped:
            module._buffers[name] = own

    def give_back(self, kept: list[tuple[nn.Module, dict[str, Tensor | None]]]) -> None:
        """Give the model the user's buffers."""
        for module, buffers in kept:
            if buffers or module._buffers:
                module._buffers.clear()
                module._buffers.update(buffers)


def _trains(module: nn.Module, batch_norm: BatchNorm) -> bool:
    """Whether a module is evaluated in training mode."""
    if isinstance(module, torch.nn.RNNBase):
        # cuDNN has no gradient in evaluation mode; without dropout the mode makes no difference.
        return module.dropout == 0
    return batch_norm == "batch" and isinstance(module, torch.nn.modules.instancenorm._InstanceNorm)


def _needs_training_on_gpu(module: nn.Module) -> bool:
    return isinstance(module, torch.nn.RNNBase) and module.dropout > 0


def _compiled(module: nn.Module) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod")


def _random_states(device: torch.device) -> list[object]:
    """Return the random states of Python, NumPy, PyTorch and its devices."""
    on_device = None
    if device.type != "cpu":
        on_device = getattr(torch, device.type).get_rng_state(device)
    return [random.getstate(), np.random.get_state(), torch.get_rng_state(), device, on_device]


def _set_random_states(states: list[object]) -> None:
    python, numpy, cpu, device, on_device = states
    assert isinstance(device, torch.device)
    random.setstate(python)  # type: ignore[arg-type]
    np.random.set_state(numpy)  # type: ignore[arg-type]
    torch.set_rng_state(cpu)  # type: ignore[arg-type]
    if on_device is not None:
        getattr(torch, device.type).set_rng_state(on_device, device)
