"""The exception of this package."""

from __future__ import annotations


class Error(Exception):
    """What lcascope could not do, why, and what helps."""
