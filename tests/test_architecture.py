"""Reads the source and holds it to the drawing: where imports may point, and how long and how loose code may be."""

from __future__ import annotations

import ast
import statistics
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[1] / "src" / "materium"

# The drawing, from left to right; a part may import what stands in a column to its left.
#
#   crystal -> core -> tokens -> data -> model -> train
#                            \-> model -> generate -> relax -> evaluate -> report -> serve -> cli
COLUMNS = (
    {"errors", "heartbeat"},
    {"crystal"},
    {"texts", "io", "oxidation", "processes"},
    {"convert", "symmetry", "properties", "elements", "extras", "progress"},
    {"core"},
    {"tokens", "refine", "wyckoff", "keywords", "structures"},
    {"data"},
    {"model"},
    {"train", "generate"},
    {"relax", "dft", "bench"},
    {"evaluate"},
    {"report"},
    {"serve"},
    {"cli"},
)
COLUMN = {part: number for number, column in enumerate(COLUMNS) for part in column}
KNOWS_NOTHING_OF = [
    ("generate", "train"),
    ("relax", "model"),
    ("dft", "model"),
    ("evaluate", "model"),
    ("evaluate", "train"),
]
FACE = {"__init__", "__main__"}
"""`import materium` offers the engine, and `python -m materium` the command line: they stand outside the drawing."""

ELEMENT_TABLES = {
    "pymatgen.core": {"Composition", "Element", "Species"},
    "pymatgen.core.structure_matcher": {"StructureMatcher"},
    "ase.data.colors": {"jmol_colors"},
    "ase.data": {"atomic_masses", "atomic_numbers", "chemical_symbols", "covalent_radii"},
    "pymatgen.core.bond_valence": {"BVAnalyzer"},
    "pymatgen.entries.compatibility": {"MaterialsProject2020Compatibility"},
    "pymatgen.entries.computed_entries": {"ComputedStructureEntry"},
    "pymatgen.optimization.neighbors": {"find_points_in_spheres"},
}
"""Facts about elements, the matcher, corrections, and neighbours as arrays: for every part.

Structures and file formats are for `convert.py` and `io/` alone.
"""

INPUT_FORMATS = {
    "pymatgen.io.vasp.sets": {"BadInputSetWarning", "MPMetalRelaxSet", "MPNonSCFSet", "MPRelaxSet", "MPStaticSet"},
    "pymatgen.io.vasp.inputs": {"Kpoints", "Poscar"},
    "ase.cell": {"Cell"},
    "ase.dft.kpoints": {"parse_path_string"},
}
"""What `dft/` takes from these libraries besides: input files of programs, and paths through the reciprocal cell."""

MAX_LINES = 450
MAX_MEDIAN_FUNCTION = 10
MAX_LONG_FUNCTION = 40
"""Nine functions in ten stay below it."""

KNOWN_CIRCLES = {
    frozenset({"materium.evaluate.hull", "materium.evaluate.reference"}),
    frozenset({"materium.evaluate.pipeline", "materium.evaluate.tools"}),
    frozenset({"materium.generate.complete", "materium.generate.engine"}),
    frozenset({"materium.generate.request", "materium.generate.tuned"}),
    frozenset({"materium.model.attention", "materium.model.native", "materium.model.transformer"}),
    frozenset({"materium.serve.work", "materium.serve.worker"}),
}
"""Modules of a folder that import each other, if only for types: none is to come, and those that are mended leave."""

TESTED_THROUGH_OTHERS = """
    . processes progress
    bench training
    cli conditions help threads failures options runs
    data records
    evaluate candidates cgcnn chgnet folder reference_build tools verdicts
    generate automaton decoding rows
    io cif_content cif_symmetry settings
    model candidates facts loops folder
    relax/adapters ase_calculator chgnet lennard_jones registry sevennet
    relax neighbors potential
    report charts figures html overview picture plots section
    serve answers app catalogue errors events pages routes rows sources submit work worker
"""
"""Folders, with the modules in them that have no test file of their own: a module leaves when it gets one."""

FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def part_of(file: Path) -> str:
    """Name the part of the drawing that a file belongs to: its folder, or itself."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(file: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of each import, those inside functions and for type checking too."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively; write the whole name"
            yield from ((node.module or "", alias.name) for alias in node.names)


def imported_parts(file: Path) -> set[str]:
    """Return the parts of Materium that a file imports."""
    parts = set()
    for module, name in imported_names(file):
        path = f"{module}.{name}".split(".")
        if path[0] == "materium" and len(path) > 1 and path[1] in COLUMN:
            parts.add(path[1])
    return parts - {part_of(file)}


MODULES = {".".join(("materium", *file.relative_to(PACKAGE).with_suffix("").parts)): file for file in FILES}


def imported_modules(module: str) -> set[str]:
    """Return the modules of Materium that a module imports anywhere, for type checking too; packages do not count."""
    pairs = imported_names(MODULES[module])
    names = {name for source, entry in pairs for name in (source, f"{source}.{entry}")}
    return (names & MODULES.keys()) - {module}


def circles() -> set[frozenset[str]]:
    """Return the largest sets of modules each of which imports every other, directly or through others."""
    direct = {module: imported_modules(module) for module in MODULES}
    behind = {module: set(found) for module, found in direct.items()}
    for through in MODULES:  # Warshall's transitive closure
        for module in MODULES:
            if through in behind[module]:
                behind[module] |= behind[through]
    return {frozenset(other for other in behind[one] if one in behind[other]) for one in MODULES if one in behind[one]}


@cache
def reachable(part: str) -> frozenset[str]:
    """Return the parts that come with a part, directly or through others."""
    direct = {found for file in FILES if part_of(file) == part for found in imported_parts(file)}
    return frozenset(direct.union(*(reachable(other) for other in direct)))


def untested() -> set[str]:
    """Return the modules that have no test file of their name, in the folder of tests that mirrors theirs."""
    tests = PACKAGE.parents[1] / "tests"
    names = [file.relative_to(PACKAGE) for file in FILES if not file.name.startswith("__")]
    return {str(name) for name in names if not (tests / name.parent / f"test_{name.name}").is_file()}


def functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(parsed(file)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines from `def` to the end without the docstring."""
    total = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    return total - ((first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0)


def identifier(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def test_every_file_has_its_place_in_the_drawing() -> None:
    assert {part_of(file) for file in FILES} <= COLUMN.keys() | FACE


@pytest.mark.parametrize("file", [file for file in FILES if part_of(file) not in FACE], ids=identifier)
def test_imports_point_to_the_left(file: Path) -> None:
    wrong = {part for part in imported_parts(file) if COLUMN[part] >= COLUMN[part_of(file)]}
    assert not wrong, f"{identifier(file)} imports {wrong}, which do not stand to its left"


def test_no_module_imports_itself_through_others() -> None:
    """Within a folder too, where columns say nothing; `KNOWN_CIRCLES` can only shrink."""
    assert circles() == KNOWN_CIRCLES


@pytest.mark.parametrize(("part", "other"), KNOWS_NOTHING_OF)
def test_parts_that_know_nothing_of_each_other(part: str, other: str) -> None:
    assert other not in reachable(part)


@pytest.mark.parametrize("file", FILES, ids=identifier)
def test_only_convert_and_io_know_structures_of_other_libraries(file: Path) -> None:
    if identifier(file) == "convert.py" or part_of(file) == "io":
        return
    allowed = ELEMENT_TABLES | (INPUT_FORMATS if part_of(file) == "dft" else {})
    foreign = {
        (module, name)
        for module, name in imported_names(file)
        if module.split(".")[0] in {"pymatgen", "ase"} and name not in allowed.get(module, set())
    }
    assert not foreign, f"{identifier(file)} imports {foreign}; only convert.py and io/ know these libraries"


@pytest.mark.parametrize("file", FILES, ids=identifier)
def test_nothing_prints(file: Path) -> None:
    calls = [node for node in ast.walk(parsed(file)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("file", FILES, ids=identifier)
def test_no_failure_is_swallowed(file: Path) -> None:
    handlers = [node for node in ast.walk(parsed(file)) if isinstance(node, ast.ExceptHandler)]
    broad = {None, "Exception", "BaseException"}
    for handler in handlers:
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        names = {ast.unparse(kind) if kind else None for kind in caught}
        assert not names & broad, f"{identifier(file)}:{handler.lineno} catches everything"


@pytest.mark.parametrize("file", FILES, ids=identifier)
def test_files_are_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_every_new_module_has_tests_of_its_own() -> None:
    """Those of `TESTED_THROUGH_OTHERS` have none yet; the list can only shrink."""
    lines = [line.split() for line in TESTED_THROUGH_OTHERS.strip().splitlines()]
    known = {str(Path(folder, f"{name}.py")) for folder, *names in lines for name in names}
    assert not untested() - known, "a module without a test file of its name"
    assert not known - untested(), "tested now, or gone: strike it from the list"


def test_functions_are_short() -> None:
    lengths = sorted(code_lines(function) for file in FILES for function in functions(file))
    assert statistics.median(lengths) <= MAX_MEDIAN_FUNCTION
    assert lengths[int(0.9 * (len(lengths) - 1))] < MAX_LONG_FUNCTION
