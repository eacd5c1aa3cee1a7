"""What all tests share: the program, one thread, and a folder of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

PROGRAM = Path(os.environ.get("LCASCOPE", Path(__file__).parents[2] / "target/debug/lcascope")).absolute()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes more than five seconds")


@pytest.fixture(scope="session", autouse=True)
def program() -> Path:
    if not PROGRAM.exists():
        pytest.exit(f"{PROGRAM} is not there: build it, or name one with LCASCOPE", returncode=4)
    os.environ["LCASCOPE"] = str(PROGRAM)
    torch.set_num_threads(1)
    return PROGRAM


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which the test runs."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    yield tmp_path


@pytest.fixture
def lcascope_says(program: Path) -> Callable[..., str]:
    """What a command of the program prints; it must succeed."""

    def run(*arguments: str | Path) -> str:
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
