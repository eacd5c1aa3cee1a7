"""Records the Loss Change Allocation of anything that has parameters and a gradient, without a framework."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._closing import Closing, Status, close_at_exit, closed, text_of
from ._errors import Error
from ._interrupts import let_through, put_off
from ._session import Losses, Options, Request, Session, Step, checked, opening, version
from .layout import Layout, Owned, Tensor, tensor_kind

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Evaluation:
    """A loss and its gradient at given parameters.

    Gradients have the structure of the parameters. `class_loss` is the mean loss of each class's examples;
    `class_gradient` has for each class the gradient of its part of the loss, so that they add up to `gradient`.
    """

    loss: float
    gradient: Any
    accuracy: float = math.nan
    class_loss: Sequence[float] | None = None
    class_gradient: Sequence[Any] | None = None


Evaluate = Callable[[Any], "Evaluation | tuple[Any, Any]"]


class Recorder(Closing):
    """Records a training in any framework: NumPy, JAX, or one of your own.

        recorder = lcascope.Recorder(parameters, jax.value_and_grad(loss), output="runs/mine.h5")
        for batch in batches:
            parameters = update(parameters, batch)
            recorder.step(parameters)
        recorder.close()

    `parameters` are arrays in dicts, lists and tuples; the arrays of one dict are a layer. `evaluate` gets parameters
    and returns the loss that is allocated and its gradient, as a pair or as an `Evaluation`: always over the same
    examples, without dropout. `held_out` does so for held-out examples.

    `axis` is the axis of units, for neurons or channels of arrays whose path matches a pattern, such as
    `{"*/kernel": -1}`; axis 0 otherwise. `units` gives layers a number of units by patterns of their names, such as
    the heads of an attention. `train` and `held_out_examples` are numbers of examples, for display.

    After a step, `last` is what the program says about it; `stopped` is true once the run has ended, for example by
    `lcascope stop`.
    """

    def __init__(
        self,
        parameters: Any,
        evaluate: Evaluate,
        held_out: Evaluate | None = None,
        *,
        output: str | PathLike[str] | None = None,
        name: str = "model",
        data_name: str = "data",
        train: int = 1,
        held_out_examples: int | None = None,
        classes: Sequence[str] | None = None,
        axis: Mapping[str, int] | None = None,
        units: Mapping[str, int] | None = None,
        device: str = "NumPy",
        exact: bool = True,
        every: int = 1,
        resume: str | PathLike[str] | None = None,
        quiet: bool = False,
        **options: Unpack[Options],
    ) -> None:
        self._template = parameters
        self._layout = Layout(
            (_owned(path, np.asarray(array), axis or {}) for path, array in _leaves(parameters)), units
        )
        if self._layout.size == 0:
            raise Error("There are no parameters.")
        self._tensors = {tensor.name: tensor for tensor in self._layout.tensors}
        self._evaluate = {"train": evaluate, "test": held_out}
        self._every = every
        self._since = 0
        self._before = self._flat(parameters)
        self._after = self._before
        data: dict[str, Any] = {"name": data_name, "train": train}
        if held_out is not None:
            data["held_out"] = held_out_examples or 1
        if classes is not None:
            data["classes"] = list(classes)
        message = opening(
            producer=f"Python package {version()}, NumPy {np.__version__}",
            network=name,
            device=device,
            data=data,
            exact=exact,
            every=every,
            output=output,
            resume=resume,
            options=checked(options, "Recorder"),
        )
        self._session = Session(self._layout, len(classes or [0]) if options.get("by_class") else 0, self._answer)
        np.copyto(self._session.parameters, self._before)
        with put_off():
            self._session.open(message)
        close_at_exit(self)
        if not quiet:
            self._session.say_begun()

    @property
    def output(self) -> Path:
        """The run file."""
        return self._session.output

    @property
    def last(self) -> Step | None:
        """The last step; None before the first."""
        return self._session.last

    @property
    def status(self) -> Status:
        """Whether the recording is running, or how it ended."""
        return self._session.status

    @property
    def stopped(self) -> bool:
        """Whether the recording has ended, for example by `lcascope stop`."""
        with put_off():
            self._session.poll()
        return self._session.status != "running"

    def step(
        self,
        parameters: Any,
        *,
        learning_rate: float | None = None,
        batch_loss: float | None = None,
        epoch: float | None = None,
    ) -> Step | None:
        """Have the step to these parameters allocated.

        Returns None if the recording has ended, and for steps between with `every` above 1.
        """
        if self._session.status != "running":
            return None
        if self._session.allocating:
            self._allocated(self._session.allocate)
        self._since += 1
        if self._since < self._every:
            return None
        self._since = 0
        self._after = self._flat(parameters)
        np.copyto(self._session.parameters, self._after)
        return self._allocated(
            lambda: self._session.step(learning_rate=learning_rate, batch_loss=batch_loss, epoch=epoch)
        )

    def checkpoint(self) -> None:
        """Have a checkpoint written after the last step, from which `resume` can continue."""
        if self._session.allocating:
            self._allocated(self._session.allocate)
        try:
            with put_off():
                self._session.checkpoint()
        except Exception as error:
            self.close("failed", text_of(error))
            raise

    def close(self, status: Status = "finished", message: str = "") -> None:
        """End the recording: the file then has all steps and is closed.

        A step whose allocation was interrupted is allocated first, unless that is interrupted too.
        """
        closed(self)
        if self._session.allocating and status != "failed":
            try:
                self._allocated(self._session.allocate)
            except KeyboardInterrupt:
                # Again: then without this step.
                status = "stopped"
        self._session.close(status, message)

    def _allocated(self, allocate: Callable[[], Step | None]) -> Step | None:
        try:
            with put_off():
                step = allocate()
                self._before = self._after
        except Exception as error:
            self.close("failed", text_of(error))
            raise
        return step

    def _answer(self, request: Request) -> Losses:
        """Evaluate at a point between the parameters before and after the step."""
        evaluate = self._evaluate[request.part]
        if evaluate is None:
            raise Error("There are no held-out examples: give `held_out`.")
        with let_through():
            result = evaluate(self._tree(self._point(request.at)))
        if not isinstance(result, Evaluation):
            loss, gradient = result
            result = Evaluation(float(loss), gradient)
        session = self._session
        if request.want != "loss":
            np.copyto(session.gradient, self._flat(result.gradient))
        if request.want == "class_gradient":
            if result.class_gradient is None or len(result.class_gradient) != len(session.class_gradient):
                raise Error(f"by_class: evaluate must return {len(session.class_gradient)} gradients, one for a class.")
            for row, gradient in zip(session.class_gradient, result.class_gradient, strict=True):
                np.copyto(row, self._flat(gradient))
        return Losses(float(result.loss), float(result.accuracy), result.class_loss)

    def _point(self, at: float) -> NDArray[np.float32]:
        if at in (0.0, 1.0):
            return self._after if at else self._before
        return self._before + np.float32(at) * (self._after - self._before)

    def _flat(self, tree: Any) -> NDArray[np.float32]:
        """Return the arrays of a tree in the order of the layout."""
        flat = np.empty(self._layout.size, np.float32)
        found = 0
        for path, array in _leaves(tree):
            tensor = self._tensors.get("/".join(path))
            array = np.asarray(array)
            if array.size == 0:
                continue
            if tensor is None or array.shape != tensor.shape:
                name = "/".join(path)
                raise Error(f"{name} of shape {list(array.shape)} is not a parameter that the run began with.")
            tensor.view(flat)[...] = array
            found += 1
        if found != len(self._tensors):
            raise Error(f"{found} arrays where the run began with {len(self._tensors)}.")
        return flat

    def _tree(self, flat: NDArray[np.float32]) -> Any:
        return _mapped(self._template, (), lambda path, _: self._array(path, flat))

    def _array(self, path: tuple[str, ...], flat: NDArray[np.float32]) -> NDArray[np.float32]:
        tensor = self._tensors.get("/".join(path))
        return np.zeros(0, np.float32) if tensor is None else np.ascontiguousarray(tensor.view(flat))


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], ArrayLike]]:
    """Walk through the arrays in dicts, lists and tuples."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from _leaves(value, (*path, str(index)))
    elif tree is not None:
        yield path, tree


def _mapped(tree: Any, path: tuple[str, ...], make: Callable[[tuple[str, ...], Any], Any]) -> Any:
    """Return a tree of the same structure with other arrays."""
    if isinstance(tree, Mapping):
        return type(tree)({key: _mapped(value, (*path, str(key)), make) for key, value in tree.items()})  # type: ignore[call-arg]
    if isinstance(tree, list | tuple):
        made = [_mapped(value, (*path, str(index)), make) for index, value in enumerate(tree)]
        return type(tree)(*made) if hasattr(tree, "_fields") else type(tree)(made)
    return None if tree is None else make(path, tree)


def _owned(path: tuple[str, ...], array: NDArray[Any], axes: Mapping[str, int]) -> Owned:
    """Return an array of the parameters with its layer: the dict that it is in."""
    name = "/".join(path)
    if not np.issubdtype(array.dtype, np.floating):
        raise Error(f"{name} has the type {array.dtype}; parameters are floats.")
    axis = next((axis for pattern, axis in axes.items() if fnmatch.fnmatchcase(name, pattern)), 0)
    if array.ndim < 2:
        axis = 0
    elif not -array.ndim <= axis < array.ndim:
        raise Error(f"{name} of shape {list(array.shape)} has no axis {axis}.")
    module = "/".join(path[:-1])
    norm = "norm" in module.lower()
    kind = tensor_kind(path[-1] if path else "", array.ndim, norm=norm)
    return Owned(module, "norm" if norm else "layer", Tensor(name, kind, array.shape, axis))
