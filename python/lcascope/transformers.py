"""A callback for Hugging Face: `Trainer(model, arguments, callbacks=[lcascope.transformers.Watch(data=examples)])`."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ._watch import Scope, watch


class Watch(TrainerCallback):
    """Watches a training; the arguments are those of `lcascope.watch` after the optimizer.

    The loss is the model's own unless one is given, and a Dataset is put into batches as the Trainer does it, of its
    size for evaluation. `lcascope stop` ends the training after the current step.
    """

    scope: Scope | None = None
    """The recording, once the training has started."""

    def __init__(self, **arguments: Any) -> None:
        self._arguments = {"loss": lambda model, batch: model(**batch).loss, **arguments}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        arguments = dict(self._arguments)
        size = arguments.pop("batch_size", None) or args.per_device_eval_batch_size
        collate = kwargs["train_dataloader"].collate_fn
        for part in ("data", "held_out"):
            source: Any = arguments.get(part)
            if hasattr(source, "__getitem__") and not isinstance(source, list | tuple):
                arguments[part] = DataLoader(source, batch_size=size, collate_fn=collate)
        self.scope = watch(kwargs["model"], kwargs["optimizer"], **arguments)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.scope is not None and self.scope.stopped:
            control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.scope is not None:
            self.scope.close()
