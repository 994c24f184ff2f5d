"""Writes docs/planted-bugs.md; see `tests/planted/page.py`."""

import sys

from tests.planted.page import main

if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
