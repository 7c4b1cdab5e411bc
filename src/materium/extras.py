"""Packages that only some commands need: imported when they are, refused with one line on how to install them."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from materium.errors import MateriumError

if TYPE_CHECKING:
    from importlib.metadata import Distribution
    from types import ModuleType

DISTRIBUTION = "materium"


def require(module: str, extra: str) -> ModuleType:
    """Return the module, imported without its warnings and without the warning filters that it sets.

    Raises
    ------
    MateriumError
        If it cannot be imported; the line says how to install what the extra brings.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MateriumError(f"{package} is needed ({error}); install it with: {install_command(extra)}") from error


def install_command(extra: str) -> str:
    """Return the command that installs an extra into this environment, however Materium came here.

    Of a clone that is the clone with the extra. Of a wheel, an index or a repository it is the packages themselves,
    with the ranges of Materium's metadata: a name and an extra would need an index that has Materium.
    """
    try:
        found = distribution(DISTRIBUTION)
    except PackageNotFoundError:  # run from its sources, without being installed
        return f"{_installer()} {shlex.quote(f'{DISTRIBUTION}[{extra}]')}"
    clone = _clone(found)
    if clone is not None:
        editable, path = clone
        return f"{_installer()} {'-e ' if editable else ''}{shlex.quote(f'{path}[{extra}]')}"
    return " ".join([_installer(), *map(shlex.quote, packages(extra))])


def packages(extra: str) -> list[str]:
    """Return the packages of an extra with their ranges, such as `chgnet<0.5,>=0.4.2`, from Materium's own metadata."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in distribution(DISTRIBUTION).requires or []]
    chosen = [one for one in wanted if one.marker and one.marker.evaluate({"extra": extra})]
    named = [f"[{','.join(sorted(one.extras))}]" if one.extras else "" for one in chosen]
    return [f"{one.name}{extras}{one.specifier}" for one, extras in zip(chosen, named, strict=True)]


def _clone(found: Distribution) -> tuple[bool, Path] | None:
    """Whether it was installed as editable, and the folder, if it came from a folder that is still there (PEP 610)."""
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    if "dir_info" not in origin:
        return None
    path = Path(url2pathname(urlsplit(origin["url"]).path))
    return (bool(origin["dir_info"].get("editable")), path) if (path / "pyproject.toml").is_file() else None


def _installer() -> str:
    """The installer of this environment: another `pip` on the path would install elsewhere."""
    pip = shutil.which("pip")
    if pip is not None and Path(pip).parent == Path(sys.executable).parent:
        return "pip install"
    if find_spec("pip") is None and shutil.which("uv"):
        return f"uv pip install --python {shlex.quote(sys.executable)}"
    return f"{shlex.quote(sys.executable)} -m pip install"
