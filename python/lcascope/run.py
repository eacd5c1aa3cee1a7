"""Reads run files: tables, figures and reports, all of them made by the program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from ._errors import Error
from ._program import find

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

Library = Literal["pandas", "polars", "pyarrow"]

# What a library needs to be installed to read a table.
_NEEDED: dict[Library, tuple[str, ...]] = {
    "pandas": ("pandas", "pyarrow"),
    "polars": ("polars",),
    "pyarrow": ("pyarrow",),
}


class Run:
    """A run file, finished or still being written.

        run = lcascope.Run("runs/mine.h5")
        run.table("layers")                         # a pandas DataFrame
        run.table("units", layer="fc1", every=10)   # options are those of `lcascope export`
        run.plot("heat-map", steps=range(100))      # a figure, which a notebook shows

    Every call reads the file anew, up to its last committed step.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise Error(f"{self.path} is not a file." if self.path.exists() else f"{self.path} does not exist.")

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def views(self) -> dict[str, str]:
        """The names of all views and what they show."""
        lines = _run("export", "--view=list", "--", self.path).splitlines()
        pairs = (line.split(maxsplit=1) for line in lines if line.strip())
        return {name: about for name, about in pairs}

    @overload
    def table(self, view: str, *, library: Literal["polars"], **options: Any) -> polars.DataFrame: ...

    @overload
    def table(self, view: str, *, library: Literal["pyarrow"], **options: Any) -> pyarrow.Table: ...

    @overload
    def table(self, view: str, *, library: Literal["pandas"] | None = None, **options: Any) -> pandas.DataFrame: ...

    def table(self, view: str, *, library: Library | None = None, **options: Any) -> Any:
        """Return a view as a table: a DataFrame of pandas or polars, or a pyarrow.Table.

        `library` is "pandas", "polars" or "pyarrow"; by default the first of them that is installed. `options` are
        those of `lcascope export`: `layer="fc1"` is `--layer fc1`, and `steps` may be a range or a slice. The units of
        the columns are in `attrs["units"]` of a pandas DataFrame.
        """
        library = _chosen(library)
        with tempfile.TemporaryDirectory(prefix="lcascope-") as folder:
            file = Path(folder) / "table.parquet"
            self._export(view, file, options)
            return _read(file, library)

    def plot(self, view: str, **options: Any) -> Figure:
        """Return a view as a figure. `options` are as for `table`."""
        return Figure(self, view, options)

    def info(self) -> str:
        """Return a summary: what was trained, every layer's LCA, and whether the sums add up."""
        return _run("info", "--", self.path)

    def report(self, folder: str | os.PathLike[str], **options: Any) -> Path:
        """Write a report into a folder and return the path of its page.

        `options` are those of `lcascope report`: `force=True` replaces an earlier report.
        """
        _run("report", f"--output={os.fspath(folder)}", *_flags(options), "--", self.path)
        return Path(folder) / "report.html"

    def _export(self, view: str, file: Path, options: dict[str, Any]) -> None:
        _run("export", f"--view={view}", f"--output={file}", *_flags(options), "--", self.path)


class Figure:
    """A picture of a view. A notebook shows it; `svg` is its text, and `save` writes it to a file."""

    def __init__(self, run: Run, view: str, options: dict[str, Any]) -> None:
        self._run = run
        self._view = view
        self._options = options
        with tempfile.TemporaryDirectory(prefix="lcascope-") as folder:
            file = Path(folder) / "figure.svg"
            run._export(view, file, options)
            self.svg = file.read_text(encoding="utf-8")

    def __repr__(self) -> str:
        return f"<Figure {self._view} of {self._run.path}>"

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure to a file, replacing one that exists: .svg, or .png of the run as it is now."""
        path = Path(path)
        if path.suffix.lower() == ".svg":
            path.write_text(self.svg, encoding="utf-8")
        elif path.suffix.lower() == ".png":
            self._run._export(self._view, path, {**self._options, "force": True})
        else:
            raise Error(f"{path} does not end in .svg or .png, the formats of a figure.")
        return path


def open(path: str | os.PathLike[str], other: str | os.PathLike[str] | None = None, **options: Any) -> None:
    """Start the explorer in this terminal, with one run or with two to compare, and return when it is closed.

    `options` are those of `lcascope open`.
    """
    files = [os.fspath(path)] if other is None else [os.fspath(path), os.fspath(other)]
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Error(f"The explorer needs a terminal: run `lcascope open {' '.join(files)}` in one.")
    program = find()
    code = subprocess.run([program, "open", *_flags(options), "--", *files]).returncode
    if code:
        raise Error(f"`lcascope open` {_ended(code)}.")


def _run(*arguments: str | Path) -> str:
    """Run the program and return what it prints; what it complains of is raised."""
    program = find()
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise Error(f"{program} does not start: {error}.") from error
    if done.returncode:
        raise Error(_complaint(done.stderr) or f"`lcascope {arguments[0]}` {_ended(done.returncode)}.")
    return done.stdout


def _complaint(said: str) -> str:
    """Return the program's error message without the hints for a command line."""
    for hint in ("\n\nUsage:", "\n\nFor more information"):
        said = said.partition(hint)[0]
    return said.strip().removeprefix("error: ")


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _flags(options: dict[str, Any]) -> list[str]:
    """Return keyword arguments as flags of the program, which knows which there are."""
    flags = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool) or value is None:
            flags += [flag] if value else []
        else:
            flags.append(f"{flag}={_value(name, value)}")
    return flags


def _value(name: str, value: Any) -> str:
    if isinstance(value, range | slice):
        if value.step not in (None, 1):
            raise Error(f"{name}={value} does not count in ones: every={value.step} sums so many steps into a row.")
        start, stop = ("" if end is None else end for end in (value.start, value.stop))
        return f"{start}..{stop}"
    return str(value)


def _chosen(library: Library | None) -> Library:
    """Return the library to make a table with: the given one, or the first that is installed."""
    if library is None:
        for candidate, needed in _NEEDED.items():
            if all(map(find_spec, needed)):
                return candidate
        raise Error("Tables need pandas and pyarrow, or polars: `pip install 'lcascope[pandas]'`.")
    if library not in _NEEDED:
        raise Error(f"library={library!r}: tables are made with {', '.join(map(repr, _NEEDED))}.")
    missing = [name for name in _NEEDED[library] if find_spec(name) is None]
    if missing:
        raise Error(f"library={library!r} needs {' and '.join(missing)}: `pip install {' '.join(missing)}`.")
    return library


def _read(file: Path, library: Library) -> Any:
    """Read a table. Counts and steps become signed integers, whose differences are what one expects."""
    if library == "polars":
        import polars

        return polars.read_parquet(file, memory_map=False).cast({polars.UInt64: polars.Int64})
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file)
    signed = [field.with_type(pyarrow.int64()) if field.type == pyarrow.uint64() else field for field in table.schema]
    table = table.cast(pyarrow.schema(signed, table.schema.metadata))
    if library == "pyarrow":
        return table
    frame = table.to_pandas()
    frame.attrs["units"] = json.loads((table.schema.metadata or {}).get(b"lcascope.units", "{}"))
    return frame
