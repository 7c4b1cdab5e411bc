"""The setting of glibc is a matter of the process: it is tried in one of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from materium.train.memory import keep_freed_memory
import torch
agreed = keep_freed_memory()
kept = torch.ones(4_000_000).sum().item() == 4_000_000
sys.exit(0 if kept and agreed == {expected} else 1)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_glibc_agrees_and_torch_still_computes() -> None:
    import platform

    code = CODE.format(expected=platform.libc_ver()[0] == "glibc")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_happens_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from materium.train.memory import keep_freed_memory

    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
