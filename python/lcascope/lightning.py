"""A callback for Lightning: `Trainer(callbacks=[lcascope.lightning.Watch(data=examples, loss=cross_entropy)])`."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ._closing import close_after
from ._watch import Scope, watch


class Watch(Callback):
    """Watches a training; the arguments are those of `lcascope.watch` after the optimizer.

    `lcascope stop` ends the training after the current batch.
    """

    scope: Scope | None = None
    """The recording, once the training has started."""

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.scope = watch(pl_module, trainer.optimizers, **self._arguments)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.scope is not None and self.scope.stopped:
            trainer.should_stop = True

    def on_train_end(self, *_: Any) -> None:
        if self.scope is not None:
            self.scope.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self.scope is not None:
            close_after(self.scope, exception)
