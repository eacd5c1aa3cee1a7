"""Deaths, signals and forks: the file is whole, and whoever is left says what happened."""

from __future__ import annotations

import copy
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import h5py
import processes
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lcascope

PACKAGE = Path(lcascope.__file__).parents[1]

# `LCASCOPE_KILLS=50` kills more often.
KILLS = int(os.environ.get("LCASCOPE_KILLS", "6"))

TRAIN = """
    import os, sys, time, torch, torch.nn.functional as F
    import lcascope
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs, labels = torch.randn(200, 20), torch.arange(200) % 3
    model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.ReLU(), torch.nn.Linear(30, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()

    def watch(**options):
        options = {"data": (inputs, labels), "loss": F.cross_entropy, "output": "run.h5", "quiet": True, **options}
        return lcascope.watch(model, optimizer, **options)
"""


def start(script: str, **options) -> subprocess.Popen[str]:
    """Start a program that trains, and then what `script` says."""
    text = textwrap.dedent(TRAIN) + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", text],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def state_of(path: str = "run.h5") -> tuple[int, int, str]:
    """Steps, status (1 finished, 2 stopped, 3 failed) and message of a run."""
    with h5py.File(path) as file:
        assert len(file["lca/total"]) == file["state/committed"][0]
        return int(file["state/committed"][0]), int(file["state/status"][0]), file["state/message"][0].decode()


def is_closed(path: str) -> bool:
    """Whether the file is no longer written: only then a reader without SWMR gets it."""
    try:
        return state_of(path)[1] != 0
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def net() -> tuple[nn.Module, torch.optim.Optimizer, torch.Tensor, torch.Tensor]:
    model = nn.Linear(5, 3)
    return model, torch.optim.SGD(model.parameters(), 0.1), torch.randn(20, 5), torch.arange(20) % 3


def test_a_program_that_is_killed_is_an_error_within_a_second(lcascope_says):
    model, optimizer, inputs, labels = net()
    scope = lcascope.watch(
        model, optimizer, data=(inputs, labels), loss=F.cross_entropy, output="run.h5", quiet=True, batch_size=7
    )
    for _ in range(3):
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    os.kill(scope._session.process_id, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(lcascope.Error, match="The program lcascope was killed by SIGKILL"):
        optimizer.step()
    assert time.monotonic() - began < 1
    assert scope.stopped and scope.status == "failed" and model.training
    optimizer.step()
    scope.close()
    assert "CRASHED" in lcascope_says("info", "run.h5").upper()
    lcascope_says("verify", "run.h5")


@pytest.mark.long
def test_kills_of_the_program_at_random_moments(lcascope_says):
    rng = random.Random(5)
    for index in range(KILLS):
        model, optimizer, inputs, labels = net()
        scope = lcascope.watch(
            model, optimizer, data=(inputs, labels), loss=F.cross_entropy, output=f"{index}.h5", quiet=True
        )
        wait = rng.uniform(0, 0.3)
        killer = subprocess.Popen(["sh", "-c", f"sleep {wait}; kill -9 {scope._session.process_id}"])
        with pytest.raises(lcascope.Error, match="SIGKILL"):
            while True:
                F.cross_entropy(model(inputs), labels).backward()
                optimizer.step()
        killer.wait()
        lcascope_says("verify", f"{index}.h5")


def train_until_killed(ready: Connection, path: str) -> None:
    model, optimizer, inputs, labels = net()
    lcascope.watch(model, optimizer, data=(inputs, labels), loss=F.cross_entropy, output=path, quiet=True)
    ready.send(None)
    while True:
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()


@pytest.mark.long
def test_kills_of_the_training_at_random_moments(lcascope_says):
    """The program notices within a second, and closes the file as failed."""
    rng = random.Random(6)
    for index in range(KILLS):
        path = f"{index}.h5"
        training, ready = processes.start(train_until_killed, path)
        ready.recv()
        time.sleep(rng.uniform(0, 0.3))
        training.kill()
        training.join()
        wait_for(lambda path=path: is_closed(path), seconds=1.5)
        _, status, message = state_of(path)
        assert status == 3 and "ended without closing the run" in message
        lcascope_says("verify", path)


def test_stop_from_the_shell(lcascope_says):
    model, optimizer, inputs, labels = net()
    scope = lcascope.watch(
        model, optimizer, data=(inputs, labels), loss=F.cross_entropy, output="run.h5", quiet=True
    )
    optimizer.step()
    assert not scope.stopped
    lcascope_says("stop", "run.h5")
    wait_for(lambda: scope.stopped)
    assert scope.status == "stopped" and scope.last.step == 1
    # The training may go on; nothing is recorded of it.
    optimizer.step()
    assert scope.last.step == 1
    scope.close()
    assert state_of()[:2] == (1, 2)


def test_stop_is_noticed_by_the_step(lcascope_says):
    model, optimizer, inputs, labels = net()
    scope = lcascope.watch(
        model, optimizer, data=(inputs, labels), loss=F.cross_entropy, output="run.h5", quiet=True
    )
    lcascope_says("stop", "run.h5")
    steps = 0
    while not scope.stopped:
        optimizer.step()
        steps += 1
        assert steps < 10_000
    assert state_of()[1] == 2


def test_planned_steps_finish_the_run():
    model, optimizer, inputs, labels = net()
    scope = lcascope.watch(
        model, optimizer, data=(inputs, labels), loss=F.cross_entropy, output="run.h5", quiet=True, steps=3
    )
    for _ in range(5):
        optimizer.step()
    wait_for(lambda: scope.stopped)
    assert scope.status == "finished" and scope.last.step == 3
    assert state_of()[:2] == (3, 1)


def test_ctrl_c_in_a_program_stops_the_run():
    training = start("with watch(): print(flush=True); train(10**6)")
    training.stdout.readline()
    time.sleep(0.5)
    training.send_signal(signal.SIGINT)
    _, said = training.communicate(timeout=20)
    assert "KeyboardInterrupt" in said
    steps, status, message = state_of()
    assert steps > 0 and status == 2 and message == ""


@pytest.mark.parametrize("at", [1, 2, 4, 5])
def test_ctrl_c_within_a_step_leaves_the_model_as_it_is_and_the_run_can_go_on(at: int):
    """As in a notebook, where the cell is run again. `at` is the evaluation that is interrupted."""
    torch.manual_seed(4)

    def train(interrupted: bool) -> tuple[list[float], bytes]:
        torch.manual_seed(7)
        model, optimizer, inputs, labels = net()
        model.bn = nn.BatchNorm1d(3)
        calls = 0

        def loss(model: nn.Module, batch: list[torch.Tensor]) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if interrupted and calls == 2 + at:
                raise KeyboardInterrupt
            return F.cross_entropy(model.bn(model(batch[0])), batch[1])

        path = f"{interrupted}.h5"
        scope = lcascope.watch(
            model, optimizer, data=[(inputs, labels)], loss=loss, output=path, quiet=True, integrator="simpson"
        )
        for _ in range(4):
            optimizer.zero_grad()
            F.cross_entropy(model.bn(model(inputs)), labels).backward()
            try:
                optimizer.step()
            except KeyboardInterrupt:
                assert scope.status == "running"
        scope.close()
        with h5py.File(path) as file:
            return file["lca/total"][:].tolist(), model.weight.detach().numpy().tobytes()

    plain, other = train(False), train(True)
    assert plain == other and len(plain[0]) == 4


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("in_block", [True, False])
def test_ctrl_c_within_a_step_and_then_the_end(times: int, in_block: bool):
    """The interrupted step is allocated before the file is closed, unless that is interrupted too."""
    model, optimizer, inputs, labels = net()
    calls = 0

    def loss(model: nn.Module, batch: list[torch.Tensor]) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if 5 <= calls < 5 + times:
            raise KeyboardInterrupt
        return F.cross_entropy(model(batch[0]), batch[1])

    scope = lcascope.watch(model, optimizer, data=[(inputs, labels)], loss=loss, output="run.h5", quiet=True)
    optimizer.step()
    if in_block:
        with pytest.raises(KeyboardInterrupt), scope:
            optimizer.step()
    else:
        # As in a notebook, where the cell that trains is interrupted, and another closes the run.
        with pytest.raises(KeyboardInterrupt):
            optimizer.step()
        scope.close()
    steps, status, message = state_of()
    assert steps == 3 - times == scope.last.step
    if times == 2:
        assert (status, scope.status) == (3, "failed") and "interrupted while a step was allocated" in message
    else:
        assert (status, scope.status) == ((2, "stopped") if in_block else (1, "finished"))


def test_the_end_of_the_process_ends_the_run():
    assert start("scope = watch(); train(3)").wait(30) == 0
    assert state_of()[:2] == (3, 1)
    failing = start("scope = watch(output='other.h5'); train(2); raise ValueError('so it is')")
    assert failing.wait(30) == 1
    assert state_of("other.h5") == (2, 3, "ValueError: so it is")


def test_forks_have_no_part_in_the_run():
    """A child of the training neither closes the run nor keeps the program from seeing the training die."""
    training = start(
        """
        scope = watch()
        train(2)
        if os.fork() == 0:
            train(2)
            scope.close()
            if os.fork() == 0:
                sys.exit(0)
            sys.exit(0)
        time.sleep(0.5)
        os.wait()
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        train(1)
        print(child, flush=True)
        train(10**6)
        """
    )
    child = int(training.stdout.readline())
    training.kill()
    training.wait()
    try:
        os.kill(child, 0)

        wait_for(lambda: is_closed("run.h5"), seconds=2)
        assert state_of()[:2] >= (3, 3)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_programs_child_does_not_inherit_the_connection():
    training = start(
        """
        import subprocess
        scope = watch()
        other = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False)
        print(other.stdout, flush=True)
        """
    )
    out, _ = training.communicate(timeout=30)
    assert "pipe:" in out or "/dev/null" in out
    assert "socket:" not in out and "memfd" not in out


@pytest.mark.parametrize("setting", ["/no/such/program", "/etc/passwd"])
def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch, setting: str):
    monkeypatch.setenv("LCASCOPE", setting)
    model, optimizer, inputs, labels = net()
    with pytest.raises(lcascope.Error, match=f"LCASCOPE={setting} is not a program"):
        lcascope.watch(model, optimizer, data=(inputs, labels), loss=F.cross_entropy)


def test_a_program_that_says_nothing_useful(monkeypatch: pytest.MonkeyPatch, folder: Path):
    other = folder / "lcascope"
    other.write_text("#!/bin/sh\necho 'not this one' >&2\nexit 3\n")
    other.chmod(0o755)
    monkeypatch.setenv("LCASCOPE", str(other))
    model, optimizer, inputs, labels = net()
    with pytest.raises(lcascope.Error, match="The program lcascope ended with code 3: not this one"):
        lcascope.watch(model, optimizer, data=(inputs, labels), loss=F.cross_entropy)


def test_resume(lcascope_says):
    torch.manual_seed(0)
    model, optimizer, inputs, labels = net()
    arguments = {"data": (inputs, labels), "loss": F.cross_entropy, "quiet": True}
    with lcascope.watch(model, optimizer, output="run.h5", integrator="simpson", **arguments) as scope:
        for _ in range(3):
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        scope.close("stopped")
    with torch.no_grad():
        model.bias += 0.5
    with pytest.raises(lcascope.Error, match="the weights after step 3 are not those of the run"):
        lcascope.watch(model, optimizer, resume="run.h5", **arguments)
    with torch.no_grad():
        model.bias -= 0.5
    model.load_state_dict(model.state_dict())
    with h5py.File("run.h5") as file:
        saved = max(file[f"checkpoint/{slot}/step"][0] for slot in "01")
        slot = max("01", key=lambda slot: file[f"checkpoint/{slot}/step"][0])
        flat = torch.from_numpy(file[f"checkpoint/{slot}/params"][:])
    assert saved == 3
    with torch.no_grad():
        model.weight.copy_(flat[:15].view(3, 5))
        model.bias.copy_(flat[15:])
    with lcascope.watch(model, optimizer, resume="run.h5", **arguments) as scope:
        assert scope.output == Path("run.h5")
        optimizer.step()
        assert scope.last.step == 4
    assert state_of()[:2] == (4, 1)
    lcascope_says("verify", "run.h5")


def test_a_checkpoint_beside_ones_own(lcascope_says):
    """The program is killed after further steps; the training goes on from its own checkpoint."""
    model, optimizer, inputs, labels = net()
    arguments = {"data": (inputs, labels), "loss": F.cross_entropy, "quiet": True}
    scope = lcascope.watch(model, optimizer, output="run.h5", **arguments)

    def train(steps: int) -> list[float]:
        out = []
        for _ in range(steps):
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            out.append(scope.last.lca)
        return out

    train(3)
    scope.checkpoint()
    own = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    lost = train(4)
    # It is in the file after a second at the latest.
    time.sleep(1)
    train(1)
    time.sleep(1)
    os.kill(scope._session.process_id, signal.SIGKILL)
    with pytest.raises(lcascope.Error, match="SIGKILL"):
        optimizer.step()

    model.load_state_dict(own[0])
    optimizer.load_state_dict(own[1])
    with lcascope.watch(model, optimizer, resume="run.h5", **arguments) as scope:
        assert train(4) == lost and scope.last.step == 7
        scope.checkpoint()
        train(3)
    assert state_of()[:2] == (10, 1)
    scope.checkpoint()
    lcascope_says("verify", "run.h5")


@pytest.mark.parametrize(("every", "saved"), [("stop", [0, 2]), ("never", [0, 0]), (1, [1, 2])])
def test_checkpoints_are_written_when_they_were_asked_for(every, saved: list[int]):
    model, optimizer, inputs, labels = net()
    arguments = {"data": (inputs, labels), "loss": F.cross_entropy, "quiet": True}
    with lcascope.watch(model, optimizer, output="run.h5", checkpoint_every=every, **arguments):
        for _ in range(2):
            optimizer.step()
    with h5py.File("run.h5") as file:
        assert sorted(file[f"checkpoint/{slot}/step"][0] for slot in "01") == saved


def test_a_checkpoint_within_a_step_of_several():
    model, optimizer, inputs, labels = net()
    with lcascope.watch(
        model, optimizer, data=(inputs, labels), loss=F.cross_entropy, every=2, output="run.h5", quiet=True
    ) as scope:
        optimizer.step()
        with pytest.warns(UserWarning, match=r"that of 1 optimizer steps ago \(every=2\)"):
            scope.checkpoint()
        optimizer.step()
        scope.checkpoint()


def test_a_full_disk_is_said(folder: Path):
    """A limit on the size of files takes the place of the disk's."""
    training = start(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
        scope = watch(record_params=1)
        try:
            train(10**6)
        except lcascope.Error as error:
            print(error)
        """
    )
    out, err = training.communicate(timeout=60)
    assert training.returncode == 0 and out.strip(), err
    assert state_of()[1] == 3
