"""Watches the training of a PyTorch model."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ._closing import Closing, Status, close_at_exit, closed, text_of
from ._data import Data, Labels, read, sorted_by_class
from ._errors import Error
from ._interrupts import let_through, put_off
from ._loss import Loss
from ._ranks import Ranks, Told
from ._session import Losses, Message, Options, Request, Session, Step, checked, opening, version
from ._torch import BatchNorm, Model, Precision, layout_of, unwrapped

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from typing_extensions import Unpack


def watch(
    model: nn.Module,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    *,
    data: Any,
    loss: Callable[..., Any],
    output: str | PathLike[str] | None = None,
    held_out: Any = None,
    batch_size: int | None = None,
    keep: bool = True,
    classes: Sequence[str] | None = None,
    groups: Labels | Sequence[int] | None = None,
    batch_norm: BatchNorm = "batch",
    precision: Precision = "model",
    units: Mapping[str, int] | None = None,
    every: int = 1,
    name: str | None = None,
    data_name: str | None = None,
    resume: str | PathLike[str] | None = None,
    quiet: bool = False,
    **options: Unpack[Options],
) -> Scope:
    """Record the Loss Change Allocation of a model's training, step by step, from now on.

        scope = lcascope.watch(model, optimizer, data=examples, loss=torch.nn.functional.cross_entropy)

    After every step of the optimizer, the change of the loss is allocated to the parameters. With several optimizers,
    the last of them ends a step. Without one, put the step into `with scope.step():` or call `scope.moved()` after it.

    Args:
        model: The model. Its parameters that require a gradient are recorded.
        optimizer: The optimizer or optimizers that train it.
        data: What the loss is measured on: a list of batches, a DataLoader, a Dataset or a tuple of tensors (inputs,
            targets) with `batch_size`. Always all of it, in the same order; a DataLoader that shuffles is read in the
            order of its dataset.
        loss: `loss(output, target)` for batches that are pairs, or `loss(model, batch)` if its first parameter is
            named `model`. It returns the mean over the batch's examples, or the loss of each.
        output: The run file. Without it, the program chooses a name below `runs/`.
        held_out: Held-out examples, like `data`; with `lca_test=True` their loss is allocated too.
        batch_size: Examples evaluated together, if `data` has no batches yet.
        keep: Whether the examples are read once and kept in memory, or read anew at each evaluation.
        classes: Names of the classes.
        groups: Whole numbers from 0 that take the place of classes, one for each example of `data`, or a function
            that returns those of a batch.
        batch_norm: Whether batch norms use the statistics of the evaluated batch, or the running ones of the moment of
            this call. Otherwise the model is evaluated in evaluation mode.
        precision: Whether the model is evaluated in its own precision, or in double precision ("float64"), which costs
            twice as much on a CPU and far more on most GPUs.
        units: Number of units for layers by patterns of names, such as `{"*.q_proj": 12}` for the heads of an
            attention; the rows of a weight otherwise.
        every: Optimizer steps that one recorded step covers: its allocation is along the straight line from the
            parameters before them to those after them, and costs as much as that of one.
        name: The model's name; its class otherwise.
        data_name: The name of the data.
        resume: A run file to continue. The model must have the parameters of one of its two checkpoints.
        quiet: Whether not to print where the run can be seen.
        options: Options of `lcascope train`, such as `integrator="simpson"` or `by_class=True`.
    """
    if batch_norm not in ("batch", "running"):
        raise Error(f'batch_norm={batch_norm!r}: it is "batch" or "running".')
    if precision not in ("model", "float64"):
        raise Error(f'precision={precision!r}: it is "model" or "float64".')
    given = checked(options, "watch")
    module = unwrapped(model)
    if not isinstance(module, torch.nn.Module):
        raise Error(f"model is a {type(module).__name__}: give a torch.nn.Module, or use lcascope.Recorder.")
    ranks = Ranks()
    layout = layout_of(module, units)
    if layout.size == 0:
        raise Error(f"{type(module).__name__} has no parameters that require a gradient.")
    of_example = Loss(loss)
    evaluated = Model(module, layout, of_example, batch_norm, precision)
    ranks.check_same(evaluated)
    optimizers = _optimizers(optimizer)
    _check_trains(optimizers, evaluated)
    with put_off(), evaluated.undisturbed(), let_through():
        _read(evaluated, of_example, ranks, data, held_out, batch_size, keep, groups, classes, given)
    message = opening(
        producer=f"Python package {version()}, PyTorch {torch.__version__}",
        network=name or type(module).__name__,
        device=_device_text(module, evaluated, ranks, batch_norm),
        data=_data_message(evaluated, data_name or _name_of(data), classes),
        exact=evaluated.exact,
        every=every,
        output=output,
        resume=resume,
        options=given,
    )
    return Scope(evaluated, optimizers, ranks, message, every=every, quiet=quiet)


class Scope(Closing):
    """The recording of a model's training, as `watch` returns it.

    It is also a context manager: at the end of the block the file is closed, as failed if an exception ends it.
    """

    def __init__(
        self, model: Model, optimizers: Sequence[Optimizer], ranks: Ranks, message: Message, *, every: int, quiet: bool
    ) -> None:
        self._model = model
        self._ranks = ranks
        self._every = every
        self._process = os.getpid()
        self._optimizers = optimizers
        self._noted: dict[str, float] = {}
        self._since = 0
        self._explicit = False
        self._session: Session | None = None
        self._hooks: list[Any] = []
        self.status: Status = "running"
        """Whether the recording is running, or how it ended."""
        self.last: Step | None = None
        """The last step and its allocation; None before the first."""
        self.output = Path()
        """The run file."""
        self._together(lambda: self._open(message))
        model.say_unreached()
        if optimizers:
            self._hooks.append(optimizers[-1].register_step_post_hook(self._stepped))
        close_at_exit(self)
        if self._session is not None and not quiet:
            self._session.say_begun()

    @property
    def stopped(self) -> bool:
        """Whether the recording has ended, for example by `lcascope stop`. The same on all ranks."""
        if self._session is not None and self._ranks.size == 1 and os.getpid() == self._process:
            with put_off():
                self._session.poll()
                self._ended(self._session.status)
        return self.status != "running"

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Take in the block what counts as one step, whatever changes the parameters."""
        self._explicit = True
        try:
            yield
        finally:
            self._explicit = False
        self.moved()

    def note(
        self, *, batch_loss: float | None = None, epoch: float | None = None, learning_rate: float | None = None
    ) -> None:
        """Note numbers of the next step, for display."""
        values = {"batch_loss": batch_loss, "epoch": epoch, "learning_rate": learning_rate}
        self._noted |= {key: float(value) for key, value in values.items() if value is not None}

    def moved(self) -> Step | None:
        """Say that the parameters have taken a step. The optimizer's hook does so by itself.

        Returns the step with its allocation; None if the recording has ended, or `every` is not yet reached.
        """
        if self.status != "running" or os.getpid() != self._process:
            return None
        self._since += 1
        if self._since < self._every:
            return None
        self._since = 0
        noted = {"learning_rate": _learning_rate(self._optimizers), **self._noted}
        self._noted = {}
        self._together(lambda: self._allocate(noted))
        return self.last if self.status == "running" else None

    def checkpoint(self) -> None:
        """Have a checkpoint written after the last step, from which `resume` can continue. Rank 0 does it."""
        session = self._session
        if session is None or self.status != "running" or os.getpid() != self._process:
            return
        if self._since:
            warnings.warn(
                f"The checkpoint is that of {self._since} optimizer steps ago (every={self._every}): "
                "`resume` needs the weights of then.",
                stacklevel=2,
            )
        if session.allocating:
            self._together(self._complete)
        try:
            with put_off():
                session.checkpoint()
        except Exception as error:
            self.close("failed", text_of(error))
            raise
        if self._ranks.size == 1:
            self._ended(session.status)

    def close(self, status: Status = "finished", message: str = "") -> None:
        """End the recording: the file then has all steps and is closed. The training may go on unwatched.

        A step whose allocation was interrupted is allocated first, unless that is interrupted too.
        """
        closed(self)
        if self.status != "running" or os.getpid() != self._process:
            return
        if self._hooks and self.last is None and self._since == 0 and status == "finished" and self._ranks.rank == 0:
            warnings.warn(
                "No step was recorded: the optimizer that was given to `watch` has taken none.",
                stacklevel=2,
            )
        if self._since and self._ranks.rank == 0:
            print(f"lcascope: the last {self._since} optimizer steps are not recorded (every={self._every})")
        if self._session is not None and self._session.allocating and status != "failed" and self._ranks.size == 1:
            try:
                self._together(self._complete)
            except KeyboardInterrupt:
                # Again: then without this step.
                status = "stopped"
        try:
            if self._session is not None:
                self._session.close(status, message)
        finally:
            self._ended(status if self._session is None else self._session.status)

    def _stepped(self, *_: Any) -> None:
        if not self._explicit:
            self.moved()

    def _ended(self, status: Status) -> None:
        """Let go of the model if the recording has ended."""
        self.status = status
        if status != "running":
            closed(self)
            for hook in self._hooks:
                hook.remove()

    def _together(self, act: Callable[[], None]) -> None:
        """Let rank 0 act with the program, and the others evaluate for it, without a trace in the model."""
        ranks = self._ranks
        try:
            with put_off(), self._model.undisturbed():
                self._model.check()
                if ranks.rank > 0:
                    self._follow()
                    return
                act()
                assert self._session is not None
                self._ended(self._session.status)
                ranks.tell(("done", self.status, self.last, self.output))
        except Told as told:
            self.close("failed", text_of(told.error))
            raise told.error from None
        except KeyboardInterrupt:
            # Alone, it can go on: what was interrupted is done before the next step.
            if ranks.size > 1:
                self.close("stopped")
            raise
        except Exception as error:
            self.close("failed", text_of(error))
            if ranks.rank == 0:
                ranks.tell(("error", text_of(error)))
            raise

    def _open(self, message: Message) -> None:
        model = self._model
        rows = model.classes if message["options"].get("by_class") else 0
        self._session = Session(model.layout, rows, self._answer, still_waiting=lambda: self._ranks.tell(("wait",)))
        model.write(self._session.parameters)
        self._session.open(message)
        self.output = self._session.output

    def _allocate(self, noted: Mapping[str, float | None]) -> None:
        session, model = self._session, self._model
        assert session is not None
        self._complete()
        if session.status == "running":
            model.write(session.parameters)
            self._arrived(session.step(**noted))

    def _complete(self) -> None:
        """Allocate a step that was interrupted."""
        session = self._session
        assert session is not None
        if session.allocating:
            self._model.come_back(session.parameters)
            self._arrived(session.allocate())

    def _arrived(self, step: Step | None) -> None:
        if step is not None:
            self._model.arrived()
            self.last = step

    def _answer(self, request: Request) -> Losses:
        """Evaluate on all ranks for the program."""
        self._ranks.tell(("evaluate", request))
        sums = self._ranks.evaluate(self._model, request)
        session = self._session
        assert session is not None
        if sums.gradient is not None:
            torch.from_numpy(session.gradient).copy_(sums.gradient)
        if sums.class_gradient is not None:
            torch.from_numpy(session.class_gradient).copy_(sums.class_gradient)
        return self._model.losses(sums, request.part)

    def _follow(self) -> None:
        """Evaluate for rank 0 until it has done what it does."""
        while True:
            kind, *values = self._ranks.listen()
            if kind == "evaluate":
                self._ranks.evaluate(self._model, values[0])
            elif kind == "done":
                status, last, self.output = values
                if last is not None and (self.last is None or last.step != self.last.step):
                    self._model.arrived()
                    self.last = last
                self._ended(status)
                return
            elif kind == "error":
                raise Error(f"On rank 0: {values[0]}")


def _read(
    model: Model,
    loss: Loss,
    ranks: Ranks,
    data: Any,
    held_out: Any,
    batch_size: int | None,
    keep: bool,
    groups: Labels | Sequence[int] | None,
    classes: Sequence[str] | None,
    options: Mapping[str, Any],
) -> None:
    """Read the examples and find their classes."""
    labels = loss.targets if groups is None else groups

    def part(source: Any, labels: Labels | Sequence[int] | None) -> Data:
        return read(source, batch_size=batch_size, keep=keep, labels=labels, rank=ranks.rank, ranks=ranks.size)

    train = part(data, labels)
    parts = {"train": train}
    if held_out is not None:
        parts["test"] = part(held_out, labels if callable(labels) else None)
    model.parts = parts
    found = 1 + max((value for part in parts.values() for value in part.counts), default=0)
    if classes is not None and not found <= len(classes):
        raise Error(f"classes has {len(classes)} names, but there are examples of class {found - 1} (from 0).")
    wanted = "by_class" if options.get("by_class") else "groups" if groups is not None else None
    splits = train.labelled and model.has_each_loss(train.first)
    if wanted and not splits:
        reason = (
            "loss returns the mean of a batch: let it return the loss of each example"
            if train.labelled
            else "the targets are not classes (whole numbers, one for each example): give groups"
        )
        raise Error(f"{wanted}: {reason}.")
    if not splits:
        for own in parts.values():
            own.labelled = False
        return
    model.classes = max(found, len(classes or ()))
    if options.get("by_class"):
        _sort(model)


def _sort(model: Model) -> None:
    """Sort the examples by class if that does not change the loss: all class gradients then cost as much as one."""
    mixed = model.parts["train"]
    by_class = sorted_by_class(mixed)
    if by_class is None or model.has_batch_norm:
        return
    request = Request("train", "loss", 1.0)
    before = model.evaluate(request).numbers[0].item()
    model.parts["train"] = by_class
    after = model.evaluate(request).numbers[0].item()
    if abs(after - before) > 1e-5 * abs(before):
        model.parts["train"] = mixed


def _optimizers(given: Optimizer | Iterable[Optimizer] | None) -> list[Optimizer]:
    """Return the optimizers themselves, also from inside the wrappers of trainers."""
    if given is None:
        return []
    found = []
    optimizer: Any
    for optimizer in given if isinstance(given, list | tuple) else [given]:
        while isinstance(getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
            optimizer = optimizer.optimizer
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise Error(
                f"{type(optimizer).__name__} is no torch.optim.Optimizer: leave it out, and put the step into "
                "`with scope.step():`."
            )
        found.append(optimizer)
    return found


def _check_trains(optimizers: Sequence[Optimizer], model: Model) -> None:
    """Warn if the optimizers have none of the model's parameters: some wrappers have copies of them."""
    theirs = {id(value) for own in optimizers for group in own.param_groups for value in group["params"]}
    if optimizers and not any(id(parameter) in theirs for parameter in model.parameters):
        warnings.warn("The optimizer has none of the model's parameters: is it another model's?", stacklevel=3)


def _learning_rate(optimizers: Sequence[Optimizer]) -> float | None:
    if not optimizers or "lr" not in optimizers[-1].param_groups[0]:
        return None
    return float(optimizers[-1].param_groups[0]["lr"])


def _name_of(data: Any) -> str:
    """Return what the data are called."""
    dataset = getattr(data, "dataset", data)
    return "data" if isinstance(dataset, list | tuple) else type(dataset).__name__


def _device_text(module: nn.Module, model: Model, ranks: Ranks, batch_norm: BatchNorm) -> str:
    """Describe what evaluates the model, and how."""
    if model.device.type == "cuda":
        text = torch.cuda.get_device_name(model.device)
    else:
        threads = torch.get_num_threads()
        text = f"{model.device.type.upper()}, {threads} thread{'s' if threads > 1 else ''}"
    if ranks.size > 1:
        text = f"{ranks.size} processes, {text}"
    text += f", PyTorch {torch.__version__.partition('+')[0]}"
    if model.in_double:
        text += ", in double precision"
    if model.has_batch_norm or batch_norm == "running":
        text += f", batch norm by {'batch' if batch_norm == 'batch' else 'running'} statistics"
    return text


def _data_message(model: Model, name: str, classes: Sequence[str] | None) -> dict[str, Any]:
    """Describe the examples to the program."""
    train, test = model.parts["train"], model.parts.get("test")
    message: dict[str, Any] = {"name": name, "train": train.examples, "slice_size": train.batch_size}
    if train.input_shape:
        message["input_shape"] = train.input_shape
    if train.inputs is not None:
        message["inputs"] = train.inputs
    if test is not None:
        message["held_out"] = test.examples
    if model.classes > 1:
        names = [*(classes or ()), *(str(index) for index in range(len(classes or ()), model.classes))]
        message["classes"] = names
        message["train_classes"] = train.class_counts(model.classes)
        if test is not None:
            message["held_out_classes"] = test.class_counts(model.classes)
    return message
