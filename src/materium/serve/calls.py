"""The same job at the command line and in Python: what a user copies to get the crystals without the page."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from materium.generate.request import Request
from materium.generate.targets import Range
from materium.properties import option_flag, option_name
from materium.relax.relaxer import FMAX, MAX_STEPS
from materium.serve.schema import CompleteBody, EvaluateBody, GenerateBody, ScoreBody

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from materium.serve.schema import AnyBody
    from materium.serve.sources import TextFile

FOLDER = "source"
"""What the zip of several files unpacks to."""


def command(body: AnyBody, files: Sequence[TextFile], out: str, model: Path | None = None) -> str:
    """Return the equal command line; the source is the file (or the folder) that `/jobs/ID/source` gives.

    `model` is the folder of another model than the one that ships.
    """
    match body:
        case GenerateBody():
            words = ["generate", "-n", str(body.n), *_generate_words(body)]
        case CompleteBody():
            words = ["complete", place(files), "--add", body.add, "-n", str(body.n), *_complete_words(body)]
        case ScoreBody():
            words = ["score", place(files), *_score_words(body)]
        case EvaluateBody():
            words = ["evaluate", place(files), *_evaluate_words(body)]
    named = [] if model is None or isinstance(body, EvaluateBody) else ["--model", str(model)]
    return shlex.join(["materium", *words, *named, "--out", out])


def python(body: AnyBody, files: Sequence[TextFile], out: str, model: Path | None = None) -> str:
    """Return the equal lines of Python; as `command`."""
    loading = f"model = materium.load({'' if model is None else repr(str(model))})"
    match body:
        case GenerateBody():
            lines = [
                "import materium",
                "",
                loading,
                f"crystals = model.generate({_arguments([body.n], _generate_options(body))})",
            ]
        case CompleteBody():
            call = f"crystals = model.complete({_arguments([Name('host'), body.add, body.n], _complete_options(body))})"
            lines = [*READING, loading, f"(host,) = {_reading(files)}", call]
        case ScoreBody():
            call = f"rows = model.log_likelihood({_arguments([Name('crystals')], _score_options(body))})"
            lines = [*READING, loading, f"crystals = {_reading(files)}", call]
        case EvaluateBody():
            settings = _arguments([], _evaluate_options(body))
            lines = [EVALUATION, "", f"found = evaluate({place(files)!r}, {out!r}, Settings({settings}))"]
    return "\n".join(lines) + "\n"


READING = ("from pathlib import Path", "", "import materium", "from materium.convert import read_file", "")
EVALUATION = "from materium.evaluate.pipeline import Settings, evaluate"


class Name(str):
    """A variable, in a call that is written."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return it as it stands."""
        return str(self)


def place(files: Sequence[TextFile]) -> str:
    """Return the file that a command reads."""
    return files[0].name if len(files) == 1 else FOLDER


def _reading(files: Sequence[TextFile]) -> str:
    if len(files) == 1:
        return f"read_file(Path({files[0].name!r}))"
    return f"[one for file in sorted(Path({FOLDER!r}).iterdir()) for one in read_file(file)]"


def _arguments(values: Sequence[Any], options: Mapping[str, Any]) -> str:
    return ", ".join([*map(repr, values), *(f"{name}={value!r}" for name, value in options.items())])


def target_text(value: Any) -> str:  # noqa: ANN401 - a target of any kind
    """Return a target as the command line reads it, all digits kept."""
    if not isinstance(value, Range):
        return str(_whole(value))
    low, high = _whole(value.low), _whole(value.high)
    if low is None:
        return f"<={high}"
    return f">={low}" if high is None else f"{low}..{high}"


def _whole(value: Any) -> Any:  # noqa: ANN401 - a number, a text or nothing
    """A whole number without its point; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _listed(value: Any) -> list[str]:  # noqa: ANN401 - a target, or several
    return [target_text(one) for one in (value if isinstance(value, list) else [value])]


def _conditions_words(request: Request) -> list[str]:
    """Options of the conditions; a formula that the cell's formula implies is left out."""
    return [word for name, value in _told(request) for word in (option_flag(name), *_listed(value))]


def _conditions_options(request: Request) -> dict[str, Any]:
    found = {option_name(name): _listed_value(value) for name, value in _told(request)}
    return {name: value[0] if len(value) == 1 else value for name, value in found.items()}


def _listed_value(value: Any) -> list[Any]:  # noqa: ANN401 - a target, or several
    several = value if isinstance(value, list) else [value]
    return [target_text(one) if isinstance(one, Range) else _whole(one) for one in several]


def _told(request: Request) -> list[tuple[str, Any]]:
    implied = {"reduced_formula"} if request.cell_formula is not None else set()
    return [(name, value) for name, value in request.conditions.items() if name not in implied]


PLAIN = ("order", "top_p", "cell_formula", "symmetrize")
FLAGS = ("lattice_first", "neutral", "soft")
SETS = ("elements", "require", "forbid")


def _changed(request: Request, names: Sequence[str]) -> dict[str, Any]:
    """The fields that are not as they are by default."""
    return {name: getattr(request, name) for name in names if getattr(request, name) != getattr(Request, name)}


def _generate_words(body: GenerateBody) -> list[str]:
    request = body.request()
    words = ["--seed", str(request.seed), *_conditions_words(request)]
    for name, value in _changed(request, SETS).items():
        words += [_flag(name), ",".join(value)]
    if request.z is not None:
        words += ["--z", "{}..{}".format(*request.z)]
    for name, value in {**_changed(request, PLAIN), **body.chosen}.items():
        words += [_flag(name), str(value)]
    return [*words, *map(_flag, _changed(request, FLAGS))]


def _generate_options(body: GenerateBody) -> dict[str, Any]:
    request = body.request()
    own = _changed(request, (*SETS, "z", *PLAIN, *FLAGS))
    return {"seed": request.seed, **_conditions_options(request), **own, **body.chosen}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _complete_options(body: CompleteBody) -> dict[str, Any]:
    own: dict[str, Any] = {"seed": body.seed or 0}
    if body.keep_lattice:
        own["keep_lattice"] = True
    request = Request(temperature=body.temperature, geometry_temperature=body.geometry_temperature)
    return {**own, **_changed(request, ("temperature", "geometry_temperature"))}


def _complete_words(body: CompleteBody) -> list[str]:
    return _words(_complete_options(body))


def _score_options(body: ScoreBody) -> dict[str, Any]:
    request = body.request()
    own = {**_changed(request, ("order", "lattice_first")), **_conditions_options(request)}
    return own if body.draws is None else {**own, "draws": body.draws, "seed": body.seed}


def _score_words(body: ScoreBody) -> list[str]:
    request = body.request()
    words = [*_words(_changed(request, ("order", "lattice_first"))), *_conditions_words(request)]
    return words if body.draws is None else [*words, "--draws", str(body.draws), "--seed", str(body.seed)]


def _evaluate_options(body: EvaluateBody) -> dict[str, Any]:
    defaults = {"fmax": FMAX, "max_steps": MAX_STEPS, "bond_valence": False}
    own = {name: getattr(body, name) for name, value in defaults.items() if getattr(body, name) != value}
    return own if body.relax else {**own, "skip": Name("frozenset({'relax', 'hull'})")}


def _evaluate_words(body: EvaluateBody) -> list[str]:
    own = {name: value for name, value in _evaluate_options(body).items() if name != "skip"}
    return [*_words(own), *([] if body.relax else ["--skip", "relax,hull"])]


def _words(options: Mapping[str, Any]) -> list[str]:
    pairs = [[_flag(name), *([] if value is True else [str(value)])] for name, value in options.items()]
    return [word for pair in pairs for word in pair]
