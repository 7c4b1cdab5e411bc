"""What a CIF with symmetry costs beside one in P1, and which group it carries.

    python benchmarks/cifs.py RUN/structures.parquet [--rounds 5]

Processor time in ms for each valid crystal, the best of the rounds; a search is kept for the row and the CIF of one
crystal, so it is paid once. One line of JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from materium import convert, wyckoff
from materium.crystal import Crystal
from materium.generate.rows import TOLERANCES, crystal_of
from materium.symmetry import space_groups


def cost(rows: list[dict[str, object]], work: Callable[[Crystal], object], rounds: int) -> float:
    """Return the least time of so many rounds; each round has crystals of its own, for searches are kept."""
    best = float("inf")
    for _ in range(rounds):
        crystals = [crystal_of(row) for row in rows]
        begin = time.process_time()
        for crystal in crystals:
            work(crystal)
        best = min(best, (time.process_time() - begin) / len(rows))
    return round(1e3 * best, 3)


def main() -> None:
    """Measure, and write the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = [row for row in pq.read_table(options.table).to_pylist() if row["valid"]]
    units = [wyckoff.asymmetric_unit(crystal_of(row)) for row in rows]
    groups = [unit and wyckoff.setting(unit.hall_number).number for unit in units]
    facts = {
        "crystals": len(rows),
        "p1": cost(rows, convert.to_cif, options.rounds),
        "groups": cost(rows, lambda crystal: space_groups(crystal, *TOLERANCES.values()), options.rounds),
        "groups and p1": cost(
            rows, lambda crystal: (space_groups(crystal, *TOLERANCES.values()), convert.to_cif(crystal)), options.rounds
        ),
        "groups and symmetry": cost(
            rows, lambda crystal: (space_groups(crystal, *TOLERANCES.values()), wyckoff.to_cif(crystal)), options.rounds
        ),
        "in the coarse group": sum(g == r["space_group"] != 1 for g, r in zip(groups, rows, strict=True)),
        "in the fine group": sum(g == r["space_group_fine"] != 1 for g, r in zip(groups, rows, strict=True)),
        "in P1": groups.count(None),
        "P1 in the table": sum(row["space_group"] == 1 for row in rows),
        "largest shift": round(max((unit.shift for unit in units if unit), default=0.0), 5),
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
