"""Materium beside other generators in one run: processor seconds per 1,000 crystals of 10 and of 20 atoms.

    python benchmarks/peers/run.py FOLDER [--rounds 3] [--steps 3] [--only ours chemeleon cif_writer]

FOLDER gets a virtual environment for each peer, from the package index, with torch pinned by constraints.txt. The
peers take turns, so that what else the machine does meets all of them; figures are medians over the rounds. Peers are
extrapolated from a few of their steps, ours writes whole crystals. Weights that are not on the index are random ones of
the published shape, which leaves the time of a step unchanged. OMP_NUM_THREADS decides the threads of all. The last
line is JSON.

MatterGen is left out: its package asks for a torch of its own, 2.2.1 built for CUDA 11.8, which is no CPU build. Its
sampler, too, takes 1,000 steps of predictor and corrector.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
CONSTRAINTS = HERE.parents[1] / "constraints.txt"
PEERS = {
    "ours": (),
    "chemeleon": ("chemeleon-dng==0.1.5",),
    "cif_writer": ("transformers==5.24.0", "torch"),
}
"""Script of each peer, and what it installs; ours runs in the environment at hand."""
MORE = {
    "Materium": "likelihood of every sentence, oxidation states, the number of atoms kept exactly",
    "Chemeleon-DNG (CSPNet)": "fills space by symmetric updates of all atoms at once; no likelihood, no symmetry",
    "CIF": "writes the symmetry-reduced CIF with its space group, and needs it read and checked afterwards",
}
"""What each does per crystal, beyond the time; the last stands for all writers of CIF."""


def environment(folder: Path, name: str) -> Path:
    """Return the Python of a peer's environment, made if it is not there."""
    if not PEERS[name]:
        return Path(sys.executable)
    python = folder / name / "bin" / "python"
    done = folder / name / ".installed"
    if not done.exists():
        venv.create(folder / name, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet", "-c", CONSTRAINTS, *PEERS[name]]
        subprocess.run(pip, check=True)  # noqa: S603 - the environment's own pip
        done.touch()
    return python


def measured(python: Path, name: str, steps: int) -> list[dict[str, object]]:
    """Return what a peer's script printed: a line for each of its networks."""
    command = [python, HERE / f"{name}.py", "--steps", str(steps)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE)  # noqa: S603 - beside this
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main() -> None:
    """Set up, measure in turns, and print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    pythons = {name: environment(asked.folder.resolve(), name) for name in asked.only}
    found: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    for _ in range(asked.rounds):
        for name, python in pythons.items():
            for one in measured(python, name, asked.steps):
                print(json.dumps(one), flush=True)  # what is stopped early has been of use
                found[str(one["peer"])].append(one)
    rows = summary(found)
    for row in rows:
        print("  ".join(str(cell).rjust(width) for cell, width in zip(row.values(), (24, 9, 9, 9, 8, 8), strict=False)))
    facts = {"processor": platform.machine(), "cores": len(os.sched_getaffinity(0)), "rounds": asked.rounds}
    print(json.dumps({**facts, "threads": os.environ.get("OMP_NUM_THREADS", "all"), "rows": rows}))


def summary(found: dict[str, list[dict[str, object]]]) -> list[dict[str, object]]:
    """Return for each peer the medians, and the ratio to ours where ours took part."""
    ours = {atoms: per_1000(found["Materium"], atoms) for atoms in (10, 20)} if "Materium" in found else {}
    rows = []
    for name, runs in found.items():
        row: dict[str, object] = {"peer": name, "parameters": f"{runs[0]['parameters'] / 1e6:.1f} M"}
        for atoms in (10, 20):
            row[f"s per 1,000 of {atoms} atoms"] = round(per_1000(runs, atoms), 1)
            if ours:
                row[f"times ours, {atoms}"] = round(per_1000(runs, atoms) / ours[atoms], 1)
        spread = [one["per_1000"] for run in runs for one in run["rows"] if one["atoms"] == 10]
        row |= {"peak MB": max(run["peak_mb"] for run in runs), "rounds of 10": [round(one, 1) for one in spread]}
        more = next(words for key, words in MORE.items() if key in name)
        rows.append({**row, "batch": runs[0]["batch"], "steps": runs[0]["steps"], "does": more})
    return rows


def per_1000(runs: list[dict[str, object]], atoms: int) -> float:
    """Return the median seconds per 1,000 crystals."""
    return statistics.median(one["per_1000"] for run in runs for one in run["rows"] if one["atoms"] == atoms)


if __name__ == "__main__":
    main()
