"""The user's loss: of an output and a target, or of the model and a batch."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ._data import size_of
from ._errors import Error

if TYPE_CHECKING:
    from torch import Tensor, nn

# More classes than this are tokens of a vocabulary rather than classes that anybody would look at one by one.
MOST_CLASSES = 1000


class Loss:
    """Evaluates a batch: the mean of its examples' losses, or the loss of each."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if inspect.isclass(function):
            raise Error(f"loss is the class {function.__name__}: give an instance, {function.__name__}().")
        if not callable(function):
            raise Error(f"loss is a {type(function).__name__}: give a function, loss(output, target).")
        self._function = function
        self._of_batch = _first_parameter(function) == "model"
        # The same loss of each example, once it is needed.
        self._single: Callable[..., Any] | None = None
        if _reduction(function) == "sum":
            raise Error('loss adds its examples up (reduction="sum"): give the mean, or the loss of each example.')

    def targets(self, batch: Any) -> Tensor | None:
        """Return the classes of a batch's examples, if its targets are classes."""
        import torch

        if self._of_batch or not isinstance(batch, list | tuple) or len(batch) != 2:
            return None
        target = batch[1]
        if not isinstance(target, torch.Tensor) or target.dim() != 1 or len(target) != size_of(batch):
            return None
        if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
            return None
        if bool((target < 0).any()) or int(target.max()) >= MOST_CLASSES:
            return None
        return target

    def widen(self) -> None:
        """Have the loss's own numbers, such as weights of classes, in double precision."""
        from torch import nn

        if isinstance(self._function, nn.Module):
            self._function = copy.deepcopy(self._function).double()

    def split(self, model: nn.Module, batch: Any) -> bool:
        """Have the loss of each example from now on; False if the function does not give it (`batch` tells)."""
        function = _each_example(self._function)
        if function is None and len(self._evaluate(self._function, model, batch)[0].shape) == 0:
            return False
        self._single = function
        return True

    def __call__(self, model: nn.Module, batch: Any) -> tuple[Tensor, int, Tensor | None]:
        """Return the loss (one number, or one for each example), the number of examples, and how many are right."""
        loss, right = self._evaluate(self._single or self._function, model, batch)
        size = size_of(batch)
        if loss.dim() > 0:
            if len(loss) != size:
                raise Error(
                    f"loss returned the shape {list(loss.shape)} for a batch of {size} examples: "
                    "it must be one number, the mean, or one for each example."
                )
            loss = loss.reshape(size, -1).mean(1)
        return loss, size, right

    def _evaluate(self, function: Callable[..., Any], model: nn.Module, batch: Any) -> tuple[Tensor, Tensor | None]:
        import torch

        if self._of_batch:
            loss, right = function(model, batch), None
        else:
            if not isinstance(batch, list | tuple) or len(batch) != 2:
                raise Error(
                    f"A batch of data is a {type(batch).__name__} and not a pair (input, target): "
                    "give loss=lambda model, batch: …"
                )
            inputs, target = batch
            if isinstance(inputs, Mapping):
                output = model(**inputs)
            elif isinstance(inputs, list | tuple):
                output = model(*inputs)
            else:
                output = model(inputs)
            loss, right = function(output, target), _right(output, target)
        if not isinstance(loss, torch.Tensor):
            raise Error(f"loss returned a {type(loss).__name__}: it must return a tensor.")
        return loss, right


def _right(output: Any, target: Any) -> Tensor | None:
    """Return how many examples are classified right, where that means something."""
    import torch

    if not isinstance(output, torch.Tensor) or not isinstance(target, torch.Tensor):
        return None
    if output.dim() != 2 or output.shape[1] < 2 or target.dim() != 1 or target.is_floating_point():
        return None
    return (output.detach().argmax(1) == target).sum()


def _first_parameter(function: Callable[..., Any]) -> str:
    try:
        return next(iter(inspect.signature(function).parameters), "")
    except (TypeError, ValueError):
        return ""


def _reduction(function: Callable[..., Any]) -> str:
    """Return the reduction that a loss of PyTorch's kind has; "" if it is of another kind."""
    if isinstance(getattr(function, "reduction", None), str):
        return str(getattr(function, "reduction"))  # noqa: B009
    try:
        parameter = inspect.signature(function).parameters.get("reduction")
    except (TypeError, ValueError):
        return ""
    return parameter.default if parameter is not None and isinstance(parameter.default, str) else ""


def _each_example(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the same loss without its mean over the examples; None if that is not known."""
    if _reduction(function) != "mean":
        return None
    if getattr(function, "weight", None) is not None:
        return None  # Its mean is weighted by class.
    if isinstance(getattr(function, "reduction", None), str):
        function = copy.copy(function)
        function.reduction = "none"  # type: ignore[attr-defined]
        return function
    if isinstance(function, functools.partial) and function.keywords.get("weight") is not None:
        return None
    return functools.partial(function, reduction="none")
