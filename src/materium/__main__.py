"""`python -m materium` is the command `materium`."""

from __future__ import annotations

import sys

from materium.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
