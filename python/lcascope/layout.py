"""The layout of a model's parameters: layers, tensors and units as ranges of one flat vector."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ._errors import Error


@dataclass(frozen=True)
class Tensor:
    """A trainable array and its place in the flat vector.

    There its axis of units comes first, whatever `axis` that is in the framework. If `units` is given, so many units
    share the entries of that axis in equal runs, like the heads of an attention.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    axis: int = 0
    units: int | None = None
    offset: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def moved(self) -> tuple[int, ...]:
        """The shape with the axis of units first."""
        if not self.shape:
            return (1,)
        axis = self.axis % len(self.shape)
        return (self.shape[axis], *self.shape[:axis], *self.shape[axis + 1 :])

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape in the run file."""
        if self.units is None:
            return self.moved
        return (self.units, self.moved[0] // self.units, *self.moved[1:])

    def view(self, flat: Any) -> Any:
        """Return this tensor's part of a flat NumPy array or PyTorch tensor, in the framework's shape."""
        part = flat[self.offset : self.offset + self.size]
        if not self.shape:
            return part.reshape(())
        axis = self.axis % len(self.shape)
        part = part.reshape(self.moved)
        order = [*range(1, axis + 1), 0, *range(axis + 1, len(self.shape))]
        return part.permute(order) if hasattr(part, "permute") else part.transpose(order)


@dataclass(frozen=True)
class Layer:
    """A layer: parameters that are shown and added up together, by unit."""

    name: str
    kind: str
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True)
class Owned:
    """A trainable array and the module that owns it, before layers are made of them."""

    module: str
    module_kind: str
    tensor: Tensor


class Layout:
    """The layers of a model, in order."""

    def __init__(self, arrays: Iterable[Owned], units: Mapping[str, int] | None = None) -> None:
        """Make a layer of each module's arrays; `units` gives patterns of layers' names a number of units."""
        modules: dict[str, list[Owned]] = {}
        for array in arrays:
            if array.tensor.size > 0:
                modules.setdefault(array.module, []).append(array)
        layers = [layer for owned in modules.values() for layer in _layers_of(owned)]
        layers = _with_units(layers, units or {})
        self.layers: tuple[Layer, ...] = _with_offsets(layers)
        self.tensors: tuple[Tensor, ...] = tuple(tensor for layer in self.layers for tensor in layer.tensors)
        self.size: int = sum(tensor.size for tensor in self.tensors)

    @property
    def names(self) -> list[str]:
        """The layers' names."""
        return [layer.name for layer in self.layers]

    def message(self) -> list[dict[str, Any]]:
        """Return the layers as the protocol has them."""
        return [
            {
                "name": layer.name,
                "kind": layer.kind,
                "tensors": [
                    {"name": tensor.name, "kind": tensor.kind, "shape": list(tensor.stored)} for tensor in layer.tensors
                ],
            }
            for layer in self.layers
        ]


def tensor_kind(name: str, axes: int, *, norm: bool) -> str:
    """Return the role of the array `name` (the last part) in its module."""
    if "bias" in name or name in ("b", "beta"):
        return "shift" if norm or name == "beta" else "bias"
    if axes <= 1 and (norm or "scale" in name or "gamma" in name):
        return "scale"
    return "weight"


def _layers_of(owned: Sequence[Owned]) -> list[Layer]:
    """Make one layer of a module's arrays, or one of each if their numbers of units differ."""
    first = owned[0]
    if len({array.tensor.moved[0] for array in owned}) == 1 and first.module:
        return [Layer(first.module, first.module_kind, tuple(array.tensor for array in owned))]
    return [Layer(array.tensor.name, array.module_kind, (array.tensor,)) for array in owned]


def _with_units(layers: Sequence[Layer], units: Mapping[str, int]) -> list[Layer]:
    """Give the layers whose names match a pattern so many units."""
    unused = set(units)
    made = []
    for layer in layers:
        for pattern, count in units.items():
            if fnmatch.fnmatchcase(layer.name, pattern):
                unused.discard(pattern)
                layer = replace(layer, tensors=tuple(_divided(tensor, count) for tensor in layer.tensors))
        made.append(layer)
    if unused:
        pattern = min(unused)
        names = ", ".join(layer.name for layer in layers)
        raise Error(f"units: no layer's name matches {pattern!r}. The layers are {names}.")
    return made


def _divided(tensor: Tensor, count: int) -> Tensor:
    entries = tensor.moved[0]
    if count < 1 or entries % count:
        raise Error(
            f"units: {tensor.name} of shape {list(tensor.shape)} cannot be divided into {count} units: its axis "
            f"{tensor.axis} has {entries} entries. Give a divisor; of queries, keys and values in one weight, each "
            "head has three."
        )
    return replace(tensor, units=count)


def _with_offsets(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    placed = []
    offset = 0
    for layer in layers:
        tensors = []
        for tensor in layer.tensors:
            tensors.append(replace(tensor, offset=offset))
            offset += tensor.size
        placed.append(replace(layer, tensors=tuple(tensors)))
    return tuple(placed)
