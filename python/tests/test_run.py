"""Reading run files: tables against the file itself, figures, reports, the explorer, and errors."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path

import h5py
import lcascope
import numpy as np
import pytest
from lcascope import run as reading
from lcascope._program import find

STEPS = 30


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> lcascope.Run:
    """A run of the built-in network, which has all that a view may show."""
    path = tmp_path_factory.mktemp("runs") / "small.h5"
    options = [
        "--steps",
        str(STEPS),
        "--by-class",
        "--lca-test",
        "--record-params=1",
        "--test-size=200",
        "--train-size=1000",
    ]
    subprocess.run([find(), "train", *options, "--quiet", "--output", path], check=True)
    return lcascope.Run(path)


# Views that need to be told what to show.
CHOICES = {"units": {"layer": "fc3"}, "parameter": {"parameter": 84_000}}


def test_every_view_is_a_table_and_a_figure(run: lcascope.Run) -> None:
    views = run.views
    assert {"layers", "heat-map", "units", "parameter"} <= set(views)
    assert views["layers"].startswith("every layer's totals")
    for view in views:
        options = CHOICES.get(view, {})
        table = run.table(view, **options)
        assert len(table.columns) > 1, view
        root = ElementTree.fromstring(run.plot(view, **options).svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg", view


def test_tables_have_the_numbers_of_the_file(run: lcascope.Run) -> None:
    with h5py.File(run.path) as file:
        layer_lca = file["lca/layer"][:].astype(np.float64)
        residual = file["lca/residual"][:]
        trace = file["param/lca_sum"][-1].astype(np.float64)
    steps = run.table("heat-map")
    names = run.table("layers")["layer"]
    assert list(steps["step"]) == list(range(STEPS))
    for index, name in enumerate(names):
        np.testing.assert_array_equal(steps[f"lca/{name}"], layer_lca[:, index])
    np.testing.assert_array_equal(steps["residual"], residual)
    np.testing.assert_allclose(run.table("layers")["lca"], layer_lca.sum(0), rtol=1e-12)
    np.testing.assert_array_equal(run.table("parameters")["lca_sum"], trace)


def test_rows_add_up(run: lcascope.Run) -> None:
    table = run.table("overview", steps=range(5, 29), every=4)
    assert list(table["step"]) == [5, 9, 13, 17, 21, 25]
    assert list(table["steps"]) == [4] * 6
    # Counts are signed: their differences do not wrap around.
    assert (table["step"].diff(-1).dropna() == -4).all()
    np.testing.assert_allclose(table["lca"] + table["residual"], table["loss_change"], atol=1e-12)
    single = run.table("overview", steps=slice(5, 29))
    np.testing.assert_allclose(table["lca"].sum(), single["lca"].sum(), rtol=1e-12)


def test_slices_may_be_open(run: lcascope.Run) -> None:
    assert list(run.table("overview", steps=slice(None, 2))["step"]) == [0, 1]
    assert list(run.table("overview", steps=slice(STEPS - 1, None))["step"]) == [STEPS - 1]
    assert list(run.table("overview", steps="2..4")["step"]) == [2, 3]
    with pytest.raises(lcascope.Error, match="every=3"):
        run.table("overview", steps=range(0, 30, 3))


def test_libraries_have_the_same_table(run: lcascope.Run) -> None:
    frame = run.table("layers")
    assert frame.attrs["units"]["lca"] == "nats"
    for library in ("polars", "pyarrow"):
        table = run.table("layers", library=library)
        assert type(table).__module__.startswith(library)
        columns = table.to_pydict() if library == "pyarrow" else table.to_dict(as_series=False)
        assert list(columns) == list(frame.columns)
        for name, values in columns.items():
            assert values == list(frame[name]), name


def test_without_a_library_the_error_says_what_to_install(run: lcascope.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*missing: str) -> None:
        monkeypatch.setattr(reading, "find_spec", lambda name: None if name in missing else find_spec(name))

    without("pandas")
    assert type(run.table("layers")).__module__.startswith("polars")
    without("pyarrow")
    with pytest.raises(lcascope.Error, match="needs pyarrow: `pip install pyarrow`"):
        run.table("layers", library="pandas")
    without("pandas", "polars", "pyarrow")
    with pytest.raises(lcascope.Error, match=r"pip install 'lcascope\[pandas\]'"):
        run.table("layers")
    with pytest.raises(lcascope.Error, match="tables are made with 'pandas', 'polars', 'pyarrow'"):
        run.table("layers", library="numpy")


def test_figures_are_saved(run: lcascope.Run, tmp_path: Path) -> None:
    figure = run.plot("heat-map", layer="fc1")
    assert figure._repr_svg_() == figure.svg
    # Twice: a cell of a notebook runs again.
    for _ in range(2):
        svg = figure.save(tmp_path / "lca.svg")
        png = figure.save(tmp_path / "lca.png")
    assert svg.read_text() == figure.svg
    assert png.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(lcascope.Error, match=r"\.svg or \.png"):
        figure.save(tmp_path / "lca.jpg")


def test_summary_and_report(run: lcascope.Run, tmp_path: Path) -> None:
    assert "mnist-fc, 84060 parameters" in run.info()
    page = run.report(tmp_path / "report")
    assert "<html" in page.read_text()[:500]
    with pytest.raises(lcascope.Error, match="--force"):
        run.report(tmp_path / "report")
    run.report(tmp_path / "report", force=True)


def test_errors_are_those_of_the_program(run: lcascope.Run, tmp_path: Path) -> None:
    with pytest.raises(lcascope.Error, match="unknown view `loss`") as raised:
        run.table("loss")
    assert not str(raised.value).startswith("error:") and "Usage" not in str(raised.value)
    with pytest.raises(lcascope.Error, match="covers one layer"):
        run.table("units")
    with pytest.raises(lcascope.Error, match=r"'--layr'[\s\S]*did you mean '--layer'"):
        run.plot("heat-map", layr="fc1")
    with pytest.raises(lcascope.Error, match="does not exist"):
        lcascope.Run(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not a run")
    with pytest.raises(lcascope.Error, match=r"text\.h5"):
        lcascope.Run(tmp_path / "text.h5").info()


def test_a_program_that_dies_is_an_error(run: lcascope.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "lcascope"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("LCASCOPE", str(program))
    with pytest.raises(lcascope.Error, match="`lcascope info` was killed by SIGKILL"):
        run.info()
    program.write_bytes(b"\x7fELF")
    with pytest.raises(lcascope.Error, match="does not start"):
        run.info()


def test_a_run_that_is_being_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "live.h5"
    options = ["--epochs", "1000", "--train-size", "1000", "--quiet", "--output", path]
    training = subprocess.Popen([find(), "train", *options])
    try:
        rows = 0
        end = time.monotonic() + 60
        while rows < 3 and time.monotonic() < end:
            assert training.poll() is None
            try:
                rows = len(lcascope.Run(path).table("overview"))
            except lcascope.Error:
                time.sleep(0.1)
        assert rows >= 3
        subprocess.run([find(), "stop", path], check=True, capture_output=True)
        assert training.wait(30) == 0
        assert len(lcascope.Run(path).table("overview")) >= rows
    finally:
        training.kill()
        training.wait()


def test_the_explorer_starts_in_a_terminal(run: lcascope.Run) -> None:
    ours, theirs = pty.openpty()
    code = f"import lcascope; lcascope.open({str(run.path)!r}, glyphs='ascii'); print('back in Python')"
    package = str(Path(lcascope.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "TERM": "xterm-256color", "LINES": "30", "COLUMNS": "100"}
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        assert b"Overview" in _until(ours, b"Overview")
        os.write(ours, b"q")
        assert b"back in Python" in _until(ours, b"back in Python")
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.wait()
        os.close(ours)


def test_the_explorer_needs_a_terminal(run: lcascope.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(lcascope.Error, match=f"run `lcascope open {run.path}` in one"):
        lcascope.open(run.path)


def _until(terminal: int, text: bytes, seconds: float = 30) -> bytes:
    """Read from a terminal until a text has come, or the time is over, or the other side is closed."""
    read = b""
    end = time.monotonic() + seconds
    while text not in read and (left := end - time.monotonic()) > 0:
        if not select.select([terminal], [], [], left)[0]:
            break
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        read += piece
    return read
