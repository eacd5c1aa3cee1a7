"""`python -m lcascope` is the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lcascope
from lcascope._program import find

PACKAGE = str(Path(lcascope.__file__).parents[1])


def module(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lcascope", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": PACKAGE, **environment},
    )


def test_arguments_and_output_are_those_of_the_program() -> None:
    done = module("--version")
    assert done.returncode == 0
    assert done.stdout == subprocess.run([find(), "--version"], capture_output=True, text=True).stdout
    assert done.stdout.startswith("lcascope ")


def test_the_exit_code_is_that_of_the_program(tmp_path: Path) -> None:
    assert module("info", str(tmp_path / "none.h5")).returncode == 1
    done = module("no-such-command")
    assert done.returncode == 2
    assert "Usage: lcascope" in done.stderr


def test_a_missing_program_is_a_message(tmp_path: Path) -> None:
    done = module("--version", LCASCOPE=str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: LCASCOPE=") and "Traceback" not in done.stderr
