"""`materium generate`: what it writes, what it refuses in one line, and that it can be stopped and run again."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import torch

from materium.cli.main import main
from materium.generate.engine import load
from materium.generate.request import Request
from materium.generate.writer import RunFolder, RunInfo
from tiny import save_tiny

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534


@pytest.fixture
def generate(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command with the tiny model, and gives status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, model: Path = tiny_checkpoint) -> tuple[int, str, str]:
        status = main(["generate", "--model", str(model), *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def one_line(error: str) -> str:
    assert error.startswith("materium: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def test_writes_a_run_folder_and_a_short_table(generate: Callable[..., Any], tmp_path: Path) -> None:
    status, out, err = generate("-n", "5", "--seed", "1", "--out", "run")
    assert (status, err) == (0, "")
    for words in ("crystals", "parsed", "5 of 5 (100.0 %)", "structurally valid", "distinct formulas", "seconds"):
        assert words in out
    assert "crystals per second" in out
    assert len(list((tmp_path / "run" / "cif").iterdir())) == 5
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["finished"]
    assert facts["versions"]["torch"]


def test_every_option_reaches_the_request(generate: Callable[..., Any], tmp_path: Path) -> None:
    """An argument that does nothing is a lie."""
    options = {
        "conditions": {
            "reduced_formula": "NaCl", "space_group": 225, "num_sites": 2, "density": 2.1, "band_gap": 5.0,
            "mag_density": 0.0, "bulk_modulus": 25.0, "hhi": 3000.0, "energy_above_hull": 0.0,
        },
        "order": "low", "lattice_first": True, "temperature": 0.9, "geometry_temperature": 0.5, "geometry_reach": 0.1,
        "end_odds": 0.5, "top_p": 0.95,
        "guidance": 1.5, "n": 3, "seed": 4, "elements": ["Na", "Cl"], "require": ["Na"], "forbid": ["Ti"], "z": [1, 2],
        "neutral": True, "symmetrize": 0.05,
    }  # fmt: skip
    flags = {**options.pop("conditions"), **options}  # type: ignore[dict-item]
    flags["formula"] = flags.pop("reduced_formula")
    arguments = ["-n", str(flags.pop("n"))]
    for name, value in flags.items():
        words = (
            "..".join(map(str, value)) if name == "z" else ",".join(value) if isinstance(value, list) else str(value)
        )
        arguments += [f"--{name.replace('_', '-')}", *([] if value is True else [words])]
    status, _, err = generate(*arguments, "--out", "run")
    assert status == 0
    assert all(line.startswith("warning: ") for line in err.splitlines())
    found = json.loads((tmp_path / "run" / "run.json").read_text())["request"]
    conditions = found.pop("conditions")
    assert found == {**options, "cell_formula": None, "soft": False, "aims": {}, "hints": {}}
    assert conditions["reduced_formula"] == "NaCl"
    assert len(conditions) == 9


def test_quiet_prints_nothing(generate: Callable[..., Any]) -> None:
    assert generate("-n", "1", "--out", "run", "--quiet", "--density", "99") == (0, "", "")


def test_target_outside_training_is_a_warning(generate: Callable[..., Any]) -> None:
    status, _, err = generate("-n", "1", "--out", "run", "--density", "99")
    assert status == 0
    assert err == "warning: density = 99.0 g/cm³ lies outside training: 1 to 20 g/cm³\n"


def test_several_targets_are_so_many_requests(generate: Callable[..., Any], tmp_path: Path) -> None:
    """`--density 2.5 5 --num-sites 2 4` is four requests in one run, and each row says which it answers."""
    assert generate("--density", "2.5", "5", "-n", "2", "--num-sites", "2", "4", "-o", "run")[0] == 0
    table = pq.read_table(tmp_path / "run" / "structures.parquet").to_pydict()
    targets = [json.loads(text) for text in table["targets"]]
    assert table["request"] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [(t["density"], t["num_sites"]) for t in targets[::2]] == [(2.5, 2), (5, 2), (2.5, 4), (5, 4)]
    assert table["num_sites"] == [t["num_sites"] for t in targets]


def test_ranges_and_constraints(generate: Callable[..., Any], tmp_path: Path) -> None:
    arguments = ("--density", "2..3", "--num-sites", "2..3", "--elements", "Na,Cl,O", "--require", "O", "--neutral")
    assert generate("-n", "8", *arguments, "--out", "run")[0] == 0
    for row in pq.read_table(tmp_path / "run" / "structures.parquet").to_pylist():
        assert 2 <= json.loads(row["targets"])["density"] <= 3
        assert row["num_sites"] in (2, 3)
        assert 8 in row["atomic_numbers"]
        assert set(row["atomic_numbers"]) <= {8, 11, 17}
        assert sum(row["oxidation_states"]) == 0


def test_symmetrize_takes_a_tolerance_or_none(generate: Callable[..., Any], tmp_path: Path) -> None:
    for name, words in (("own", ["--symmetrize", "0.03"]), ("usual", ["--symmetrize"])):
        assert generate("-n", "2", *words, "--out", name)[0] == 0
    found = [json.loads((tmp_path / name / "run.json").read_text())["request"] for name in ("own", "usual")]
    assert [request["symmetrize"] for request in found] == [0.03, 0.1]


def test_batch_size_changes_nothing(generate: Callable[..., Any], tmp_path: Path) -> None:
    for size in ("1", "7", "64"):
        assert generate("-n", "16", "--out", size, "--batch-size", size)[0] == 0
    tables = [pq.read_table(tmp_path / size / "structures.parquet") for size in ("1", "7", "64")]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_finished_run_is_left_alone(generate: Callable[..., Any], tmp_path: Path) -> None:
    assert generate("-n", "3", "--out", "run")[0] == 0
    before = (tmp_path / "run" / "run.json").stat().st_mtime_ns
    status, out, _ = generate("-n", "3", "--out", "run")
    assert status == 0
    assert "finished already" in out
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == before
    status, _, err = generate("-n", "4", "--out", "run")
    assert status == 2
    assert "finished run with other settings" in one_line(err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-n", "0"], "n = 0 is not possible; give at least 1"),
        (["-n", "-5"], "n = -5"),
        (["-n", "many"], "'many'"),
        (["--temperature", "-1"], "temperature = -1.0"),
        (["--temperature", "nan"], "temperature"),
        (["--geometry-temperature", "0"], "geometry_temperature"),
        (["--top-p", "2"], "top_p"),
        (["--guidance", "-1"], "guidance"),
        (["--batch-size", "0"], "batch-size"),
        (["--seed", "-1"], "seed"),
        (["--order", "heavy"], "choose one of high"),
        (["--formula", "Nacl2x"], "is no formula"),
        (["--chemical-system", "Li-Qq"], "is no formula"),
        (["--space-group", "231"], "runs from 1 to 230"),
        (["--density", "nan"], "finite"),
        (["--density", "3..1"], "range 3..1 is empty"),
        (["--density", "thick"], "is no number"),
        (["--formula", "NaCl", "--forbid", "Cl"], "Cl is in the formula and in --forbid"),
        (["--formula", "TiO2", "--num-sites", "4"], "4 atoms do not go with the formula; it makes cells of 3 atoms"),
        (["--elements", "Qq"], "'Qq' is no element"),
        (["--z", "2"], "z counts formula units"),
        (["--z", "2", "--formula", "NaCl", "--soft"], "leave one of them out"),
        (["--hhi", ">9000"], "training saw no hhi"),
        (["--symmetrize", "-1"], "symmetrize"),
        (["--densty", "3"], "--density"),
        (["--colour", "red"], "--colour"),
        (["--device", "cuda"], "'cuda' is not on this machine"),
        (["--device", "gpu"], "cuda:0"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], said: str, generate: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, out, err = generate("--out", "run", *arguments)
    assert (status, out) == (2, "")
    assert said in one_line(err)
    assert not (tmp_path / "run").exists()


def test_out_is_needed(generate: Callable[..., Any]) -> None:
    status, _, err = generate("-n", "1")
    assert status == 2
    assert "--out" in one_line(err)


def cut(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def flip(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-100] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def replace_by_pickle(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps({"weights": 1}))


def lose(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "safetensors"),
        (flip, "altered"),
        (replace_by_pickle, "a pickle, which is never"),
        (lose, "missing"),
    ],
)
def test_damaged_model(damage: Callable[[Path], None], said: str, generate: Callable[..., Any], tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model")
    damage(model)
    status, _, err = generate("--out", "run", model=model)
    assert status == 2
    assert said in one_line(err)
    assert not (tmp_path / "run").exists()


def test_file_stands_where_the_folder_should(generate: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    status, _, err = generate("-n", "1", "--out", "run")
    assert status == 2
    one_line(err)
    status, _, err = generate("-n", "1", "--out", "run/deeper")
    assert status == 2
    one_line(err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("place", ["cif/0-000006.cif", "parts/.000000005-5.part"])
def test_no_space_left(place: str, generate: Callable[..., Any], tmp_path: Path, tiny_checkpoint: Path) -> None:
    """The disk is full at the second batch; the first stays, and with room again the run ends as it should."""
    assert generate("-n", "12", "--out", "whole", "--batch-size", "5")[0] == 0
    engine = load(tiny_checkpoint)
    request = engine.tuned.apply(Request(n=12), ())
    run = RunFolder(tmp_path / "run", RunInfo(request, engine.fingerprint, {}, ""), engine.read)
    (tmp_path / "run" / place).symlink_to("/dev/full")
    status, _, err = generate("-n", "12", "--out", "run", "--batch-size", "5")
    assert status == 2
    assert "no space left" in one_line(err)
    assert run.done == 5
    (tmp_path / "run" / place).unlink(missing_ok=True)  # pyarrow removes what it could not write
    assert generate("-n", "12", "--out", "run", "--batch-size", "5")[0] == 0
    tables = [pq.read_table(tmp_path / name / "structures.parquet") for name in ("run", "whole")]
    assert tables[0].equals(tables[1])
    extxyz = [(tmp_path / name / "structures.extxyz").read_bytes() for name in ("run", "whole")]
    assert extxyz[0] == extxyz[1]


@contextmanager
def nobody() -> Iterator[None]:
    """Root may write everywhere, so a test that is run as root becomes nobody for a moment."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        if not os.access(__file__, os.R_OK, effective_ids=True):
            pytest.skip("the checkout is in a folder that nobody may read")
        yield
    finally:
        os.seteuid(user)


def test_read_only_folder(generate: Callable[..., Any]) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        model = save_tiny(folder / "model")
        assert generate("-n", "1", "--out", str(folder / "first"), model=model)[0] == 0
        folder.chmod(0o555)
        with nobody():
            status, out, err = generate("-n", "1", "--out", str(folder / "second"), model=model)
        folder.chmod(0o755)
    assert (status, out) == (2, "")
    assert "second: permission denied" in one_line(err)


def test_ctrl_c_keeps_what_was_finished(
    tmp_path: Path, tiny_checkpoint: Path, offline_environment: dict[str, str], generate: Callable[..., Any]
) -> None:
    arguments = ["-n", "6400", "--seed", "2", "--batch-size", "16", "--out", "run"]
    command = [sys.executable, "-m", "materium", "generate", "--model", str(tiny_checkpoint), *arguments]
    with subprocess.Popen(
        command, cwd=tmp_path, env=offline_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        waiting = time.monotonic()
        while len(list((tmp_path / "run" / "parts").glob("*.parquet"))) < 2:
            assert process.poll() is None
            assert time.monotonic() - waiting < 200
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:  # Python drops an interrupt that falls into a library's callback: press again
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "what was finished stays" in one_line(err)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert not run["finished"]
    assert run["seconds"] > 0
    parts = sorted((tmp_path / "run" / "parts").glob("*.parquet"))
    kept = [tokens for part in parts for tokens in pq.read_table(part)["tokens"].to_pylist()]
    assert len(kept) == 16 * len(parts) >= 32
    status, _, err = generate("-n", "16", "--seed", "2", "--out", "run")
    assert status == 2
    assert "unfinished run with other settings" in one_line(err)
    assert generate("-n", "32", "--seed", "2", "--out", "whole")[0] == 0
    assert pq.read_table(tmp_path / "whole" / "structures.parquet")["tokens"].to_pylist() == kept[:32]


def test_generate_imports_no_pandas(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """It takes half a second, which is a tenth of a run of 64 crystals."""
    code = """
import sys
from materium.cli.main import main
status = main(sys.argv[1:])
sys.exit(status or "pandas" in sys.modules)
"""
    words = ["generate", "-n", "2", "--quiet", "--model", str(tiny_checkpoint), "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
