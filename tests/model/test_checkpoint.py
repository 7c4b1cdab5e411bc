"""Checkpoints: what is saved comes back bit by bit, and whatever is damaged is refused in one line."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch

from materium.errors import CheckpointError
from materium.io.atomic import write_bytes
from materium.model.checkpoint import load_checkpoint, save_model
from materium.model.config import ModelConfig
from materium.model.folder import CONFIG, WEIGHTS, default_model
from materium.model.transformer import Transformer
from tiny import save_tiny, tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "model")


def assert_refused(folder: Path, *said: str) -> None:
    """Hold the refusal to one line that says these words and names the place."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    for word in said:
        assert word in message


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_round_trip_is_bit_equal(tmp_path: Path, dtype: torch.dtype) -> None:
    model = tiny_model()
    save_model(model, tmp_path, {"steps": 3}, dtype)
    loaded, config = load_checkpoint(tmp_path)
    assert config["facts"] == {"steps": 3}
    assert loaded.config == model.config
    own = dict(model.named_parameters())
    for name, weight in loaded.named_parameters():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, own[name].to(dtype).float())
    save_model(loaded, tmp_path / "again", {"steps": 3}, dtype)
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (tmp_path / WEIGHTS).read_bytes()
    assert (tmp_path / "again" / CONFIG).read_bytes() == (tmp_path / CONFIG).read_bytes()


def test_loaded_model_does_not_train(folder: Path) -> None:
    assert not load_checkpoint(folder)[0].training


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_weights_cut_short(folder: Path, share: float) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: int(share * len(data))])
    assert_refused(folder, WEIGHTS, "safetensors")


def test_any_flipped_byte_of_the_weights(folder: Path) -> None:
    """The length, the header, and the numbers: one byte in each of 60 places."""
    data = (folder / WEIGHTS).read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    places = [*range(8), *range(8, header, max(1, header // 40)), *range(header, len(data), len(data) // 12)]
    for place in places:
        (folder / WEIGHTS).write_bytes(data[:place] + bytes([data[place] ^ 0x11]) + data[place + 1 :])
        assert_refused(folder, WEIGHTS)


def test_any_flipped_byte_of_the_settings(folder: Path) -> None:
    """Whatever byte it is, the file is refused, or the model is the same: facts are no part of it."""
    data = (folder / CONFIG).read_bytes()
    model = load_checkpoint(folder)[0].config
    end = data.index(b'"facts"')
    for place in range(0, end, 29):
        (folder / CONFIG).write_bytes(data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :])
        try:
            found = load_checkpoint(folder)[0].config
        except CheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most places raise, those between the words do not
        else:
            assert found == model


class Bomb:
    """A pickle that would write a file when it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, ("exploded", "w")


@pytest.mark.parametrize("make", [pickle.dumps, None])
def test_pickle_is_never_loaded(
    folder: Path, make: Callable[[object], bytes] | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if make:
        (folder / WEIGHTS).write_bytes(make(Bomb()))
    else:
        torch.save({"weights": Bomb()}, folder / WEIGHTS)
    assert_refused(folder, "a pickle, which is never loaded")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert_refused(folder, name, "missing")


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nowhere", "holds no model")


def test_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(pickle.dumps(1))
    assert_refused(tmp_path / "model.pt", "holds no model")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"model"', "{}", '{"format": "other-9"}', "\udcff"])
def test_settings_that_are_none(folder: Path, text: str) -> None:
    (folder / CONFIG).write_bytes(text.encode(errors="surrogateescape"))
    assert_refused(folder, CONFIG)


@pytest.mark.parametrize("key", ["model", "tokenizer_fingerprint", "weights_sha256", "facts", "format"])
def test_settings_without_a_part(folder: Path, key: str) -> None:
    config = json.loads((folder / CONFIG).read_text())
    del config[key]
    (folder / CONFIG).write_text(json.dumps(config))
    assert_refused(folder, CONFIG)


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the settings, and take the checksum away that would find any change."""
    config = json.loads((folder / CONFIG).read_text())
    change(config["model"])
    del config["model_sha256"]
    (folder / CONFIG).write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(width=64),
        lambda m: m.update(layers=3),
        lambda m: m.update(heads="two"),
        lambda m: m.update(colour="red"),
        lambda m: m.pop("seen"),
        lambda m: m.update(seen=[1]),
        lambda m: m.update(tokenizer=None),
        lambda m: m.update(width=-1),
    ],
)
def test_settings_that_do_not_fit_the_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    changed(folder, change)
    assert_refused(folder)


@pytest.mark.parametrize(("name", "value"), [("bins", 48), ("max_sites", 6), ("length_ranges", [[1.0, 9.0]] * 3)])
def test_another_tokenizer_setting(folder: Path, name: str, value: object) -> None:
    changed(folder, lambda model: model["tokenizer"].update({name: value}))
    assert_refused(folder, "tokenizer")


def test_setting_that_still_fits_the_weights_is_found_by_its_checksum(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    config["model"].update(positions="blockwise")
    (folder / CONFIG).write_text(json.dumps(config))
    assert_refused(folder, "damaged")


def test_facts_of_the_training_are_found_by_their_checksum(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    config["facts"]["steps"] = 10**6
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="other facts"):
        load_checkpoint(folder)


def test_weights_of_another_run(folder: Path, tmp_path: Path) -> None:
    other = save_tiny(tmp_path / "other", seed=1)
    (folder / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes())
    assert_refused(folder, "sha256")


def test_write_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def fail(_: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_default_model_is_the_one_that_ships() -> None:
    model, config = load_checkpoint()
    assert isinstance(model, Transformer)
    assert isinstance(model.config, ModelConfig)
    assert config["facts"]["validation"]["nats_per_crystal"] > 0  # how good it is, benchmarks/ measures
    assert (default_model() / WEIGHTS).stat().st_size <= 40e6


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    """They would make tokens all the same, for the loops in C know no NaN."""
    model = tiny_model()
    with torch.no_grad():
        model.blocks[1].feedforward.up.weight[3, 2] = value
    folder = tmp_path / "broken"
    save_model(model, folder, {})
    assert_refused(folder, "blocks.1.feedforward.up.weight", "NaN or infinity", "train again")
