"""The guide of the package: its complete examples run, in their order, in one Python."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import lcascope
import pytest
from lcascope._session import Options

GUIDE = Path(__file__).parents[2] / "docs" / "python.md"


def test_examples_of_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Fragments, which need a model or a dataset of the reader's, are marked `py`.
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, GUIDE.name, "exec"), names)

    assert len(lcascope.Run("runs/mine.h5").table("overview")) == 4 * 30
    assert len(lcascope.Run("runs/by-hand.h5").table("overview")) == 3
    falling = lcascope.Run("runs/numpy.h5").table("overview")
    assert (falling["loss_change"] < 0).all() and len(falling) == 10
    assert Path("heat-map.svg").is_file() and Path("report/report.html").is_file()


def test_the_guide_has_every_argument() -> None:
    text = GUIDE.read_text()
    tables = text[text.index("## Arguments") : text.index("## While it trains")]
    first_columns = re.findall(r"^\| ([^|]*) \|", tables, re.MULTILINE)
    documented = set(re.findall(r"`(\w+)`", " ".join(first_columns)))
    arguments = set(inspect.signature(lcascope.watch).parameters) - {"options"}
    assert documented == arguments | set(Options.__annotations__)
