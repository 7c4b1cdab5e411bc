"""Devices by name: what is not there is one line."""

from __future__ import annotations

import pytest
import torch

from materium.errors import MateriumError
from materium.model.device import resolve_device


def test_auto_finds_a_device_that_works() -> None:
    assert torch.ones(1, device=resolve_device("auto")).item() == 1


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu").type == "cpu"


def test_missing_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MateriumError, match="'cuda:1' is not on this machine"):
        resolve_device("cuda:1")


def test_card_beyond_the_last_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("cuda").type == "cuda"
    with pytest.raises(MateriumError, match="not on this machine"):
        resolve_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "xpu", "meta", "mps"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(MateriumError, match=name):
        resolve_device(name)
