"""Ctrl-C: put off where it would leave a message half sent or a model half restored, let through elsewhere."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# The handler in whose place `_note` is, and what has arrived meanwhile.
_handler: Any = None
_noted: list[Any] = []


@contextmanager
def put_off() -> Iterator[None]:
    """Put Ctrl-C off to the end of the block, except within `let_through`."""
    global _handler
    before = _current()
    if before is _note or not callable(before):
        yield
        return
    _handler = before
    signal.signal(signal.SIGINT, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _deliver()


@contextmanager
def let_through() -> Iterator[None]:
    """Let Ctrl-C interrupt the block, also within `put_off`."""
    if _current() is not _note:
        yield
        return
    signal.signal(signal.SIGINT, _handler)
    try:
        _deliver()
        yield
    finally:
        signal.signal(signal.SIGINT, _note)


def _current() -> Any:
    """Return the handler of Ctrl-C if this thread is the one that it interrupts."""
    return signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None


def _note(*arguments: Any) -> None:
    _noted.append(arguments)


def _deliver() -> None:
    if _noted:
        arguments = _noted[0]
        _noted.clear()
        _handler(*arguments)
