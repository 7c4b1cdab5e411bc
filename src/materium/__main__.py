"""`python -m materium` is the command `materium`."""

from __future__ import annotations

import sys

from materium.cli import interrupts


def main() -> int:
    """Run the program; signals are looked after before anything large is imported."""
    interrupts.listen()
    try:
        from materium.cli.main import main as run

        status = run()
    except KeyboardInterrupt:
        interrupts.say()
        status = interrupts.status()
    interrupts.deafen()
    return status


if __name__ == "__main__":
    sys.exit(main())
