"""What `--help` prints: the commands with their purpose, and the options of one in sections."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from typer.core import TyperCommand

PURPOSES = {
    "Make crystals": {
        "generate": "Generate crystals into a run folder.",
        "discover": "Generate, relax and rank until enough are new and near the hull.",
        "complete": "Add atoms to a partial structure.",
    },
    "Judge crystals": {
        "report": "Compare a run with its targets, on one page.",
        "evaluate": "Validity, uniqueness, novelty, relaxation, energy above hull.",
        "score": "Exact log-likelihood of structures.",
        "predict": "Structure prediction: match rate and RMSE on a table.",
        "export": "Inputs for VASP and Quantum ESPRESSO.",
    },
    "Data and training": {
        "data": "Look into tables and folders of crystals, and convert them.",
        "prepare": "Tables of crystals to shards.",
        "train": "Train a model on shards.",
        "reference": "Hulls and fingerprints that crystals are judged against.",
    },
    "Model and machine": {
        "info": "What a model is, and its conditions.",
        "conditions": "How well a model meets each condition.",
        "serve": "The page in the browser, and the HTTP API.",
        "doctor": "What works on this machine.",
        "bench": "Speed and memory on this machine.",
    },
}
"""Every command with a line that fits beside its name: to list them no command is imported."""

OPTIONS, CONDITIONS = "Options", "Conditions"
PANELS = {
    "Hard constraints": "elements require forbid z cell_formula neutral soft",
    "Sampling": "guidance temperature geometry_temperature geometry_reach end_odds top_p order lattice_first",
    "Judging": "potential reference known fmax max_steps max_hull screen skip only bond_valence",
    "Training": "batch_tokens optimiser learning_rate muon_learning_rate weight_decay ema dropout",
    "Output": "symmetrize p1 unique table_only no_space_groups figures tensorboard quiet help",
    "Computing": "model device threads processes workers batch_size bfloat16",
}
"""Sections of options by the parameters' names; those that stand nowhere are a command's own, and come first."""
PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names.split()}
FEW = 12
"""So many options are one list."""


class SectionedCommand(TyperCommand):
    """A command whose help lists its options in sections, those of its own first, conditions next."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - types of the parser within typer
        """Write the sections; short helps stay one list."""
        records: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                argument = parameter.param_type_name == "argument"
                panel = getattr(parameter, "rich_help_panel", None) or PANEL_OF.get(str(parameter.name), OPTIONS)
                records["Arguments" if argument else panel].append(record)
        options = {name: records[name] for name in (OPTIONS, CONDITIONS, *PANELS) if records[name]}
        if sum(map(len, options.values())) <= FEW:
            options = {OPTIONS: [one for part in options.values() for one in part]}
        for title, rows in {"Arguments": records["Arguments"], **options}.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def write_purposes(formatter: Any, commands: list[str]) -> None:  # noqa: ANN401 - a type of the parser within typer
    """Write the commands in their sections; those without a purpose (in tests) come last."""
    known = {name for part in PURPOSES.values() for name in part}
    for title, part in {**PURPOSES, "More": {name: "" for name in commands if name not in known}}.items():
        if part:
            with formatter.section(title):
                formatter.write_dl(list(part.items()), col_max=12)
