"""Kills, doubles and damages runs at random, lets the same command go on, and compares with an undisturbed run.

Every trial is a fork of this process, so that hundreds take minutes: the command line is called in it as in a process
of its own. Counts are the last line, JSON. A trial is wrong where its files differ from those of the undisturbed run.

    nice python benchmarks/kills.py --kills 200 --doubled 20 --damages 300
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from crystals import KNOWN, NACL  # noqa: E402 - of the tests
from materium import convert  # noqa: E402
from materium.cli import interrupts  # noqa: E402
from materium.cli.main import main as materium  # noqa: E402
from materium.crystal import Crystal  # noqa: E402
from materium.evaluate.reference_build import Options, build  # noqa: E402
from materium.relax.adapters.lennard_jones import LennardJones  # noqa: E402
from tiny import make_shards, save_tiny, write_table  # noqa: E402

COMMANDS = {
    "generate": "generate -n 24 --seed 5 --unique --symmetrize 0.1 --batch-size 4 --model tiny --out",
    "predict": "predict few.parquet -n 8 --model tiny --out",
    "discover": "discover --model tiny --potential lennard-jones --reference small.parquet --seed 1 --keep 2"
    " --max-hull 10 --screen 20 --max-steps 20 --out",
    "evaluate": "evaluate in --skip novel,relax --out",
    "train": "train data/shards --preset tiny --epochs 3 --batch-tokens 256 --out",
    "prepare": "prepare data/train.parquet --views 2 --workers 1 --out",
    "score": "score in --model tiny --draws 4 --out",
    "complete": "complete host.cif --add Cl -n 8 --batch-size 2 --model tiny --out",
}
ONLY_TABLES = {"rows.parquet", "crystals.parquet", "candidates.parquet", "structures.parquet"}
LEFT_OUT = {"run.json", "evaluation.json", "settings.json", "metrics.json", "manifest.json", "state.safetensors",
            "log.csv", "predictions.jsonl", "made.jsonl", "relaxed.jsonl", "clock.jsonl", "report.html"}  # fmt: skip
"""They hold times, or are journals; `log.csv` is compared by its steps, the report follows from the tables."""
CHANCE = Random()  # noqa: S311 - moments and bytes, no secrets
SIGNALS = {"kill": [signal.SIGKILL], "term": [signal.SIGTERM], "int": [signal.SIGINT], "ints": [signal.SIGINT] * 4}


@dataclass
class Child:
    """A run of the command line in a fork."""

    pid: int
    log: Path
    begun: float

    def status(self) -> int | None:
        """Return the exit status if it has ended, else None."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return None if pid == 0 else os.waitstatus_to_exitcode(status)

    def wait(self, seconds: float = 60) -> int:
        """Return the exit status; what takes longer is killed."""
        end = time.monotonic() + seconds
        while (status := self.status()) is None:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.005)
        return status

    @property
    def said(self) -> str:
        """What came on standard error."""
        return self.log.read_text(errors="replace")


def start(name: str, out: Path) -> Child:
    """Run a command in a fork, its standard error in a file."""
    log = Path(tempfile.mkstemp(dir="logs")[1])
    begun = time.monotonic()
    pid = os.fork()
    if pid:
        return Child(pid, log, begun)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(log, os.O_WRONLY), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = ["materium", *COMMANDS[name].split(), str(out), "--quiet"]
    status = 99
    try:
        status = materium()
    except KeyboardInterrupt:
        interrupts.say()
        status = interrupts.status()
    except BaseException:  # noqa: BLE001 - a traceback is what is counted
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def read_content(folder: Path) -> dict[str, object]:
    """Return the rows of tables and the bytes of other files, but those that hold times."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or path.name in LEFT_OUT:
            continue
        found[name] = pq.read_table(path).to_pylist() if path.name in ONLY_TABLES else path.read_bytes()
    if (folder / "log.csv").exists():
        found["steps"] = [line.partition(",")[0] for line in (folder / "log.csv").read_text().splitlines()]
    return found


def apart(work: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - what the function gives
    """Call a function in a fork: after the first use of their threads, pyarrow and torch hang in later forks."""
    file = Path("answer")
    pid = os.fork()
    if pid == 0:
        try:
            file.write_bytes(pickle.dumps(work(*arguments)))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return pickle.loads(file.read_bytes())  # noqa: S301 - written above


def content(folder: Path) -> dict[str, object]:
    """Return what two runs must have in common; nothing of one that cannot be read."""
    Path("answer").write_bytes(pickle.dumps({}))
    found: dict[str, object] = apart(read_content, folder)
    return found


def prepare_folder() -> None:
    """Make what the commands read."""
    Path("logs").mkdir()
    Path("in").mkdir()
    save_tiny(Path("tiny"))
    make_shards(Path("data"))
    for name, crystal in KNOWN.items():
        for number in range(12):
            Path("in", f"{name}-{number}.cif").write_text(convert.to_cif(crystal))
    Path("host.cif").write_text(convert.to_cif(Crystal(NACL.lattice / 2, np.zeros((1, 3)), [11])))
    elements = [Crystal(2.8 * np.eye(3), np.zeros((1, 3)), [z], [0]) for z in (8, 11, 14, 17, 20)]
    write_table(Path("train.parquet"), [*elements, NACL])
    write_table(Path("few.parquet"), [c for c in KNOWN.values() if len(c) <= 8] + elements[:3])
    build([Path("train.parquet")], LennardJones(), "small", Options()).write("small.parquet")


def fail(counts: Counter[str], kind: str, name: str, child: Child) -> None:
    """Count a failure and show it."""
    counts[kind] += 1
    print(f"{kind}: {name}: {child.said[-600:]}", flush=True)


def one_line(said: str) -> bool:
    """Whether there is the one line, after warnings."""
    lines = [line for line in said.splitlines() if not line.startswith("warning: ")]
    return len(lines) == 1 and lines[0].startswith("materium: ")


def refused_whole(status: int, child: Child) -> bool:
    """Whether a command that never overwrites says that all is there; its files are compared all the same."""
    return status == 2 and one_line(child.said) and "is there already" in child.said


def kill(name: str, whole: dict[str, object], seconds: float, counts: Counter[str]) -> float:
    """Stop a run up to three times at random moments, finish it; return the longest time that a signal took."""
    out, slowest = Path("work"), 0.0
    shutil.rmtree(out, ignore_errors=True)
    for _ in range(CHANCE.randint(1, 3)):
        kind = CHANCE.choice(list(SIGNALS))
        child = start(name, out)
        time.sleep(CHANCE.uniform(0.02, seconds))
        if child.status() is not None:
            counts["ended before the signal"] += 1
            break
        sent = time.monotonic()
        for number in SIGNALS[kind]:
            os.kill(child.pid, number)
            time.sleep(0.002)
        status = child.wait()
        counts[f"stopped by {kind}"] += 1
        if kind != "kill":
            slowest = max(slowest, time.monotonic() - sent)
            expected = {"term": 143, "int": 130, "ints": 130}[kind]
            if refused_whole(status, child):
                counts["finished before, and refused"] += 1
            elif status not in {expected, 0}:
                fail(counts, f"status {status} of {kind}", name, child)
            elif status == expected and not one_line(child.said):
                fail(counts, "more than a line", name, child)
    child = start(name, out)
    status = child.wait()
    if status != 0 and not refused_whole(status, child):
        fail(counts, "did not go on", name, child)
    elif content(out) != whole:
        fail(counts, "wrong", name, child)
    return slowest


def double(name: str, whole: dict[str, object], counts: Counter[str]) -> None:
    """Two processes at once."""
    out = Path("work")
    shutil.rmtree(out, ignore_errors=True)
    children = [start(name, out), start(name, out)]
    time.sleep(CHANCE.uniform(0, 0.05))
    for child in children:
        status = child.wait()
        refused = status == 2 and one_line(child.said) and "in use by process" in child.said
        counts["refused" if refused else f"status {status}"] += 1
        if not refused and status != 0:
            fail(counts, "corrupt", name, child)
    if content(out) != whole:
        fail(counts, "wrong", name, children[0])


def damage(name: str, state: Path, whole: dict[str, object], counts: Counter[str]) -> None:
    """Flip a bit of a file, cut it, or lose it, and run the same command."""
    out = Path("work")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(state, out)
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name not in {".lock", "report.html"})
    if not files:  # a command that writes its folder whole at the end had none yet
        counts["nothing to damage"] += 1
        return
    groups: dict[str, list[Path]] = {}
    for path in files:
        groups.setdefault(path.parent.name + path.suffix, []).append(path)
    path = CHANCE.choice(groups[CHANCE.choice(sorted(groups))])
    data, kind = bytearray(path.read_bytes()), CHANCE.choice(["flip", "flip", "cut", "lose"])
    if kind == "lose" or not data:
        path.unlink()
    elif kind == "cut":
        path.write_bytes(data[: CHANCE.randrange(len(data))])
    else:
        data[CHANCE.randrange(len(data))] ^= 1 << CHANCE.randrange(8)
        path.write_bytes(data)
    child = start(name, out)
    status, what = child.wait(), f"{name}: {kind} of {path.relative_to(out)} in {state}"
    if status == 0 and content(out) == whole:
        counts["made anew, or of no account"] += 1
    elif status == 2 and one_line(child.said):
        counts["named"] += 1
    else:
        fail(counts, "silent" if status == 0 else f"traceback or status {status}", what, child)


def main() -> None:
    """Run the trials of each command in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--doubled", type=int, default=12)
    parser.add_argument("--damages", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=900, help="after which each command has no further trial")
    parser.add_argument("--only", nargs="*", default=list(COMMANDS))
    options = parser.parse_args()
    CHANCE.seed(options.seed)
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(tempfile.mkdtemp(prefix="kills-"))
    apart(prepare_folder)
    result: dict[str, object] = {}
    for name in options.only:
        child = start(name, Path(f"whole-{name}"))
        if child.wait() != 0:
            raise SystemExit(f"{name}: {child.said}")
        seconds, whole = time.monotonic() - child.begun, content(Path(f"whole-{name}"))
        stopped = Path(f"stopped-{name}")
        child = start(name, stopped)
        time.sleep(0.6 * seconds)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        kills, doubles, damages, slowest = Counter[str](), Counter[str](), Counter[str](), 0.0
        share, end = len(options.only), time.monotonic() + options.seconds
        states = [
            state
            for state in (stopped, Path(f"whole-{name}"))
            if any(path.is_file() and path.name != ".lock" for path in state.rglob("*"))
        ]
        todo = ["kill"] * (options.kills // share) + ["double"] * (options.doubled // share)
        todo += ["damage"] * (options.damages // share)
        CHANCE.shuffle(todo)
        for number, what in enumerate(todo):
            if time.monotonic() > end:
                break
            if what == "kill":
                kills["trials"] += 1
                slowest = max(slowest, kill(name, whole, seconds, kills))
            elif what == "double":
                doubles["trials"] += 1
                double(name, whole, doubles)
            else:
                damages["trials"] += 1
                damage(name, states[number % len(states)], whole, damages)
        result[name] = {"seconds": round(seconds, 2), "kills": kills, "slowest_signal_s": round(slowest, 2),
                        "doubled": doubles, "damages": damages}  # fmt: skip
        print(name, json.dumps(result[name]), flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
