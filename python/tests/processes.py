"""Processes for tests, forked from one that has imported PyTorch and has done nothing yet."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch._dynamo", "torch.distributed", "torch.nn.parallel", "lcascope", "h5py"])


def start(function: Callable[..., Any], *arguments: Any) -> tuple[ForkServerProcess, Connection]:
    """Start a process that runs a function with a connection and these arguments."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_run, args=(function, os.getcwd(), theirs, *arguments))
    process.start()
    theirs.close()
    return process, ours


def ranks(size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What a function returns on each of so many ranks, or the text of what it raised."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [start(_rank, rank, size, port, function, *arguments) for rank in range(size)]
    results = []
    for process, connection in started:
        assert connection.poll(60), "a rank is stuck"
        results.append(connection.recv())
        process.join()
    return results


def _run(function: Callable[..., Any], folder: str, connection: Connection, *arguments: Any) -> None:
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    os.chdir(folder)
    function(connection, *arguments)


def _rank(
    connection: Connection, rank: int, size: int, port: int, function: Callable[..., Any], *arguments: Any
) -> None:
    import torch.distributed as dist

    if size > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
        dist.init_process_group("gloo", rank=rank, world_size=size)
    try:
        connection.send(function(rank, size, *arguments))
    except BaseException as error:
        traceback.print_exc()
        connection.send(f"{type(error).__name__}: {error}")
