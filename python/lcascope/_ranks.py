"""The processes that train together with `torch.distributed`: each evaluates its share of the examples."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from ._closing import text_of
from ._errors import Error
from ._session import Request
from ._torch import Model, Sums


class Ranks:
    """All processes of a training; one alone if it is not distributed. Rank 0 has the program and the file."""

    def __init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.size = dist.get_world_size() if together else 1

    def tell(self, what: Any) -> None:
        """Tell all other ranks something, which they wait for in `listen`."""
        if self.size > 1:
            dist.broadcast_object_list([what], src=0)

    def listen(self) -> Any:
        """Wait for what rank 0 tells."""
        heard = [None]
        dist.broadcast_object_list(heard, src=0)
        return heard[0]

    def evaluate(self, model: Model, request: Request) -> Sums:
        """Evaluate on all ranks, and return the sum. An error of one is raised on all."""
        if self.size == 1:
            return model.evaluate(request)
        error: BaseException | None = None
        sums = None
        try:
            sums = model.evaluate(request)
        except BaseException as raised:
            error = raised
        numbers = model.no_numbers() if sums is None else sums.numbers
        numbers = torch.cat([numbers, torch.tensor([float(error is not None)], dtype=numbers.dtype)])
        numbers = numbers.to(model.device)
        dist.all_reduce(numbers)
        self.raise_first(error, failures=numbers[-1].item())
        assert sums is not None
        sums.numbers = numbers[:-1].cpu()
        if sums.class_gradient is not None:
            dist.all_reduce(sums.class_gradient)
            sums.gradient = sums.class_gradient.sum(0)
        elif sums.gradient is not None:
            dist.all_reduce(sums.gradient)
        return sums

    def raise_first(self, error: BaseException | None, failures: float) -> None:
        """Raise this rank's error, or that of the first rank that has one."""
        if failures == 0:
            return
        texts: list[str | None] = [None] * self.size
        dist.all_gather_object(texts, None if error is None else text_of(error))
        if error is not None:
            raise Told(error)
        rank, text = next((rank, text) for rank, text in enumerate(texts) if text is not None)
        raise Told(Error(f"On rank {rank}: {text}"))

    def check_same(self, model: Model) -> None:
        """Raise on all ranks if they have different parameters."""
        if self.size == 1:
            return
        sizes = torch.tensor([len(model.parameters), model.layout.size], dtype=torch.float64)
        sums = torch.stack([parameter.detach().double().sum() for parameter in model.parameters]).cpu()
        own = torch.cat([sizes, sums[:1], sums.sum()[None], sums.square().sum()[None]]).to(model.device)
        least, greatest = own.clone(), own.clone()
        dist.all_reduce(least, dist.ReduceOp.MIN)
        dist.all_reduce(greatest, dist.ReduceOp.MAX)
        if not torch.equal(least, greatest):
            raise Error(
                "The ranks have different parameters: wrap the model in DistributedDataParallel, or load the same "
                "state on all, before `watch`."
            )


class Told(Exception):
    """An error that all ranks know of."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error
