"""What a search ends in: candidates in their order, each with its neighbours in the reference and its reasons."""

from __future__ import annotations

import csv
import json
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from materium import convert
from materium.evaluate.adherence import meets
from materium.evaluate.funnel import KEPT, NO_REFERENCE, counts, relaxed_crystal
from materium.evaluate.hull import UNSUPPORTED
from materium.evaluate.measure import MEASURES
from materium.evaluate.novelty import SAME
from materium.evaluate.verdicts import plain
from materium.io.atomic import digests, replacing, write_signed
from materium.wyckoff import to_cif

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from materium.crystal import Crystal
    from materium.evaluate.funnel import Funnel, Judges, Limits
    from materium.evaluate.hull import Phase
    from materium.evaluate.measure import Value

    Row = Mapping[str, Any]

FILES = ("rows.parquet", "candidates.parquet", "candidates.csv", "candidates.extxyz", "cif")
"""What a search writes beside `metrics.json`, which has their digests."""
TIES = 0.001
"""eV/atom; heights above the hull are ranked in steps of it, for smaller differences say nothing of a crystal."""
IN_CSV = (
    "rank", "id", "formula", "energy_above_hull", "log_likelihood", "targets_met", "targets_measured", "num_sites",
    "space_group_relaxed", "density", "novelty", "novel_formula", "novel_prototype", "nearest_id", "nearest_distance",
    "decomposition", "energy", "rmsd", "relax_status", "neutral", "smact_valid", "cif", "why_kept",
)  # fmt: skip
IN_EXTXYZ = ("rank", "id", "formula", "energy_above_hull", "log_likelihood", "energy", "nearest_id", "decomposition")


class Target(NamedTuple):
    """A target with what was measured of the relaxed crystal; None where it does not follow from the structure."""

    name: str
    asked: Value
    measured: Value | None
    met: bool | None


def candidates(rows: Iterable[Row], judges: Judges, limits: Limits) -> list[dict[str, Any]]:
    """Return the candidates among the rows of a funnel, the best first, with the columns of `schema`.

    They are ranked by energy above the hull (in steps of `TIES`), then by likelihood (in whole nats), then by the
    share of the targets that they meet.
    """
    found = sorted((_candidate(row, judges, limits) for row in rows if row["stage"] == KEPT), key=_place)
    for rank, one in enumerate(found, 1):
        one |= {"rank": rank, "cif": f"cif/{rank:03d}-{_without_brackets(one['formula'])}-{one['id']}.cif"}
    return found


def _without_brackets(formula: str) -> str:
    """A formula for a file's name, such as `LiFe2O4` of `Li(FeO2)2`."""
    from pymatgen.core import Composition

    amounts = Composition(formula).get_el_amt_dict()
    return "".join(f"{symbol}{'' if amount == 1 else f'{amount:g}'}" for symbol, amount in amounts.items())


def _place(one: Row) -> tuple[float, ...]:
    likelihood, measured = one["log_likelihood"], one["targets_measured"]
    share = one["targets_met"] / measured if measured else 0.0
    nats = float("inf") if likelihood is None else -round(likelihood)
    return round(one["energy_above_hull"] / TIES), nats, -share, one["index"]


def _candidate(row: Row, judges: Judges, limits: Limits) -> dict[str, Any]:
    crystal = relaxed_crystal(row)
    phases, targets = judges.hull.phases(crystal), targets_of(row, crystal)
    known = [one for one in targets if one.met is not None]
    own = {
        "density": crystal.density,
        "targets_met": sum(bool(one.met) for one in known),
        "targets_measured": len(known),
        "decomposition": " + ".join(f"{phase.amount:.3f} {phase.entry.formula}" for phase in phases),
        "neighbours": _neighbours(row, phases),
        "novelty": row["novelty_relaxed"],
        "novel_formula": row["novel_formula_relaxed"],
        "novel_prototype": row["novel_prototype_relaxed"],
        "nearest_id": row["nearest_id_relaxed"],
        "nearest_distance": row["nearest_distance_relaxed"],
        "prototype_id": row["prototype_id_relaxed"],
    }
    reasons = [
        _of_energy(row, limits),
        _of_phases(phases),
        _of_novelty(row, judges),
        _of_prototype(row),
        _of_relaxation(row, limits),
        *_of_charges(row),
        *map(_of_target, targets),
    ]
    return {**plain({**row, **own}), "why_kept": reasons}


def targets_of(row: Row, crystal: Crystal) -> list[Target]:
    """Return what became of each target of a row when its crystal was relaxed."""
    found = []
    for name, asked in json.loads(row["targets"]).items():
        value = row["energy_above_hull"] if name == "energy_above_hull" else None
        value = MEASURES[name](crystal) if name in MEASURES else value
        found.append(Target(name, asked, value, None if value is None else meets(name, asked, value)))
    return found


def _neighbours(row: Row, phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """What the reference holds around a crystal: what it competes with, the nearest of its formula, its prototype."""
    found: list[dict[str, Any]] = [
        {
            "id": phase.entry.id,
            "formula": phase.entry.formula,
            "role": f"on the hull ({phase.entry.kind})",
            "share": phase.amount,
            "distance": None,
        }
        for phase in phases
    ]
    if row["nearest_id_relaxed"] is not None:
        distance = row["nearest_distance_relaxed"]
        nearest = {"id": row["nearest_id_relaxed"], "formula": row["formula"], "role": "nearest of the formula"}
        found.append({**nearest, "share": None, "distance": distance})
    if row["prototype_id_relaxed"] is not None:
        prototype = {"id": row["prototype_id_relaxed"], "formula": None, "role": "structure type"}
        found.append({**prototype, "share": None, "distance": None})
    return found


# --- reasons in words ---


def _of_energy(row: Row, limits: Limits) -> str:
    above = row["energy_above_hull"]
    where = f"{above:.3f} eV/atom above the hull" if above >= 0 else f"{-above:.3f} eV/atom below the known hull"
    return f"{where}; at most {limits.max_hull:g} was asked for"


def _of_phases(phases: Sequence[Phase]) -> str:
    if len(phases) == 1:
        return f"at its composition the reference has {phases[0].entry.formula} ({phases[0].entry.id})"
    parts = [f"{100 * phase.amount:.0f} % {phase.entry.formula} ({phase.entry.id})" for phase in phases]
    return f"competes with {', '.join(parts)} (shares of the atoms)"


def _of_novelty(row: Row, judges: Judges) -> str:
    if row["novel_formula_relaxed"]:
        name, count = judges.hull.reference.name, judges.known.novel_means
        return f"{count} of the reference {name}, none of which has this formula"
    distance = row["nearest_distance_relaxed"]
    near = f"nearest known crystal of its formula is {row['nearest_id_relaxed']} at {distance:.3f}"
    return near if distance > SAME else f"{near}, with another number of sites"


def _of_prototype(row: Row) -> str:
    if row["prototype_id_relaxed"] is not None:
        return f"space group and Wyckoff positions are those of {row['prototype_id_relaxed']}"
    return (
        "no known crystal has its space group and Wyckoff positions"
        if row["novel_prototype_relaxed"]
        else "no symmetry was found"
    )


def _of_relaxation(row: Row, limits: Limits) -> str:
    moved = (
        f"relaxing moved its atoms by {row['rmsd']:.3f} Å and changed its volume by {100 * row['volume_change']:.1f} %"
    )
    if row["relax_status"] == "converged":
        return f"{moved}, in {row['relax_steps']} steps"
    return (
        f"{moved}; not below {limits.fmax:g} eV/Å after {row['relax_steps']} steps, so that its energy may still fall"
    )


def _of_charges(row: Row) -> list[str]:
    doubts = {"neutral": "no neutral set of oxidation states was found", "smact_valid": "SMACT calls it not valid"}
    return [words for name, words in doubts.items() if row.get(name) is False]


def _of_target(one: Target) -> str:
    asked = f"{one.name} {_short(one.asked)} was asked for"
    if one.met is None or one.measured is None:
        return f"{asked}; it does not follow from the structure"
    return f"{asked}, {_short(one.measured)} came: {'met' if one.met else 'missed'}"


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# --- figures and files ---


def metrics(funnel: Funnel, found: Sequence[Row], ended: str) -> dict[str, Any]:
    """Return what `metrics.json` says of a search: counts of the stages, of the doubts that drop nobody, and time."""
    rows = funnel.rows
    return {
        "ended_by": ended,
        "crystals": len(rows),
        "candidates": len(found),
        "stages": [count._asdict() for count in counts(rows)],
        "unsupported": sum((row["why"] or "").startswith(UNSUPPORTED) for row in rows),
        "novel_means": funnel.judges.known.novel_means,
        "no_reference": sum((row["why"] or "").startswith(NO_REFERENCE) for row in rows),
        "neutral": sum(row.get("neutral") is True for row in rows),
        "smact_valid": sum(row.get("smact_valid") is True for row in rows),
        "best_energy_above_hull": found[0]["energy_above_hull"] if found else None,
        "seconds": round(funnel.seconds, 1),
        **funnel.judges.facts(),
    }


def write(out: Path, rows: Sequence[Row], found: Sequence[Row], facts: Mapping[str, Any]) -> None:
    """Write tables and structures; `metrics.json` comes last and says that all is there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, content in (("rows", rows), ("candidates", found)):
        table = pa.Table.from_pylist([dict(row) for row in content], schema=schema(ranked=name == "candidates"))
        with replacing(out / f"{name}.parquet") as part:
            pq.write_table(table, part)
    with replacing(out / "candidates.csv") as part:
        _write_csv(part, found)
    with replacing(out / "candidates.extxyz") as part:
        _write_extxyz(part, found)
    _write_cifs(out, found)
    write_signed(out / "metrics.json", {**facts, "files": digests(out, FILES)})


def _write_csv(path: Path, found: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, IN_CSV, extrasaction="ignore")
        writer.writeheader()
        for row in found:
            writer.writerow({**row, "why_kept": "; ".join(row["why_kept"])})


def _write_extxyz(path: Path, found: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in found:
            convert.write_extxyz_frame(file, relaxed_crystal(row), {name: row[name] for name in IN_EXTXYZ})


def _write_cifs(out: Path, found: Sequence[Row]) -> None:
    shutil.rmtree(out / "cif", ignore_errors=True)  # of a search that went on: ranks have changed
    (out / "cif").mkdir()
    for row in found:
        (out / row["cif"]).write_text(to_cif(relaxed_crystal(row), row["id"]), encoding="utf-8")


def schema(*, ranked: bool) -> pa.Schema:
    """Return the columns of `candidates.parquet` if `ranked`, else of `rows.parquet`, in their order.

    `cell` and `frac_coords` are as made, `relaxed_cell` and `relaxed_frac_coords` relaxed; `screened` is the energy
    above the hull as made, eV/atom; `energy` eV/atom. `stage` tells where a row ended, `outcome` whether it was
    dropped, kept, or left when the search ended, and `why` the reason.
    """
    import pyarrow as pa

    whole, real, text, yes = pa.int64(), pa.float64(), pa.string(), pa.bool_()
    reals, texts = pa.list_(real), pa.list_(text)
    neighbour = pa.struct({"id": text, "formula": text, "role": text, "share": real, "distance": real})
    first = {"rank": whole} if ranked else {}
    ends = {"stage": text, "outcome": text, "why": text}
    last = {
        "density": real, "targets_met": whole, "targets_measured": whole, "decomposition": text,
        "neighbours": pa.list_(neighbour), "why_kept": texts, "cif": text,
    }  # fmt: skip
    return pa.schema(
        {
            **first, "id": text, "index": whole, "batch": whole, "formula": text, "num_sites": whole,
            **({} if ranked else ends), "energy_above_hull": real, "log_likelihood": real, "targets": text,
            "valid": yes, "neutral": yes, "smact_valid": yes, "min_distance": real, "space_group": whole,
            "unique": yes, "duplicate_of": text, "novel": yes, "novelty": text, "novel_formula": yes,
            "novel_prototype": yes, "nearest_id": text, "nearest_distance": real, "prototype_id": text,
            "hull_support": whole, "screened": real, "relax_status": text, "relax_reason": text,
            "relax_steps": whole, "max_force": real, "max_stress": real,
            "energy_as_made": real, "energy": real, "energy_change": real, "volume_change": real, "matched": yes,
            "rmsd": real, "space_group_relaxed": whole, "novel_relaxed": yes, "unique_relaxed": yes,
            "duplicate_of_relaxed": text, **(last if ranked else {}), "cell": reals,
            "atomic_numbers": pa.list_(whole), "frac_coords": reals, "relaxed_cell": reals,
            "relaxed_frac_coords": reals,
        }
    )  # fmt: skip
