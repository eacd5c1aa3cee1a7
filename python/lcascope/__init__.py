"""Loss Change Allocation (LCA) of any model, live in the terminal.

`watch` records the training of a PyTorch model, `Recorder` that of anything with parameters and a gradient. `Run` reads
a run file, and `open` starts the explorer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import Error
from ._session import Step
from .recorder import Evaluation, Recorder
from .run import Figure, Run, open

if TYPE_CHECKING:
    from ._watch import Scope, watch

__all__ = ["Error", "Evaluation", "Figure", "Recorder", "Run", "Scope", "Step", "open", "watch"]


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch once it is used."""
    if name in ("Scope", "watch"):
        from . import _watch

        return getattr(_watch, name)
    raise AttributeError(f"module 'lcascope' has no attribute {name!r}")
