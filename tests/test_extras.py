from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import pytest

from materium.errors import MateriumError
from materium.evaluate import cgcnn, chgnet
from materium.extras import require

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_there_is_returned() -> None:
    import json

    assert require("json", "none") is json


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chgnet", None)
    with pytest.raises(MateriumError) as caught:
        require("chgnet", chgnet.EXTRA)
    assert str(caught.value).endswith("install it with: pip install 'materium[chgnet]'")
    assert "\n" not in str(caught.value)


def test_warning_filters_that_a_package_sets_do_not_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = "import warnings\nwarnings.warn('hello')\nwarnings.filterwarnings('ignore', message='never')\n"
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "noisy_package.py").write_text(source)
    before = list(warnings.filters)
    require("noisy_package", cgcnn.EXTRA)
    assert list(warnings.filters) == before
