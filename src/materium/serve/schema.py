"""What requests say: the fields of the command line's own types, with their defaults, as JSON.

The conditions are made from the one table of properties, and every value is read by the code that reads the command
line, so that both take and refuse the same.
"""

from functools import partial
from math import prod
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, create_model, model_validator

from materium import convert
from materium.errors import MateriumError
from materium.generate.request import LEAST, MAX_GUIDANCE, MAX_REACH, Request
from materium.generate.targets import Range, parse_composition, parse_target
from materium.properties import Property, table
from materium.refine import REFINE_SYMPREC
from materium.relax.relaxer import FMAX, MAX_STEPS
from materium.tokens.tokenizer import Order

MAX_SEED = 2**32 - 1
MAX_SYMPREC = 10 * REFINE_SYMPREC
"""Å; beyond it neighbours of a dense crystal are one atom."""
MAX_DRAWS = 200
TUNED = ("temperature", "geometry_temperature", "geometry_reach", "end_odds", "guidance")
"""Settings of sampling that are as measured best where they are not given."""
MAX_UNKNOWN = 10
"""Unknown fields that are named one by one."""
MAX_TARGETS = 100
"""Targets of one condition."""
MAX_STEPS_ASKED = 10 * MAX_STEPS
MAX_FMAX = 10.0
"""eV/Å; beyond it nothing would be relaxed."""
COUNT = 8
"""Completions, unless told otherwise."""


def _element(name: str) -> str:
    convert.atomic_numbers([name])
    return name


def _formula(text: str) -> str:
    parse_composition(text)
    return text


Text = Annotated[str, Field(min_length=1, max_length=120)]
Symbol = Annotated[str, Field(pattern="^[A-Z][a-z]?$"), AfterValidator(_element)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Temperature = Annotated[float, Field(ge=LEAST, le=100)]
Which = Literal["made", "refined", "relaxed"]
"""Of a crystal: as it was made, symmetrised, or relaxed."""
Kind = Literal["generate", "complete", "score", "evaluate"]
Value = float | int | str


class Body(BaseModel):
    """A body: no field that is not known, no text in the place of a number, nothing infinite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _few_unknown(cls, given: Any) -> Any:  # noqa: ANN401 - anything that JSON holds
        """Refuse many unknown fields as one fault: each by itself costs microseconds, and a body may hold 150,000."""
        if isinstance(given, dict) and len(given) > len(cls.model_fields) + MAX_UNKNOWN:
            known = cls.model_fields
            unknown = [name for name in given if name not in known]
            shown = ", ".join(repr(str(name)[:20]) for name in unknown[:3])
            raise MateriumError(f"{len(unknown)} fields are not known, such as {shown}; /docs lists those that are")
        return given


def _readable(name: str, value: Any) -> Any:  # noqa: ANN401 - a target, or several
    """A target, or several, that the command line would read; a space group by its symbol becomes its number."""
    read = [_target(name, one) for one in (value if isinstance(value, list) else [value])]
    return read if isinstance(value, list) else read[0]


def _target(name: str, value: Value) -> Value:
    if name == "space_group" and isinstance(value, str) and value.strip()[:1].isalpha():
        value = convert.space_group_number(value.strip())
    parse_target(name, value)
    return value


TYPES: dict[str, Any] = {"number": float, "category": int | Text, "formula": Text, "elements": Text}
"""One target, by the kind of property; a category may be a text for the symbols of space groups."""
Numbers = Annotated[list[float | Text], Field(min_length=1, max_length=MAX_TARGETS)]
Labels = Annotated[list[int | Text], Field(min_length=1, max_length=MAX_TARGETS)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_TARGETS)]
SEVERAL: dict[str, Any] = {
    "number": float | Text | Numbers,
    "category": int | Text | Labels,
    "formula": Text | Texts,
    "elements": Text | Texts,
}
"""One target, a range as text, or several of them."""


def _condition(entry: Property, *, several: bool) -> Any:  # noqa: ANN401 - a type and its default
    """Type and default of the condition on a property."""
    kind = SEVERAL[entry.kind] if several else TYPES[entry.kind]
    unit = f", in {entry.unit}" if entry.unit else ""
    checked: Any = Annotated[kind, AfterValidator(partial(_readable, entry.name))]
    return (checked | None, Field(default=None, description=f"{entry.description}{unit}"))


def _conditions(name: str, *, several: bool) -> type[Body]:
    fields = {entry.name: _condition(entry, several=several) for entry in table().values()}
    return create_model(
        name, __base__=Body, __module__=__name__, __doc__="Targets by property; see GET /conditions.", **fields
    )


Targets: Any = _conditions("Targets", several=True)
"""Values, ranges as text, or lists of these: each with each of the others."""
Told: Any = _conditions("Told", several=False)
"""One value each."""


def given(conditions: Body) -> dict[str, Any]:
    """Return the conditions that were given, by name."""
    return {name: value for name, value in conditions.model_dump().items() if value is not None}


class GenerateBody(Body):
    """Crystals to write; the fields and defaults of `materium generate`."""

    n: int = Field(default=Request.n, ge=1, le=1_000_000, description="how many, of each combination of targets")
    seed: Seed | None = Field(default=Request.seed, description="null draws one")
    conditions: Targets = Field(default_factory=Targets)
    order: Order = Request.order
    lattice_first: bool = Request.lattice_first
    temperature: Temperature | None = Field(default=None, description="null: as measured best")
    geometry_temperature: Temperature | None = Field(default=None, description="null: as temperature, or measured best")
    geometry_reach: float | None = Field(
        default=None,
        ge=0,
        lt=MAX_REACH,
        description="null: whole axes where a temperature is given, else as measured best",
    )
    end_odds: float | None = Field(
        default=None, ge=LEAST, le=1 / LEAST, description="null: 1 where temperature is given, else as measured best"
    )
    top_p: float = Field(default=Request.top_p, gt=0, le=1)
    guidance: float | None = Field(default=None, ge=0, le=MAX_GUIDANCE, description="null: as measured best")
    elements: list[Symbol] = Field(default=[], max_length=120, description="that may occur; none named: all")
    require: list[Symbol] = Field(default=[], max_length=120, description="that must occur")
    forbid: list[Symbol] = Field(default=[], max_length=120, description="that must not occur")
    z: int | Text | None = Field(default=None, description="formula units in the primitive cell, such as 2 or 1..4")
    cell_formula: Annotated[Text, AfterValidator(_formula)] | None = Request.cell_formula
    neutral: bool = Request.neutral
    soft: bool = Request.soft
    symmetrize: float | None = Field(default=Request.symmetrize, ge=LEAST, le=MAX_SYMPREC, description="Å")

    @model_validator(mode="after")
    def _is_a_request(self) -> "GenerateBody":
        self.request()
        return self

    @property
    def total(self) -> int:
        """Crystals in all, counted without listing the combinations."""
        lists = [len(value) if isinstance(value, list) else 1 for value in given(self.conditions).values()]
        return self.n * prod(lists)

    @property
    def chosen(self) -> dict[str, Any]:
        """Settings of sampling that are given; the others are left to what was measured on the model."""
        values = {name: getattr(self, name) for name in TUNED}
        return {name: value for name, value in values.items() if value is not None}

    def request(self) -> Request:
        """Return the request of the same fields; raises `RequestError` if it contradicts itself."""
        apart = ("conditions", "seed", *TUNED)
        fields = {name: getattr(self, name) for name in type(self).model_fields if name not in apart}
        return Request(**fields, **self.chosen, seed=self.seed or 0, conditions=given(self.conditions))


class File(Body):
    """A file of structures, sent as text: CIF, POSCAR or extxyz, told apart by its name."""

    name: str = Field(min_length=1, max_length=255)
    text: str = Field(min_length=1)


class Upload(Body):
    """Structures that the request brings."""

    files: list[File] = Field(min_length=1, max_length=200)


class Crystals(Body):
    """Crystals of an earlier job: all, or those that are named."""

    job: str = Field(max_length=64)
    ids: list[Annotated[str, Field(max_length=100)]] | None = Field(default=None, min_length=1, max_length=1000)
    which: Which = "made"


def _kind_of(value: Any) -> str:  # noqa: ANN401 - anything that JSON holds
    has_job = "job" in value if isinstance(value, dict) else isinstance(value, Crystals)
    return "crystals" if has_job else "upload"


Source = Annotated[
    Annotated[Upload, Tag("upload")] | Annotated[Crystals, Tag("crystals")],
    Discriminator(_kind_of),
]


class CompleteBody(Body):
    """A host, and what to put in; the fields of `materium complete`."""

    source: Source
    add: Annotated[Text, AfterValidator(_formula)]
    n: int = Field(default=COUNT, ge=1, le=1_000_000)
    seed: Seed | None = Field(default=Request.seed, description="null draws one")
    keep_lattice: bool = False
    temperature: Temperature = Request.temperature
    geometry_temperature: Temperature | None = Request.geometry_temperature


class ScoreBody(Body):
    """Structures to score; the fields of `materium score`."""

    source: Source
    conditions: Told = Field(default_factory=Told)
    order: Order = Request.order
    lattice_first: bool = Request.lattice_first
    draws: int | None = Field(default=None, ge=1, le=MAX_DRAWS)
    seed: Seed = Request.seed

    @model_validator(mode="after")
    def _is_a_request(self) -> "ScoreBody":
        if any(isinstance(value, Range) for value in self.request().conditions.values()):
            raise MateriumError("a range was given where one value of each condition is needed")
        if self.order == "random":
            raise MateriumError("order = random has no canonical sentence to score; choose another")
        return self

    def request(self) -> Request:
        """Return what the sentences are told, and their layout."""
        return Request(
            seed=self.seed, conditions=given(self.conditions), order=self.order, lattice_first=self.lattice_first
        )


class EvaluateBody(Body):
    """Structures to judge; the fields of `materium evaluate`."""

    source: Source
    relax: bool = Field(default=True, description="false leaves out relaxation and energy above hull")
    fmax: float = Field(default=FMAX, gt=0, le=MAX_FMAX, description="eV/Å")
    max_steps: int = Field(default=MAX_STEPS, ge=0, le=MAX_STEPS_ASKED)
    bond_valence: bool = False


AnyBody = GenerateBody | CompleteBody | ScoreBody | EvaluateBody
FIELDS = frozenset(name for body in (*AnyBody.__args__, Upload, Crystals, File) for name in body.model_fields)
"""Names of all fields but the conditions."""
