"""Ends runs in order: at the end of a `with` block, and at the end of the process."""

from __future__ import annotations

import atexit
import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from typing_extensions import Self

Status = Literal["running", "finished", "stopped", "failed"]

_open: set[Closing] = set()


class Closing:
    """Something that is recorded until it is closed."""

    def close(self, status: Status = "finished", message: str = "") -> None:
        """End the recording: all steps are then in the file, which is closed."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        close_after(self, error)


def close_after(recording: Closing, error: BaseException | None) -> None:
    """Close a recording as what has happened deserves: Ctrl-C stops it, another exception has failed it."""
    if error is None:
        recording.close()
    elif isinstance(error, KeyboardInterrupt):
        recording.close("stopped")
    else:
        recording.close("failed", text_of(error))


def text_of(error: BaseException) -> str:
    """Return an exception as one line for the run file."""
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name


def close_at_exit(recording: Closing) -> None:
    """Close a recording at the end of the process, should nobody do it before."""
    _open.add(recording)


def recordings() -> list[Closing]:
    """Return the recordings of this process that are not closed."""
    return list(_open)


def closed(recording: Closing) -> None:
    """Note that a recording is closed."""
    _open.discard(recording)


@atexit.register
def _close_all() -> None:
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    for recording in list(_open):
        try:
            close_after(recording, error)
        except Exception as failure:
            print(f"lcascope: {failure}", file=sys.stderr)


# A forked process has no part in its parent's runs.
os.register_at_fork(after_in_child=_open.clear)
