"""A run that the program records: options, questions and answers, steps."""

from __future__ import annotations

import difflib
import math
import re
import shlex
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from ._client import PROTOCOL, Client, number
from ._client import Message as Message
from ._closing import Status, recordings, text_of
from ._errors import Error
from ._interrupts import let_through
from .layout import Layout

# A run may be paused for long: those who wait with it are told at this interval that it goes on.
_SECONDS_BETWEEN_SIGNS = 20.0


class Options(TypedDict, total=False):
    """Options of a run, as `lcascope train --help` describes them."""

    force: bool
    seed: int
    steps: int
    integrator: Literal["adaptive", "simpson", "trapezoid", "first-order"]
    tolerance: float
    relative_tolerance: float
    layer_tolerance: float
    min_segments: int
    max_segments: int
    lca_test: bool
    by_class: bool
    class_every: int
    test_every: int
    checkpoint_every: str | int | float
    record_weights: int
    snapshots: int
    record_params: int
    trace: Any
    compression: str
    mantissa_bits: int


@dataclass(frozen=True)
class Step:
    """A step and its Loss Change Allocation (LCA), in nats where the loss is a cross-entropy."""

    step: int
    """Steps done."""
    loss_before: float
    loss_after: float
    lca: float
    """Sum of all allocations."""
    residual: float
    """What the integration missed: `loss_after - loss_before - lca`."""
    layers: dict[str, float]
    """LCA of each layer: negative helps, positive hurts."""
    held_out_loss: float
    """Held-out loss after the step; NaN if it was not evaluated."""
    accuracy: float
    held_out_accuracy: float
    held_out_lca: float | None
    held_out_layers: dict[str, float] | None
    segments: int
    """Segments into which the integration divided the step."""
    gradients: int
    """Gradients of the whole loss that were evaluated for the step."""
    seconds: float
    """Time since the start of the run."""

    @classmethod
    def of(cls, message: Message, layers: Sequence[str]) -> Step:
        """Return the step that a message `allocated` describes."""
        losses = message["losses"]
        held_out = message.get("held_out_layers")
        return cls(
            step=message["step"],
            loss_before=number(message["loss_before"]),
            loss_after=number(message["loss_after"]),
            lca=number(message["lca"]),
            residual=number(message["residual"]),
            layers=dict(zip(layers, map(number, message["layers"]), strict=True)),
            held_out_loss=number(losses["test"]),
            accuracy=number(losses["train_accuracy"]),
            held_out_accuracy=number(losses["test_accuracy"]),
            held_out_lca=None if message.get("held_out_lca") is None else number(message["held_out_lca"]),
            held_out_layers=None if held_out is None else dict(zip(layers, map(number, held_out), strict=True)),
            segments=message["segments"],
            gradients=message["gradients"],
            seconds=number(message["seconds"]),
        )


class Request(NamedTuple):
    """What the program wants evaluated; `at` is the place between the parameters before (0) and after the step (1)."""

    part: Literal["train", "test"]
    want: Literal["loss", "gradient", "class_gradient"]
    at: float


class Losses(NamedTuple):
    """The losses at a point: means over the examples."""

    loss: float
    accuracy: float = math.nan
    class_loss: Sequence[float] | None = None


class Session:
    """The recording of one run by the program.

    `evaluate` writes the gradients asked for to `gradient` and `class_gradient` and returns the losses. Whoever calls
    these methods puts Ctrl-C off, except for `close`.
    """

    def __init__(
        self,
        layout: Layout,
        classes: int,
        evaluate: Callable[[Request], Losses],
        still_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the program. `classes` is 0 if nothing is split by class."""
        self.layout = layout
        self.output = Path()
        self.status: Status = "running"
        self.last: Step | None = None
        self.steps = 0
        self._cost = ""
        self._gradient_seconds = math.nan
        self._evaluate = evaluate
        self._still_waiting = still_waiting
        self._asked: Request | None = None
        self._closing: Status | None = None
        self._allocating = False
        size = layout.size
        self._client = Client((2 + classes) * size)
        self.parameters: NDArray[np.float32] = self._client.memory[:size]
        self.gradient: NDArray[np.float32] = self._client.memory[size : 2 * size]
        self.class_gradient: NDArray[np.float32] = self._client.memory[2 * size :].reshape(classes, size)

    def open(self, message: Message) -> None:
        """Open the run at the parameters that are in `parameters`, and wait until it has begun."""
        try:
            with let_through():
                self._client.send("open", protocol=PROTOCOL, layers=self.layout.message(), **message)
            ready = self._converse("ready")
            if ready is not None:
                self.output = Path(ready["output"])
                self.steps = ready["steps"]
                self._cost = ready["cost"]
                for warning in ready["warnings"]:
                    warnings.warn(warning, stacklevel=2)
                self._converse("started")
        except BaseException as error:
            self.close("failed", text_of(error))
            output = message["options"].get("output")
            if isinstance(error, Error) and output and _is_ours(output):
                raise Error(f"{error}; it is a run of this process: call `close()` of its scope or recorder.") from None
            raise

    def say_begun(self) -> None:
        """Print what the run takes and where it can be seen."""
        if self._cost:
            print(f"lcascope: {self._cost}, {self._gradient_seconds:.3g} s each")
        where = shlex.quote(str(self.output))
        print(f"lcascope: to watch this run, type in a terminal: lcascope open {where}", flush=True)

    @property
    def process_id(self) -> int:
        """The process of the program."""
        return self._client.process_id

    @property
    def allocating(self) -> bool:
        """Whether a step is not yet allocated, because it was interrupted; `parameters` are those after it."""
        return self._allocating and self.status == "running"

    def poll(self) -> None:
        """Learn whether the run was stopped from elsewhere."""
        while self.status == "running" and not self._allocating and self._client.has_message(0):
            self._heard(self._receive())

    def step(self, **values: float | None) -> Step | None:
        """Have the step to `parameters` allocated. Returns None if the run has ended."""
        if self.status != "running":
            return None
        self._client.send("step", **{key: value for key, value in values.items() if value is not None})
        self._allocating = True
        return self.allocate()

    def allocate(self) -> Step | None:
        """Wait until the step is allocated. May be called again if it was interrupted."""
        return self.last if self._converse("allocated") else None

    def checkpoint(self) -> None:
        """Write a checkpoint after the last step."""
        if self.status == "running":
            self._client.send("checkpoint")
            self._converse("saved")

    def close(self, status: Status = "finished", message: str = "") -> None:
        """End the run and wait until the file is closed. A step that is not allocated is left out."""
        if self.status != "running":
            return
        self._closing = status
        try:
            # If it was interrupted, the program waits for an answer that it does not get, or is about to ask.
            while self._allocating and self._asked is None and self.status == "running":
                self._heard(self._receive())
            if self._asked is not None:
                self._client.send("error", reason=message or "interrupted while a step was allocated")
            else:
                self._client.send("close", status=status, **({"reason": message} if message else {}))
            while self.status == "running":
                self._heard(self._receive())
        except Error:
            self._end("failed")
            if status == "finished":
                raise
        finally:
            # Interrupted: closing the line ends the run all the same.
            self._end("failed")

    def _converse(self, awaited: str) -> Message | None:
        """Answer the program's questions until a message of the kind `awaited`; None if the run ends before."""
        while self.status == "running":
            if self._asked is None:
                while not self._client.has_message(_SECONDS_BETWEEN_SIGNS):
                    self._still_waiting()
                message = self._receive()
                self._heard(message)
                if message["message"] == awaited:
                    return message
            else:
                began = time.perf_counter()
                losses = self._evaluate(self._asked)
                if self._asked.want != "loss":
                    self._gradient_seconds = time.perf_counter() - began
                self._client.send(
                    "evaluated",
                    loss=losses.loss,
                    accuracy=losses.accuracy,
                    **({} if losses.class_loss is None else {"class_loss": list(losses.class_loss)}),
                )
                self._asked = None
        return None

    def _receive(self) -> Message:
        try:
            return self._client.receive()
        except Error:
            self._end("failed")
            raise

    def _heard(self, message: Message) -> None:
        """Take note of a message."""
        kind = message["message"]
        if kind == "evaluate":
            self._asked = Request(message["part"], message["want"], float(message["at"]))
        elif kind == "allocated":
            self.last = Step.of(message, self.layout.names)
            self.steps = self.last.step
            self._allocating = False
        elif kind == "refused":
            self._end("failed")
            raise Error(_in_python(message["reason"]))
        elif kind == "closed":
            self.steps = message["steps"]
            self._end(message["status"])
            if message["status"] == "failed" and self._closing in (None, "finished"):
                reason = _in_python(message["reason"] or "the run failed")
                if self._closing is None or self.last is not None:
                    raise Error(reason)
                # Nothing is lost: the file to be replaced is as it was.
                warnings.warn(reason, stacklevel=4)

    def _end(self, status: Status) -> None:
        if self.status == "running":
            self.status = status
            self._client.close()


def _is_ours(output: str) -> bool:
    """Whether a recording of this process writes this file."""
    return any(Path(getattr(own, "output", "")).resolve() == Path(output).resolve() for own in recordings())


def _in_python(reason: str) -> str:
    """Return what the program says about options with their names in Python."""
    for prefix in ("open: a message that is not understood: ", "the model: "):
        reason = reason.removeprefix(prefix)
    reason = reason.replace("with --force", "with `force=True`").replace(" along the given weights", "")
    return re.sub(r"--([a-z][a-z-]*)", lambda found: f"`{found[1].replace('-', '_')}`", reason)


def checked(options: Mapping[str, Any], caller: str) -> dict[str, Any]:
    """Return the options of a run, or raise for one that does not exist."""
    for name in options:
        if name not in Options.__annotations__:
            near = difflib.get_close_matches(name, Options.__annotations__, 1)
            raise TypeError(f"{caller}() has no option {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return {name: value for name, value in options.items() if value is not None}


def opening(
    *,
    producer: str,
    network: str,
    device: str,
    data: Mapping[str, Any],
    exact: bool,
    every: int,
    output: str | PathLike[str] | None,
    resume: str | PathLike[str] | None,
    options: Mapping[str, Any],
) -> Message:
    """Return the message `open`, but for the layers."""
    if every < 1:
        raise Error(f"every={every}: a step covers at least one optimizer step.")
    if output is not None and resume is not None:
        raise Error("Give output or resume: a resumed run continues in its own file.")
    message: Message = {
        "producer": producer,
        "network": network,
        "device": device,
        "data": dict(data),
        "exact": exact,
        "every": every,
        "options": dict(options),
    }
    if output is not None:
        message["options"]["output"] = fspath(output)
    if resume is not None:
        message["resume"] = fspath(resume)
    return message


def version() -> str:
    """Return the version of this package."""
    try:
        return metadata.version("lcascope")
    except metadata.PackageNotFoundError:
        return "(not installed)"
