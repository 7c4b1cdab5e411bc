"""How often a model finds real crystals again: `materium predict` on a table, and its figures as one line of JSON.

    python benchmarks/prediction.py data/test.parquet OUT [-n 20] [--limit 100] [--relax chgnet]

What follows OUT goes to `materium predict`. Report on `test` once; compare settings on `val`. An interrupted run goes
on where it was stopped.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from materium.cli.main import main as materium


def main() -> int:
    """Predict, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    options, others = parser.parse_known_args()
    begun = time.perf_counter()
    status = materium(["predict", str(options.table), "--out", str(options.out), *others])
    if status == 0:
        metrics = json.loads((options.out / "metrics.json").read_text(encoding="utf-8"))
        print(json.dumps({**metrics, "seconds": round(time.perf_counter() - begun)}))
    return status


if __name__ == "__main__":
    sys.exit(main())
