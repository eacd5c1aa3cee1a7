"""The notebook of the documentation, executed as a reader would.

After a change of it, `jupyter execute --inplace docs/notebook.ipynb` writes its outputs anew; look at the figures.
"""

from __future__ import annotations

import os
import random
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import lcascope
import nbformat
import numpy as np
import pytest
import torch
from jupyter_client import BlockingKernelClient, KernelManager
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def outputs(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """Return the kinds of each cell's outputs."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [sorted(kind for output in cell.outputs for kind in output.get("data", ["text"])) for cell in cells]


@pytest.fixture(autouse=True)
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an installation of Jupyter, or a user's settings of it, change nothing."""
    monkeypatch.setenv("PYTHONPATH", str(Path(lcascope.__file__).parents[1]))
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))


def test_the_notebook_runs_and_shows_figures(tmp_path: Path) -> None:
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


# `LCASCOPE_KILLS=50` interrupts more often.
INTERRUPTS = int(os.environ.get("LCASCOPE_KILLS", "6"))

SET_UP = """
import torch, torch.nn.functional as F
import lcascope

torch.set_num_threads(1)
torch.manual_seed(0)
inputs, labels = torch.randn(200, 20), torch.arange(200) % 3
model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.BatchNorm1d(30), torch.nn.ReLU(), torch.nn.Linear(30, 3))
optimizer = torch.optim.Adam(model.parameters(), 0.003)
scope = lcascope.watch(
    model, optimizer, data=(inputs, labels), batch_size=50, loss=F.cross_entropy, output="run.h5", record_weights=1
)
"""

TRAIN = """
assert all(module.training for module in model.modules()) and len(list(model.buffers())) == 3
print("trains", flush=True)
while True:
    optimizer.zero_grad()
    F.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
"""

CLOSE = """
scope.close()
print(scope.status, scope.last.step)
torch.save(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy(), "weights.pt")
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager, client = start_new_kernel(cwd=str(tmp_path))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.long
def test_interrupting_the_kernel(
    tmp_path: Path, kernel: tuple[KernelManager, BlockingKernelClient], lcascope_says: Callable[..., str]
) -> None:
    """A cell that trains is interrupted and run again, at random moments; then the run is closed."""
    manager, client = kernel
    random.seed(8)

    def said(cell: str, until: str = "") -> str:
        """Run a cell to its end, or until it prints something; return what it prints or raises."""
        request = client.execute(cell, stop_on_error=False)
        text = ""
        while not (until and until in text):
            message = client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            text += content.get("text", "") + content.get("ename", "")
            if content.get("execution_state") == "idle":
                break
        return text

    assert "lcascope open run.h5" in said(SET_UP)
    for _ in range(INTERRUPTS):
        assert said(TRAIN, until="trains").startswith("trains")
        time.sleep(random.uniform(0.05, 0.3))
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=60)
        while reply["content"].get("status") != "error":
            reply = client.get_shell_msg(timeout=60)
        assert reply["content"]["ename"] == "KeyboardInterrupt"
    status, steps = said(CLOSE).split()
    assert status == "finished"
    with h5py.File(tmp_path / "run.h5") as run:
        assert run["state/status"][0] == 1 and run["state/committed"][0] == int(steps) > INTERRUPTS
        assert np.abs(run["lca/residual"][:]).max() < 2e-3
        weights = run["weight/value"][-1]
    # The step in which the last interrupt fell is recorded, unless it fell before the optimizer was done with it.
    assert np.abs(weights - torch.load(tmp_path / "weights.pt", weights_only=False)).max() < 0.01
    lcascope_says("verify", tmp_path / "run.h5")
