"""Finds the program `lcascope`, which computes and records."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from ._errors import Error


def find() -> str:
    """Return the path of the program: `$LCASCOPE`, else beside this Python, else on `PATH`."""
    named = os.environ.get("LCASCOPE")
    if named:
        path = shutil.which(named)
        if path is None:
            raise Error(f"LCASCOPE={named} is not a program: correct or unset the environment variable.")
        return path
    beside = Path(sysconfig.get_path("scripts")) / "lcascope"
    if os.access(beside, os.X_OK):
        return str(beside)
    path = shutil.which("lcascope")
    if path is None:
        raise Error(
            f"The program lcascope is neither in {beside.parent} nor on PATH: "
            "`pip install lcascope`, or set the environment variable LCASCOPE to its path."
        )
    return path
