from __future__ import annotations

import json
import sys
import warnings
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from packaging.requirements import Requirement

from materium.errors import MateriumError
from materium.evaluate import cgcnn, chgnet
from materium.extras import install_command, packages, require

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_there_is_returned() -> None:
    assert require("json", "none") is json


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chgnet", None)
    with pytest.raises(MateriumError) as caught:
        require("chgnet", chgnet.EXTRA)
    assert str(caught.value).endswith(f"install it with: {install_command(chgnet.EXTRA)}")
    assert "\n" not in str(caught.value)


def test_warning_filters_that_a_package_sets_do_not_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = "import warnings\nwarnings.warn('hello')\nwarnings.filterwarnings('ignore', message='never')\n"
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "noisy_package.py").write_text(source)
    before = list(warnings.filters)
    require("noisy_package", cgcnn.EXTRA)
    assert list(warnings.filters) == before


class Installed:
    """A distribution of Materium that was installed from `origin`; None is an index."""

    requires: ClassVar = ["numpy>=2", "chgnet<0.5,>=0.4.2; extra == 'chgnet'", "uvicorn[standard]>=1; extra == 'serve'"]

    def __init__(self, origin: dict[str, Any] | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        ({"dir_info": {"editable": True}}, " install -e '{clone}[chgnet]'"),
        ({"dir_info": {}}, " install '{clone}[chgnet]'"),
        ({"archive_info": {}}, " install 'chgnet<0.5,>=0.4.2'"),
        ({"vcs_info": {"vcs": "git"}}, " install 'chgnet<0.5,>=0.4.2'"),
        (None, " install 'chgnet<0.5,>=0.4.2'"),
    ],
)
def test_hint_follows_how_materium_was_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: dict[str, Any] | None, ending: str
) -> None:
    clone = tmp_path / "a clone"
    clone.mkdir()
    (clone / "pyproject.toml").touch()
    origin = None if kind is None else {**kind, "url": clone.as_uri()}
    monkeypatch.setattr("materium.extras.distribution", lambda _: Installed(origin))
    assert install_command("chgnet").endswith(ending.format(clone=clone))
    (clone / "pyproject.toml").unlink()  # a clone that is gone cannot be installed from
    assert install_command("chgnet").endswith(" install 'chgnet<0.5,>=0.4.2'")
    assert packages("serve") == ["uvicorn[standard]>=1"]


def test_hint_names_what_the_metadata_names() -> None:
    extras = [Requirement(line) for line in metadata.requires("materium") or [] if "extra ==" in line]
    assert {one.name for one in extras if one.marker and one.marker.evaluate({"extra": "serve"})} == {
        Requirement(line).name for line in packages("serve")
    }
    assert not packages("none")


@pytest.mark.parametrize(
    ("pip", "has_pip", "command"),
    [("beside", True, "pip install"), ("elsewhere", True, "{python} -m pip install"), (None, False, "uv pip install")],
)
def test_hint_installs_into_this_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pip: str | None, command: str, *, has_pip: bool
) -> None:
    python = tmp_path / "bin" / "python"
    pips = {"beside": str(tmp_path / "bin" / "pip"), "elsewhere": "/usr/bin/pip"}
    found = {"uv": "/usr/bin/uv", "pip": pips.get(pip or "")}
    monkeypatch.setattr("materium.extras.sys.executable", str(python))
    monkeypatch.setattr("materium.extras.shutil.which", found.get)
    monkeypatch.setattr("materium.extras.find_spec", lambda _: object() if has_pip else None)
    assert install_command("chgnet").startswith(command.format(python=python))
