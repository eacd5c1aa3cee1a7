"""The examples on which the loss is measured: the same batches at every evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ._errors import Error

if TYPE_CHECKING:
    from torch import Tensor, device

Batch = Any
Labels = Callable[[Batch], "Tensor | None"]


@dataclass
class Data:
    """Examples in batches, with the class of every example if they are `labelled`.

    `batches` and `labels` are this process's share; the numbers count the examples of all processes.
    """

    batches: Iterable[Batch]
    first: Batch = None
    """The first batch of all."""
    labels: list[Tensor] = field(default_factory=list)
    labelled: bool = True
    examples: int = 0
    batch_size: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    """Examples of each class."""
    input_shape: list[int] | None = None
    inputs: list[float] | None = None
    """Least and greatest value of the inputs and their root mean square."""

    def class_counts(self, classes: int) -> list[int]:
        return [self.counts.get(index, 0) for index in range(classes)]

    def __iter__(self) -> Iterator[tuple[Batch, Tensor | None]]:
        """Go through the batches and their labels."""
        count = 0
        for batch in self.batches:
            labels = None
            if self.labelled:
                if count == len(self.labels) or len(self.labels[count]) != size_of(batch):
                    raise Error(_OTHER_BATCHES)
                labels = self.labels[count]
            count += 1
            yield batch, labels
        if self.labelled and count != len(self.labels):
            raise Error(_OTHER_BATCHES)


_OTHER_BATCHES = "data has given other batches than at the start: its examples must come in the same order each time."


def read(
    source: Any,
    *,
    batch_size: int | None,
    keep: bool,
    labels: Labels | Sequence[int] | None,
    rank: int = 0,
    ranks: int = 1,
) -> Data:
    """Read all examples once and keep those of this process's share, or the way to read them again."""
    import torch

    loader = batches_of(source, batch_size)
    if not keep and iter(loader) is loader:
        raise Error("data is an iterator, which can be read only once: leave out keep=False, or give a list.")
    data = Data(batches=[])
    kept: list[Batch] = []
    statistics = _Statistics()
    room = _memory() // 2
    held = 0
    for index, batch in enumerate(loader):
        size = size_of(batch)
        if size == 0:
            raise Error(f"Batch {index} of data has no examples.")
        own = _labels_of(batch, labels, data.examples, size) if data.labelled else None
        if own is None:
            data.labelled = False
        else:
            for value, count in zip(*(part.tolist() for part in torch.unique(own, return_counts=True)), strict=True):
                data.counts[value] = data.counts.get(value, 0) + count
        if data.first is None:
            data.first = batch
        statistics.add(batch)
        data.examples += size
        data.batch_size = max(data.batch_size, size)
        if index % ranks != rank:
            continue
        if own is not None:
            data.labels.append(own)
        if keep:
            kept.append(batch)
            held += _bytes_of(batch)
            if held > room:
                raise Error(
                    f"The examples of data take more than {room >> 30} GiB, half of the memory. "
                    "Give a fixed sample of them, or keep=False to read them anew at every evaluation."
                )
    if data.examples == 0:
        used = iter(loader) is loader
        raise Error("data has no examples" + (": it is an iterator, which has been read before." if used else "."))
    if labels is not None and not callable(labels) and len(labels) != data.examples:
        raise Error(f"groups has {len(labels)} numbers for {data.examples} examples.")
    if not data.labelled:
        data.labels, data.counts = [], {}
    data.batches = kept if keep else _Share(loader, rank, ranks)
    data.input_shape = statistics.shape
    data.inputs = statistics.result()
    return data


def sorted_by_class(data: Data) -> Data | None:
    """Return the same examples in batches of one class each, as far as possible; None if they are not pairs of tensors.

    One gradient of each batch then gives the gradients of all classes.
    """
    import torch

    batches = data.batches
    if not isinstance(batches, list) or not batches or not data.labelled:
        return None
    if not all(
        isinstance(batch, list | tuple) and len(batch) == 2 and all(isinstance(part, torch.Tensor) for part in batch)
        for batch in batches
    ):
        return None
    if len({tuple(part.shape[1:] for part in batch) for batch in batches}) != 1:
        return None
    made: list[Batch] = []
    labels: list[Tensor] = []
    all_labels = torch.cat(data.labels)
    parts = [torch.cat([batch[index] for batch in batches]) for index in (0, 1)]
    for value in torch.unique(all_labels).tolist():
        rows = (all_labels == value).nonzero().flatten()
        for chunk in rows.split(data.batch_size):
            made.append(tuple(part[chunk.to(part.device)] for part in parts))
            labels.append(all_labels[chunk])
    return replace(data, batches=made, labels=labels)


def batches_of(source: Any, batch_size: int | None) -> Iterable[Batch]:
    """Return the batches of a list of batches, a DataLoader, a Dataset, or a tuple of tensors."""
    from torch import Tensor
    from torch.utils.data import DataLoader, RandomSampler, TensorDataset

    if batch_size is not None and batch_size < 1:
        raise Error(f"batch_size={batch_size}: a batch has at least one example.")
    if isinstance(source, DataLoader):
        if batch_size is not None:
            raise Error("batch_size is the DataLoader's: leave it out.")
        if isinstance(source.sampler, RandomSampler) and source.batch_size is not None:
            # The same examples in their own order, all of them.
            return DataLoader(
                source.dataset,
                batch_size=source.batch_size,
                num_workers=source.num_workers,
                collate_fn=source.collate_fn,
                worker_init_fn=source.worker_init_fn,
                multiprocessing_context=source.multiprocessing_context,
            )
        return source
    if isinstance(source, tuple) and source and all(isinstance(part, Tensor) for part in source):
        source = TensorDataset(*source)
        batch_size = batch_size or max(1, len(source))
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not isinstance(source, list | tuple | Mapping):
        if batch_size is None:
            raise Error("data is a Dataset: give batch_size too.")
        return DataLoader(source, batch_size=batch_size)
    if batch_size is not None:
        raise Error("batch_size is for a Dataset or a tuple of tensors; data has batches already.")
    if not isinstance(source, Iterable) or isinstance(source, str | Mapping):
        raise Error(
            f"data is a {type(source).__name__}: give a list of batches, a DataLoader, a Dataset with batch_size, "
            "or a tuple of tensors (inputs, targets)."
        )
    return source


def tensors_of(batch: Batch) -> Iterator[Tensor]:
    """Go through the tensors of a batch."""
    from torch import Tensor

    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for part in batch.values():
            yield from tensors_of(part)
    elif isinstance(batch, list | tuple):
        for part in batch:
            yield from tensors_of(part)


def size_of(batch: Batch) -> int:
    """Return the number of examples of a batch: the length of its first tensor."""
    for tensor in tensors_of(batch):
        if tensor.dim() > 0:
            return len(tensor)
    raise Error(f"A batch of data ({type(batch).__name__}) has no tensor whose first axis counts its examples.")


def moved(batch: Batch, to: device) -> Batch:
    """Return a batch on a device."""
    if hasattr(batch, "to"):
        return batch.to(to, non_blocking=True)
    return _each_part(batch, lambda part: moved(part, to))


def wide(batch: Batch) -> Batch:
    """Return a batch with its floating-point numbers in double precision."""
    import torch

    if isinstance(batch, torch.Tensor):
        if batch.is_complex():
            return batch.to(torch.complex128)
        return batch.double() if batch.is_floating_point() else batch
    return _each_part(batch, wide)


def _each_part(batch: Batch, change: Callable[[Any], Any]) -> Batch:
    """Return a batch whose parts have been changed."""
    if isinstance(batch, Mapping):
        return {key: change(part) for key, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(change(part) for part in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(change(part) for part in batch)
    return batch


class _Share:
    """Every `ranks`-th batch of a loader, from `rank` on."""

    def __init__(self, loader: Iterable[Batch], rank: int, ranks: int) -> None:
        self._loader, self._rank, self._ranks = loader, rank, ranks

    def __iter__(self) -> Iterator[Batch]:
        for index, batch in enumerate(self._loader):
            if index % self._ranks == self._rank:
                yield batch


class _Statistics:
    """Shape and range of the inputs: the first tensor of each batch."""

    def __init__(self) -> None:
        self.shape: list[int] | None = None
        self._least, self._greatest, self._squares, self._count = math.inf, -math.inf, 0.0, 0

    def add(self, batch: Batch) -> None:
        inputs = next(tensors_of(batch))
        if self.shape is None:
            self.shape = list(inputs.shape[1:])
        if inputs.is_floating_point() and inputs.numel() > 0:
            inputs = inputs.detach()
            self._least = min(self._least, float(inputs.min()))
            self._greatest = max(self._greatest, float(inputs.max()))
            # The norm of many numbers is accurate enough in single precision, which every device has.
            self._squares += float(inputs.float().norm()) ** 2
            self._count += inputs.numel()

    def result(self) -> list[float] | None:
        if self._count == 0:
            return None
        return [self._least, self._greatest, math.sqrt(self._squares / self._count)]


def _labels_of(batch: Batch, labels: Labels | Sequence[int] | None, done: int, size: int) -> Tensor | None:
    import torch

    if labels is None:
        return None
    own = labels(batch) if callable(labels) else labels[done : done + size]
    if own is None:
        return None
    own = torch.as_tensor(own).detach().cpu()
    if own.shape != (size,) or own.is_floating_point() or bool((own < 0).any()):
        raise Error(f"groups must be {size} whole numbers from 0, one for each example of the batch.")
    return own.long()


def _bytes_of(batch: Batch) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_of(batch) if tensor.device.type == "cpu")


def _memory() -> int:
    """Return the machine's memory in bytes."""
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
