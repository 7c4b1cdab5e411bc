"""Ask a real `materium serve` at this machine for what nobody should, and count what it answers.

    python benchmarks/attack_http.py [--long]

Some 1000 requests: bodies that are wrong in every way, raw bytes, streams and clients at once, connections that are
silent, uploads that are bombs, 200 jobs, a reader that never reads, a disk without room, a killed worker, and a killed
server. Each step has a limit of time, so that it ends whatever the server does. The last line is JSON: answers by
status, answers of 500 and more by step, tracebacks in the server's log, hangs, steps that took too long, and memory in
MB. With `--long` it waits for the limits of time (a minute).
"""

import argparse
import gzip
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

PATIENCE = 60.0
STEP = 180
"""Seconds that one step may take."""
BOMB = 30.0
"""Seconds in which a job with a bomb must be over."""
FILE = {"files": [{"name": "a.cif", "text": "data_a\n"}]}
DIGITS = "9" * 20
BODIES: list[Any] = [
    [], None, "x", 5, {"n": 0}, {"n": None}, {"n": 10**30}, {"seed": -1}, {"top_p": 2}, {"order": "x"}, {"z": "\u0662"},
    {"elements": ["<img onerror=alert(1)>"]}, {"cell_formula": "Na1e400"}, {"conditions": []}, {"\ud800": 1},
    {str(k): 0 for k in range(150_000)}, {"conditions": {str(k): 0 for k in range(150_000)}},
    *({"conditions": {"density": value}} for value in ("-1e308..1e308", 1e300, "\u0663", "", "x" * 121, [{}])),
    *({"conditions": {"reduced_formula": value}} for value in ("Xx", "(" * 99, f"Na{DIGITS}", "H\u0662O", "</script>")),
    *({"conditions": {"space_group": value}} for value in (0, 231, 1e300, "P", "\u202eP1")),
    {"soft": True, "conditions": {"reduced_formula": f"Na{DIGITS}Cl"}}, {"require": ["Na"], "forbid": ["Na"]},
    {"source": FILE, "add": f"O{DIGITS}"}, {"source": {"job": "x"}}, {"source": {"files": []}}, {"source": 5},
    *({"source": {"files": [{"name": name, "text": "x"}]}} for name in ("a.gz", "../a.cif", "<b>.cif", "\u202ea.cif")),
]  # fmt: skip
RAW = [b"", b"{", b"[" * 1_900_000, b'{"a":' * 300_000, b"9" * 5000, b"\xff\xfe", b'"\\ud800"', b'{"n":1e999}', b"NaN"]
HEADS = [
    "Origin: http://[", "Origin: null", "Host: evil", "Content-Length: 99999999999999999999", "Content-Length: -1",
    "Content-Length: 5", "Transfer-Encoding: chunked\r\nContent-Length: 3", "Upgrade: websocket\r\nConnection: upgrade",
    "Authorization: Bearer \xff", "Cookie: materium_token=\xff;;=", "Last-Event-ID: 99999999999999999999",
    "Range: bytes=0-,1-,2-", "Expect: 100-continue", "X: " + "a" * 70_000,
]  # fmt: skip
PATHS = ["/", "//[", "/static/%00", "/static/..%2f..%2fapp.py", "/jobs/%ff", "/jobs/x/events", "/jobs?x=" + "a" * 9000]


def poscar(cell: str, sites: int = 200, scale: str = "1", counts: str = "") -> str:
    """Return a POSCAR with some atoms, or counts that are something else."""
    places = "".join(f"{i * 0.0049 % 1:.4f} {i * 0.37 % 1:.4f} {i * 0.71 % 1:.4f}\n" for i in range(sites))
    return f"x\n{scale}\n{cell}\nO\n{counts or sites}\nDirect\n{places}"


def cif(lengths: tuple[float, float, float], angles: tuple[float, float, float], sites: int = 200) -> str:
    """Return a CIF with some atoms."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = "".join(f"_cell_{name} {value}\n" for name, value in zip(names, (*lengths, *angles), strict=True))
    places = "".join(f"Na{i} {i * 0.0049 % 1:.4f} {i * 0.37 % 1:.4f} {i * 0.71 % 1:.4f}\n" for i in range(sites))
    site = "".join(f"_atom_site_{name}\n" for name in ("label", "fract_x", "fract_y", "fract_z"))
    return f"data_a\n{cell}loop_\n{site}{places}"


def bombs() -> dict[str, tuple[str, str]]:
    """Return names and texts of small files that could cost much."""
    cube, packed = "9 0 0\n0 9 0\n0 0 9", gzip.compress(b"0" * 100_000_000)
    frame = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3'
    headers = {
        **{f"count of {n} digits": poscar(cube, counts="9" * n) for n in (12, 400, 5000)},
        "300,000 counts of 0": poscar(cube, counts="0 " * 300_000),
        "300,000 symbols": poscar(cube).replace("\nO\n", "\n" + "O " * 300_000 + "\n"),
        **{f"scale {scale}": poscar(cube, scale=scale) for scale in ("1e308", "1e-300", "-1e300", "0", "nan")},
        "title of 1 MB": "x" * 1_000_000 + poscar(cube),
        "90,000 lines": poscar(cube, sites=60_000, counts="1"),
        "needle": poscar("0.01 0 0\n0 900 0\n0 0 900"),
        "skewed": poscar("3 0 0\n3000 3 0\n0 3000 3", sites=20),
        "very skewed": poscar("3 0 0\n90000 3 0\n0 90000 3", sites=200),
        "all on one place": poscar(cube).replace("0.", "0.0 "),
        "sparse": poscar("90000 0 0\n0 90000 0\n0 0 90000", sites=2),
        "dense": poscar("0.5 0 0\n0 0.5 0\n0 0 0.5"),
    }
    cells = {
        "flat": cif((9, 9, 9), (1, 1, 1)),
        "nearly flat": cif((9, 9, 9), (60, 60, 119.999)),
        "thin": cif((0.1, 900, 900), (90, 90, 90)),
        "99,999 blocks": "data_x\n" * 99_999,
        "quotes": "data_a\nloop_\n_atom_site_label\n" + "'" * 400_000,
        "gzip": packed.decode("latin-1"),
    }
    return {
        **{f"POSCAR, {name}": ("POSCAR", text) for name, text in headers.items()},
        **{f"CIF, {name}": ("a.cif", text) for name, text in cells.items()},
        "POSCAR, gzip": ("POSCAR", packed.decode("latin-1")),
        "extxyz, gzip": ("a.extxyz", packed.decode("latin-1")),
        "extxyz, 20,000 frames": ("a.extxyz", f"1\n{frame}\nO 0 0 0\n" * 20_000),
        "extxyz, columns": ("a.extxyz", f"1\n{frame}:x:R:1000000000\nO 0 0 0\n"),
    }


class Attack:
    """A server, and what came of it."""

    def __init__(self, log: Path) -> None:
        self.statuses: Counter[str] = Counter()
        self.notes: dict[str, Any] = {}
        self.log = log
        self.kind = ""
        self.kinds: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def step(self, kind: str, call: Callable[[], None]) -> None:
        """Do one step; one that takes too long, or fails, is noted, and the next one begins."""
        sys.stderr.write(f"{kind}\n")
        self.kind, before = kind, self.statuses["hang"]
        signal.alarm(STEP)
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it was, the counts are printed
            self.notes.setdefault("steps_not_ended", {})[kind] = f"{type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
        self.notes.setdefault("hangs", 0)
        self.notes["hangs"] += self.statuses["hang"] - before
        if self.process.poll() is None:
            self.notes.setdefault("memory_mb", {})[kind] = self.memory()

    def answered(self, status: str) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        self.kinds[self.kind] += 1
        self.errors[self.kind] += status.startswith("5")

    def start(self) -> None:
        """Start the server, and wait until it is ready."""
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "materium", "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=self.log.open("a", encoding="utf-8"),
            text=True,
        )
        line = self.process.stdout.readline() if self.process.stdout else ""
        self.port = int(re.findall(r":(\d+)/", line)[0])
        end = time.monotonic() + 2 * PATIENCE
        while json.loads(self.ask("GET", "/healthz")[1] or "{}").get("worker") != "ready":
            if time.monotonic() > end:
                raise TimeoutError("the server did not get ready")
            time.sleep(0.5)

    def connect(self, sent: bytes = b"") -> socket.socket:
        """Open a connection, and send something."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        connection.sendall(sent)
        return connection

    def head(self, line: str, *lines: str) -> bytes:
        """Return the header of a request."""
        host = [] if any(one.startswith("Host") for one in lines) else [f"Host: 127.0.0.1:{self.port}"]
        return "\r\n".join([f"{line} HTTP/1.1", *host, *lines, "", ""]).encode("latin-1")

    def ask(self, method: str, path: str, body: bytes | None = None, *lines: str) -> tuple[str, str]:
        """Return status and body of an answer; a connection that brings none within a minute counts as a hang."""
        length = [] if body is None else [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        connection = self.connect()
        found = b""
        try:
            connection.sendall(self.head(f"{method} {path}", *length, "Connection: close", *lines) + (body or b""))
            while more := connection.recv(65536):
                found += more
        except TimeoutError:
            self.answered("hang")
            return "hang", ""
        except OSError:
            pass
        finally:
            connection.close()
        head, _, rest = found.decode("utf-8", "replace").partition("\r\n\r\n")
        status = head.split(" ")[1] if " " in head else "closed"
        self.answered(status)
        return status, rest

    def post(self, path: str, body: object, *lines: str) -> tuple[str, str]:
        """Send JSON."""
        return self.ask("POST", path, json.dumps(body).encode(), *lines)

    def job(self, path: str, body: object) -> str:
        """Begin a job, and return its id; empty where it is refused."""
        status, text = self.post(path, body)
        return str(json.loads(text)["job"]["id"]) if status == "202" else ""

    def state(self, job: str) -> str:
        """Return the state of a job."""
        return str(json.loads(self.ask("GET", f"/jobs/{job}?limit=0")[1])["job"]["state"])

    def until(self, job: str, *states: str) -> str:
        """Wait until a job is in one of these states."""
        end = time.monotonic() + 2 * PATIENCE
        while (state := self.state(job)) not in states and time.monotonic() < end:
            time.sleep(0.1)
        return state

    def memory(self) -> int:
        """Return the memory of the server and its processes in MB."""
        whole = psutil.Process(self.process.pid)
        return int(sum(one.memory_info().rss for one in [whole, *whole.children(recursive=True)]) / 1e6)

    def requests(self) -> None:
        """Wrong bodies, wrong bytes, wrong headers, wrong paths."""
        for body in BODIES:
            for path in ("/generate", "/score", "/evaluate", "/complete"):
                self.cancel(self.post(path, body))
        for raw in RAW:
            for path in ("/generate", "/score"):
                self.cancel(self.ask("POST", path, raw))
        for line in HEADS:
            self.ask("GET", "/healthz", None, line)
        for path in PATHS:
            for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE"):
                self.ask(method, path)

    def cancel(self, answer: tuple[str, str]) -> None:
        """Cancel what was taken."""
        if answer[0] == "202":
            self.ask("POST", f"/jobs/{json.loads(answer[1])['job']['id']}/cancel")

    def crowds(self) -> None:
        """200 jobs and 50 clients at once; 110 streams of one job; a stream that is asked for when there is no room."""
        with ThreadPoolExecutor(50) as pool:
            jobs = list(pool.map(lambda _: self.post("/generate", {"n": 1}), range(200)))
            slow = list(pool.map(lambda _: timed(lambda: self.ask("GET", "/jobs")), range(100)))
        self.notes["jobs"] = dict(Counter(status for status, _ in jobs))
        self.notes["slowest_of_100_lists_s"] = round(max(slow), 2)
        for answer in jobs:
            self.cancel(answer)
        job = self.job("/generate", {"n": 1000})
        streams = [self.connect(self.head(f"GET /jobs/{job}/events")) for _ in range(110)]
        codes = Counter(one.recv(12)[9:12].decode() for one in streams)
        before = self.ask("GET", "/jobs")[1].count('"created"')
        full = self.post("/generate", {"n": 1}, "Accept: text/event-stream")[0]
        after = self.ask("GET", "/jobs")[1].count('"created"')
        self.notes["streams"] = {**codes, "then": full, "queued": after - before}
        for one in streams:
            one.close()
        self.ask("POST", f"/jobs/{job}/cancel")

    def bombs(self) -> None:
        """Files that could cost much: a job with each must be over soon, by itself."""
        ends: Counter[str] = Counter()
        for name, (file, text) in bombs().items():
            for path in ("/score", "/evaluate"):
                status, answer = self.post(path, {"source": {"files": [{"name": file, "text": text}]}})
                if status != "202":
                    ends[status] += 1
                    continue
                job, begun = json.loads(answer)["job"]["id"], time.monotonic()
                while (state := self.state(job)) in ("queued", "running") and time.monotonic() < begun + BOMB:
                    time.sleep(0.05)
                ends[state] += 1
                error = json.loads(self.ask("GET", f"/jobs/{job}?limit=0")[1])["job"]["error"] or {}
                if state in ("queued", "running") or error.get("code") in ("internal", "worker_died", "timeout"):
                    self.notes.setdefault("bombs_that_went_off", []).append([name, path, state, error.get("code")])
                    self.ask("POST", f"/jobs/{job}/cancel")
        self.notes["bombs"] = dict(ends)

    def deaf(self) -> None:
        """20 readers that ask for much and never read; others are answered meanwhile."""
        job = self.job("/generate", {"n": 1000})
        deaf = [self.connect(self.head(f"GET /jobs/{job}/events") * 20) for _ in range(20)]
        deaf += [self.connect(self.head(f"GET /jobs/{job}?limit=1000") * 200) for _ in range(20)]
        time.sleep(10)
        self.notes["seconds_beside_readers_that_never_read"] = round(timed(lambda: self.ask("GET", "/jobs")), 2)
        self.ask("POST", f"/jobs/{job}/cancel")
        for one in deaf:
            one.close()

    def no_room(self) -> None:
        """A server that may write no file at all: one line and status 2."""
        done = subprocess.run(
            [sys.executable, "-m", "materium", "serve", "--port", "0"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        )
        self.notes["no_room"] = [done.returncode, done.stderr]

    def kills(self) -> None:
        """A worker that is killed, a stream at SIGTERM, a server that is killed in the middle of a job."""
        job = self.job("/generate", {"n": 1000})
        self.until(job, "running")
        workers = [
            one for one in psutil.Process(self.process.pid).children() if "spawn_main" in " ".join(one.cmdline())
        ]
        workers[0].kill()
        self.notes["worker_killed"] = self.until(job, "failed", "done")
        self.notes["next_job"] = self.until(self.job("/generate", {"n": 1}), "done", "failed")
        self.notes["memory_after_mb"] = self.memory()
        job = self.job("/generate", {"n": 1000})
        stream = self.connect(self.head(f"GET /jobs/{job}/events"))
        stream.recv(4096)
        self.process.terminate()
        self.notes["end_event_at_sigterm"] = b"event: end" in b"".join(iter(lambda: stream.recv(65536), b""))
        self.notes["seconds_to_end"] = round(timed(lambda: self.process.wait(PATIENCE)), 2)
        self.start()
        self.until(self.job("/generate", {"n": 1000}), "running")
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.notes["left_after_kill"] = len(psutil.wait_procs(children, timeout=10)[1])

    def silent(self, waiting: list[tuple[str, socket.socket]]) -> None:
        """How long the server keeps connections that bring nothing, in seconds."""
        for name, connection in waiting:
            connection.settimeout(PATIENCE)
            self.notes[name] = round(timed(lambda one=connection: list(iter(lambda: one.recv(4096), b""))))

    def slow(self) -> Iterator[tuple[str, socket.socket]]:
        """Open what must be closed after some time."""
        yield "silent", self.connect()
        yield "half a header", self.connect(b"GET / HT")
        yield "no body", self.connect(self.head("POST /generate", "Content-Length: 9"))
        yield (
            "a stream with a body that does not come",
            self.connect(self.head("GET /jobs/x/events", "Content-Length: 9")),
        )


def _too_long(*_: object) -> None:
    raise TimeoutError(f"a step took more than {STEP} s")


def timed(call: Any) -> float:  # noqa: ANN401 - of anything
    """Return how long a call takes in seconds."""
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def main() -> None:
    """Attack, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGALRM, _too_long)
    with tempfile.TemporaryDirectory() as folder:
        attack = Attack(Path(folder) / "log")
        try:
            attack.start()
            attack.notes["memory_before_mb"] = attack.memory()
            waiting = list(attack.slow())
            attack.step("requests", attack.requests)
            attack.step("bombs", attack.bombs)
            attack.step("crowds", attack.crowds)
            attack.step("readers that never read", attack.deaf)
            if arguments.long:
                attack.step("silent connections", lambda: attack.silent(waiting))
            attack.step("no room", attack.no_room)
            attack.step("kills", attack.kills)
        finally:
            attack.process.kill()
        log = attack.log.read_text(encoding="utf-8")
    attack.notes["tracebacks"] = log.count("Traceback")
    attack.notes["requests"] = dict(attack.kinds)
    attack.notes["answers_of_500_and_more"] = {kind: count for kind, count in attack.errors.items() if count}
    sys.stderr.write(log[-4000:])
    sys.stdout.write(json.dumps({"statuses": dict(attack.statuses), **attack.notes}) + "\n")


if __name__ == "__main__":
    main()
