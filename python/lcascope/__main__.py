"""Runs the program: `python -m lcascope ARGUMENTS…` is `lcascope ARGUMENTS…`."""

from __future__ import annotations

import os
import sys

from ._errors import Error
from ._program import find


def main() -> None:
    try:
        program = find()
    except Error as error:
        sys.exit(f"error: {error}")
    os.execv(program, ["lcascope", *sys.argv[1:]])


if __name__ == "__main__":
    main()
