"""The program `lcascope record` as a child process, and the line to it (docs/protocol.md)."""

from __future__ import annotations

import json
import math
import mmap
import os
import select
import signal
import socket
import subprocess
import tempfile
import weakref
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ._errors import Error
from ._interrupts import let_through
from ._program import find

PROTOCOL = 1

Message = dict[str, Any]

_MOST_BYTES = 64 << 20
_SECONDS_TO_DIE = 1.0


class Client:
    """A running `lcascope record`.

    `memory` is what both sides share: 32-bit floats.
    """

    def __init__(self, floats: int) -> None:
        program = find()
        descriptor = _shared_memory(floats * 4)
        ours, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self.memory: NDArray[np.float32] = np.frombuffer(mmap.mmap(descriptor, floats * 4), dtype=np.float32)
            # A session of its own: Ctrl-C in the terminal reaches only this process, which ends the run in order.
            self._process = subprocess.Popen(
                [program, "record", "--memory", str(descriptor)],
                stdin=theirs.fileno(),
                stdout=self._said,
                stderr=self._said,
                pass_fds=[descriptor],
                start_new_session=True,
            )
        except BaseException as error:
            ours.close()
            self._said.close()
            if isinstance(error, OSError):
                raise Error(f"{program} does not start: {error}.") from error
            raise
        finally:
            theirs.close()
            os.close(descriptor)
        self._socket = ours
        self._received = bytearray()
        _clients.add(self)

    @property
    def process_id(self) -> int:
        """The program's process."""
        return int(self._process.pid)

    def send(self, kind: str, **values: Any) -> None:
        """Send a message. Whether the program has died is learnt by receiving."""
        line = json.dumps(_encoded({"message": kind, **values}), allow_nan=False).encode() + b"\n"
        if len(line) > _MOST_BYTES:
            raise Error(f"The message `{kind}` has {len(line)} bytes, and at most {_MOST_BYTES} are allowed.")
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(line)

    def has_message(self, seconds: float) -> bool:
        """Wait so many seconds for a message, or the end of the program."""
        with let_through():
            return b"\n" in self._received or bool(select.select([self._socket], [], [], seconds)[0])

    def receive(self) -> Message:
        """Wait for the next message. Raises `Error` if the program has died."""
        while b"\n" not in self._received:
            with let_through():
                select.select([self._socket], [], [])
            try:
                arrived = self._socket.recv(1 << 16)
            except ConnectionResetError:
                arrived = b""
            self._received += arrived
            if not arrived:
                self._died()
        line, _, self._received = self._received.partition(b"\n")
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        """Close the line and wait for the program's end; it then has closed the file."""
        self._socket.close()
        self._process.wait()
        self._said.close()
        _clients.discard(self)

    def leave(self) -> None:
        """Close a forked process's copy of the line: it belongs to the parent."""
        self._socket.close()

    def _died(self) -> NoReturn:
        """Raise what is known about the program's death."""
        try:
            code = self._process.wait(_SECONDS_TO_DIE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with code {code}"
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 2000))
        said = self._said.read().decode(errors="replace").strip()
        raise Error(f"The program lcascope {how}" + (f": {said}" if said else "."))


def _shared_memory(size: int) -> int:
    """Return the descriptor of an unnamed file of so many bytes, which is not inherited."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("lcascope")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, max(size, 1))
        return descriptor
    except OSError as error:
        os.close(descriptor)
        raise Error(f"{size} bytes of shared memory are not to be had: {error}.") from error


def _encoded(value: Any) -> Any:
    """Return a value as JSON has it: a number that is not finite is a string."""
    if isinstance(value, dict):
        return {key: _encoded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _encoded(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def number(value: Any) -> float:
    """Return a number from a message as a float."""
    return math.nan if value is None else float(value)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _leave_all() -> None:
    for client in list(_clients):
        client.leave()
    _clients.clear()


# Workers of a DataLoader are forks: with a copy of the socket they would keep the program waiting for a dead parent.
os.register_at_fork(after_in_child=_leave_all)
