"""How well a model does what it is told: the requests of the paper, 512 structures each, none hidden.

    python benchmarks/adherence.py OUT [--only density,space_group] [-n 512] [--guidance 2] [--geometry-temperature 0.6]
                                   [--workers 2]

Weights, temperatures and aims are those that the model was tuned to, unless they are given. Several weights of guidance
(`--guidance 0 1 2 4`) give the figure of what the weight does.

OUT gets `report.html`, the rows and the plots. With `--ship` the shares go beside the model, for `materium conditions`.
An invalid structure, and one of which a property cannot be told, misses its target. The last line is JSON.
"""

import argparse
import json
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from materium.convert import formula
from materium.crystal import Crystal, fault
from materium.evaluate.adherence import adherence, rises, together
from materium.evaluate.predictors import error_of, measured
from materium.generate.engine import Materium, load
from materium.generate.request import Request
from materium.io.atomic import write_signed
from materium.report.page import write_report

FORMULAS = ["Si", "GaAs", "MgAl2O4", "CaTiO3", "Y3Al5O12", "YBa2Cu3O7", "Cu2ZnSnS4"]
SPINEL = {"reduced_formula": "MgAl2O4"}
SUITES: dict[str, list[dict[str, Any]]] = {
    "density": [{"density": [1, 2.5, 5, 7.5]}],
    "space_group": [{"space_group": [1, 14, 62, 139, 194, 225, 227]}],
    "formula": [{"reduced_formula": FORMULAS}],
    "hhi": [{"hhi": [1250, 2500, 3750, 5000]}],
    "band_gap": [{"band_gap": [0, 1, 2, 4, 6]}],
    "mag_density": [{"mag_density": [0, 0.05, 0.1, 0.2]}],
    "bulk_modulus": [{"bulk_modulus": [50, 100, 200, 300]}],
    "energy_above_hull": [{"energy_above_hull": [0, 0.1, 0.3]}],
    "num_sites": [{"num_sites": [2, 5, 10, 20]}],
    "chemical_system": [{"chemical_system": ["Li-O", "Fe-O", "Na-Cl", "Ca-O-Ti"]}],
    "combinations": [
        {**SPINEL, "density": [1, 3.5, 8]},
        {**SPINEL, "space_group": [227, 12, 139]},
        {"reduced_formula": "YBa2Cu3O7", "density": 6.5},
        {"reduced_formula": "YBa2Cu3O7", "space_group": 62},
        {"band_gap": 0, "hhi": 1250},
        {"hhi": [1250, 5000], "density": [2.5, 5, 7.5]},
    ],
}
"""Section 'conditions tried' of the paper; formulas are told and not enforced."""


def rows_of(engine: Materium, request: Request, first: int) -> list[dict[str, Any]]:
    """Write the structures of a request, and return what was asked for and what came, numbered from `first` on."""
    samples = list(engine.samples(request))
    crystals = [engine.read(sample) for sample in samples]
    faults = [fault(crystal) for crystal in crystals]
    names = sorted({name for sample in samples for name in sample.targets})
    values = _measured(crystals, faults, names)
    return [
        {
            "id": f"{first + sample.request}-{sample.index}",
            "formula": formula(crystal),
            "request": first + sample.request,
            "targets": dict(sample.targets),
            "measured": row,
            "valid": reason is None,
            "reason": reason or "",
            "guidance": request.guidance,
        }
        for sample, crystal, row, reason in zip(samples, crystals, values, faults, strict=True)
    ]


def run(model: Path | None, request: Request, given: set[str], first: int) -> list[dict[str, Any]]:
    """Return the rows of a request, in a process of its own; what is not given is what the model was tuned to."""
    torch.set_num_threads(1)
    engine = load(model)
    return rows_of(engine, engine.tuned.apply(request, given), first)


def _measured(crystals: list[Crystal], faults: list[str | None], names: list[str]) -> list[dict[str, Any]]:
    """Properties of the valid crystals; nothing of the others."""
    good = [i for i, reason in enumerate(faults) if reason is None]
    found = dict(zip(good, measured([crystals[i] for i in good], names), strict=True))
    return [found.get(i, dict.fromkeys(names)) for i in range(len(crystals))]


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for every request its targets, the share that meets each and all of them, and the medians."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["request"]].append(row)
    result = []
    for group in groups.values():
        targets, values = [row["targets"] for row in group], [row["measured"] for row in group]
        both, each = together(targets, values)
        low, high = both.interval
        medians = {
            name: adherence(name, [t[name] for t in targets], [v[name] for v in values], error_of(name))[0].median
            for name in targets[0]
        }
        facts = {"targets": targets[0], "met": both.met, "of": both.of, "interval": [round(low, 3), round(high, 3)]}
        shares = {name: round(share.value, 4) for name, share in each.items()}
        valid = sum(row["valid"] for row in group) / len(group)
        kinds = round(len({row["formula"] for row in group}) / len(group), 4)
        counted = {"valid": round(valid, 4), "distinct_formulas": kinds, "guidance": group[0]["guidance"]}
        result.append({**facts, "shares": shares, "medians": medians, **counted})
    return result


def overall(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return for each property asked for by itself: share within the criterion, counts, and whether medians rise."""
    single = [row for row in rows if len(row["targets"]) == 1]
    result = {}
    for name in dict.fromkeys(name for row in single for name in row["targets"]):
        chosen = [row for row in single if name in row["targets"]]
        found = adherence(
            name, [r["targets"][name] for r in chosen], [r["measured"][name] for r in chosen], error_of(name)
        )
        met = sum(one.share.met for one in found)
        facts = {"met": met, "of": len(chosen), "share": round(met / len(chosen), 4), "error": error_of(name)}
        result[name] = {**facts, "targets": [one.target for one in found], "medians_rise": rises(found)}
    return result


def main() -> None:
    """Measure, and write rows, report and plots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--only", default=",".join(SUITES))
    parser.add_argument("-n", type=int, default=512)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guidance", type=float, nargs="+", default=[None])
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--geometry-temperature", type=float)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ship", type=Path, help="folder of the model, which gets adherence.json")
    options = parser.parse_args()
    names = ("n", "seed", "temperature", "geometry_temperature")
    how = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    asked = [
        Request(conditions=conditions, soft=True, **how, **({} if weight is None else {"guidance": weight}))
        for weight in options.guidance
        for suite in options.only.split(",")
        for conditions in SUITES[suite]
    ]
    given = {*how, *(() if options.guidance == [None] else ("guidance",))}
    firsts = np.cumsum([0, *(len(request.cells) for request in asked)]).tolist()
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    begun = time.perf_counter()
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        for new in pool.map(run, repeat(options.model), asked, repeat(given), firsts):
            rows += new
            for line in summary(new):
                print(json.dumps(line), flush=True)
    (options.out / "rows.json").write_text(json.dumps(rows) + "\n", encoding="utf-8")
    errors = {name: error_of(name) for row in rows for name in row["targets"]}
    weights = ", ".join(dict.fromkeys(f"{row['guidance']:g}" for row in rows))
    settings = {name: str(value) for name, value in how.items()}
    facts = {"model": load(options.model).fingerprint, **settings, "guidance": weights}
    page, folder = options.out / "report.html", options.out / "figures"
    write_report(page, "Told what to make", facts, rows, errors, figures=folder)
    result = {**facts, "seconds": round(time.perf_counter() - begun), "properties": overall(rows)}
    if options.ship:
        write_signed(options.ship / "adherence.json", {**result, "requests": summary(rows)})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
