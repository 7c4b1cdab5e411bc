"""What the server answers: jobs and crystals as JSON. A crystal is written once, by the process that made it."""

from typing import Any, Literal

from pydantic import BaseModel

from materium.serve.schema import Kind

State = Literal["queued", "running", "done", "cancelled", "failed"]
WorkerState = Literal["starting", "ready", "busy"]


class Detail(BaseModel):
    """One thing that is wrong with a request."""

    field: str
    message: str


class Refusal(BaseModel):
    """Why something was refused, or failed."""

    code: str
    message: str
    field: str | None = None
    details: list[Detail] = []


class Refused(BaseModel):
    """The body of every refusal."""

    error: Refusal


class SpaceGroup(BaseModel):
    """Of a crystal, at some tolerance."""

    number: int
    symbol: str


class Site(BaseModel):
    """An atom: fractional, and Cartesian in Å."""

    element: str
    number: int
    frac: list[float]
    cart: list[float]
    oxidation: int | None


class Parameters(BaseModel):
    """Lengths in Å and angles in degrees."""

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float


class Structure(BaseModel):
    """A cell: lattice vectors as rows in Å, volume in Å³."""

    lattice: list[list[float]]
    parameters: Parameters
    volume: float
    sites: list[Site]


class Novelty(BaseModel):
    """What the reference's fingerprints know of a crystal; see `materium.evaluate.novelty.Known.verdict`.

    `known_crystals` is how many crystals the reference holds: novel means not among them.
    """

    novel: bool | None = None
    novelty: str | None = None
    novel_formula: bool | None = None
    novel_prototype: bool | None = None
    nearest_id: str | None = None
    nearest_distance: float | None = None
    known_crystals: int | None = None
    reason: str | None = None


class Score(BaseModel):
    """Nats; see `materium.generate.scoring.Figures` and `OverOrders`."""

    log_likelihood: float
    log_likelihood_per_atom: float
    species: float
    coordinate: float
    lattice: float
    site_log_likelihoods: list[float]
    any_order_log_likelihood: float | None = None
    any_order_error: float | None = None
    any_order_spread: float | None = None
    any_order_draws: int | None = None


class Verdict(BaseModel):
    """Columns of `materium evaluate`; energies in eV/atom, forces in eV/Å, `rmsd` in Å."""

    unique: bool | None = None
    duplicate_of: str | None = None
    novel: bool | None = None
    novelty: str | None = None
    nearest_id: str | None = None
    nearest_distance: float | None = None
    smact_valid: bool | None = None
    neutral: bool | None = None
    notes: str | None = None
    relax_status: str | None = None
    relax_reason: str | None = None
    relax_steps: int | None = None
    energy: float | None = None
    energy_change: float | None = None
    volume_change: float | None = None
    max_force: float | None = None
    matched: bool | None = None
    rmsd: float | None = None
    energy_above_hull: float | None = None
    hull_support: int | None = None
    unsupported: bool | None = None
    hull_reason: str | None = None
    stable: bool | None = None
    metastable: bool | None = None
    sun: bool | None = None
    msun: bool | None = None
    classes: list[str] = []
    space_group_relaxed: SpaceGroup | None = None
    relaxed: Structure | None = None


class CrystalRow(BaseModel):
    """A crystal of a job; what is not known is null."""

    id: str
    index: int
    name: str
    formula: str | None = None
    num_sites: int | None = None
    elements: list[str] = []
    space_group: SpaceGroup | None = None
    space_group_fine: SpaceGroup | None = None
    density: float | None = None
    volume: float | None = None
    log_likelihood: float | None = None
    valid: bool = False
    reason: str | None = None
    novelty: Novelty | None = None
    request: int = 0
    targets: dict[str, float | str] = {}
    structure: Structure | None = None
    symmetrized: bool | None = None
    symmetrize_reason: str | None = None
    refined: Structure | None = None
    score: Score | None = None
    verdict: Verdict | None = None
    cif: str | None = None


class Progress(BaseModel):
    """How far a job is."""

    stage: str = ""
    done: int = 0
    total: int = 0


class SourceFile(BaseModel):
    """The file that a job's command reads."""

    name: str
    url: str


class JobFacts(BaseModel):
    """A job without its rows; times are seconds since 1970."""

    id: str
    kind: Kind
    state: State
    created: float
    started: float | None
    finished: float | None
    seconds: float
    position: int | None
    progress: Progress
    rows: int
    warnings: list[str]
    error: Refusal | None
    request: dict[str, Any]
    command: str
    python: str
    source: SourceFile | None
    metrics: dict[str, Any] | None


class JobAnswer(BaseModel):
    """One job."""

    job: JobFacts


class JobList(BaseModel):
    """All jobs that are remembered, the newest first."""

    jobs: list[JobFacts]


class JobPage(BaseModel):
    """A job with some of its rows."""

    job: JobFacts
    rows: list[CrystalRow]
    offset: int
    total: int
    next: int | None


class Health(BaseModel):
    """Whether the server works."""

    status: Literal["ok"]
    version: str
    worker: WorkerState
    queued: int
    running: str | None


class Trained(BaseModel):
    """What training saw of a property."""

    low: float
    high: float
    labels: int


class Adherence(BaseModel):
    """How often the model met targets of a property, in `benchmarks/adherence.py`."""

    share: float
    met: int
    of: int
    targets: list[float | str]
    error: float = 0.0


class Condition(BaseModel):
    """A property that the model can be told."""

    name: str
    option: str
    kind: str
    unit: str
    description: str
    classes: int
    trained: Trained | None
    adherence: Adherence | None
    enforceable: bool


class Conditions(BaseModel):
    """All that a form needs to know."""

    conditions: list[Condition]
    elements: list[str]
    orders: list[str]
    space_groups: list[SpaceGroup]
    defaults: dict[str, Any]
    limits: dict[str, float]


class Fact(BaseModel):
    """A line of a table."""

    name: str
    value: str


class ReferenceFacts(BaseModel):
    """What novelty is measured against."""

    name: str
    crystals: int


class ModelFacts(BaseModel):
    """What the model is; `card` is Markdown."""

    fingerprint: str
    version: str
    parameters: int
    max_sites: int
    facts: list[Fact]
    card: str
    extras: dict[str, bool]
    reference: ReferenceFacts


class Preset(BaseModel):
    """A request to begin with: what differs from the defaults."""

    name: str
    title: str
    description: str
    request: dict[str, Any]


class Presets(BaseModel):
    """All presets."""

    presets: list[Preset]
