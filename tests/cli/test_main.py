"""A user's mistake is one line on standard error and exit status 2, 130 after Ctrl-C; a bug is a traceback."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from materium.cli import main as program
from materium.cli.help import PURPOSES
from materium.errors import MateriumError

if TYPE_CHECKING:
    from collections.abc import Callable

HEAVY = {"ase", "pymatgen", "scipy", "torch"}
DEV_FULL = Path("/dev/full")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Return a function that makes its argument the command `try`."""

    def install(target: object) -> None:
        monkeypatch.setattr(program, "_tried", target, raising=False)
        monkeypatch.setitem(program.COMMANDS, "try", ("materium.cli.main", "_tried"))

    return install


def one_line(text: str) -> str:
    """Return the text without the newline, and hold it to one line that names the program."""
    assert text.startswith("materium: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    return text.strip()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("materium ")


def test_without_arguments_it_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name}" in shown for name in program.COMMANDS)


@pytest.mark.parametrize("name", program.COMMANDS)
def test_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([name, "--help"]) == 0
    command = program.load_command(name)
    inner = getattr(command, "commands", {})
    for part in inner:
        assert program.main([name, part, "--help"]) == 0
    shown = capsys.readouterr().out
    for words in [f"materium {name} {part}" for part in inner] or [f"materium {name}"]:
        assert re.search(rf"^ +{words}\b", shown, re.MULTILINE), (
            f"the help of `{words}` needs an example that begins so"
        )


def test_the_help_names_every_command_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(name for part in PURPOSES.values() for name in part) == sorted(program.COMMANDS)
    program.main(["--help"])
    shown = capsys.readouterr().out.splitlines()
    for name, purpose in (pair for part in PURPOSES.values() for pair in part.items()):
        assert [line.split(maxsplit=1)[1] for line in shown if line.startswith(f"  {name} ")] == [purpose]


def test_options_stand_in_sections_conditions_before_sampling(capsys: pytest.CaptureFixture[str]) -> None:
    program.main(["generate", "--help"])
    shown = capsys.readouterr().out
    titles = [line[:-1] for line in shown.splitlines() if re.fullmatch(r"[A-Z][\w ]+:", line)]
    assert titles == ["Options", "Conditions", "Hard constraints", "Sampling", "Output", "Computing"]
    assert shown.index("--density") < shown.index("--temperature") < shown.index("--threads")


def test_help_of_no_command_brings_a_heavy_package() -> None:
    """All in one process: what one of them imports stays."""
    code = f"""
import sys
from materium.cli.main import COMMANDS, main
for name in COMMANDS:
    main([name, "--help"])
sys.exit(" ".join({HEAVY!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_a_shell_completes_commands_and_options() -> None:
    for words, expected in (("materium gen", "generate"), ("materium generate --den", "--density")):
        asked = {"_MATERIUM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = subprocess.run(
            [sys.executable, "-m", "materium"], env={**os.environ, **asked}, capture_output=True, text=True, check=False
        )
        assert done.stdout.split() == [expected]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["docter"], "did you mean doctor?"),
        (["weigh"], "there are generate, "),
        (["--verion"], "--version"),
        (["doctor", "--quite"], "did you mean --quiet?"),
        (["doctor", "--device"], "requires an argument"),
        (["doctor", "--device", "gpu"], "cuda:0"),
        (["doctor", "now"], "unexpected extra argument"),
        (["generate", "--seed", "one"], "'one'"),
        (["data"], "missing command"),
        (["data", "inof"], "info"),
    ],
)
def test_mistakes_in_the_command_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(arguments) == 2
    captured = capsys.readouterr()
    assert said in one_line(captured.err)
    assert captured.out == ""


def test_error_of_materium_is_one_line(command: Callable[[object], None], capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise MateriumError("n is 0; at least 1 is needed\n(give -n 1)")

    command(fail)
    assert program.main(["try"]) == 2
    assert one_line(capsys.readouterr().err) == "materium: n is 0; at least 1 is needed (give -n 1)"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT, errno.ENOTDIR])
def test_refusal_of_the_file_system_names_the_file(
    number: int, command: Callable[[object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), "runs/first")

    command(fail)
    assert program.main(["try"]) == 2
    assert one_line(capsys.readouterr().err).startswith("materium: runs/first: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(
    tmp_path: Path, command: Callable[[object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)

    command((folder / "run").mkdir)
    assert program.main(["try"]) == 2
    assert str(folder) in one_line(capsys.readouterr().err)


def test_bug_shows_its_traceback(command: Callable[[object], None]) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    command(fail)
    with pytest.raises(ZeroDivisionError):
        program.main(["try"])


def test_failure_that_no_user_can_mend_is_a_bug(command: Callable[[object], None]) -> None:
    def fail() -> None:
        raise OSError(errno.EBADF, "bad file descriptor")

    command(fail)
    with pytest.raises(OSError, match="bad file descriptor"):
        program.main(["try"])


def test_exit_status_of_a_command_is_kept(command: Callable[[object], None]) -> None:
    def fail() -> None:
        raise typer.Exit(1)

    command(fail)
    assert program.main(["try"]) == 1


def test_ctrl_c_in_the_same_process(
    command: Callable[[object], None], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The line goes to the descriptor, for a signal may come where a stream is locked; a process says it once."""
    monkeypatch.setattr("materium.cli.interrupts.Heard.said", False)

    def stop() -> None:
        raise KeyboardInterrupt

    command(stop)
    assert program.main(["try"]) == 130
    assert "stopped" in one_line(capfd.readouterr().err)


def test_ctrl_c_from_outside(tmp_path: Path, offline_environment: dict[str, str]) -> None:
    (tmp_path / "nap.py").write_text("import time\ndef nap():\n    print('napping', flush=True)\n    time.sleep(60)\n")
    code = (
        "import sys; from materium.cli import main as m; m.COMMANDS['nap'] = ('nap', 'nap'); sys.exit(m.main(['nap']))"
    )
    environment = {**offline_environment, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "napping\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped" in one_line(said)


@pytest.mark.skipif(not DEV_FULL.exists(), reason="no /dev/full on this system")
def test_no_space_left(offline_environment: dict[str, str]) -> None:
    with DEV_FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "materium", "--help"],
            env=offline_environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "no space left" in one_line(done.stderr)


def test_reader_that_goes_away_is_no_error(offline_environment: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "materium", "--help"],
        env=offline_environment,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
