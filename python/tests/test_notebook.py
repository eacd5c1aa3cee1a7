"""The notebook of the documentation, executed as a reader would.

After a change of it, `jupyter execute --inplace docs/notebook.ipynb` writes its outputs anew; look at the figures.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import lcascope
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def outputs(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """Return the kinds of each cell's outputs."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [sorted(kind for output in cell.outputs for kind in output.get("data", ["text"])) for cell in cells]


def test_the_notebook_runs_and_shows_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(lcascope.__file__).parents[1]))
    # So that an installation of Jupyter, or a user's settings of it, change nothing.
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    written = nbformat.read(NOTEBOOK, as_version=4)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    # What is kept in the repository shows what there is now.
    assert outputs(written) == outputs(notebook)
    figures = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            picture = output.get("data", {}).get("image/svg+xml")
            if picture is not None:
                figures += 1
                assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert figures >= 5
    assert (tmp_path / "heat-map.png").stat().st_size > 0
