"""The server: how soon it can be used, how soon the first crystal is there, and how it bears 50 clients.

    python benchmarks/serve.py [--clients 50] [--seconds 30]

Starts `materium serve` at a free port of this machine. Clients ask for what the page asks for, without a pause: the
catalogue, small jobs that they follow by events, cancel or download, lists and pages of jobs. Any answer but the one
that was due is an error, the server's own 429 (a full queue, too many streams) apart. Memory is that of the server and
its worker, from /proc. The last line is JSON.
"""

import argparse
import http.client
import json
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TRIES = 5
SETTLED_SECONDS = 10
"""Of the load, after which the memory should stay."""


class Client:
    """Asks one server; each request has a connection of its own, as the browser's streams have."""

    def __init__(self, address: str) -> None:
        self.host = urlsplit(address).netloc

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """Return status and content."""
        connection = http.client.HTTPConnection(self.host, timeout=120)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def first_crystal(self, body: dict[str, Any]) -> float:
        """Return the seconds from the request to the first crystal."""
        connection = http.client.HTTPConnection(self.host, timeout=120)
        begun = time.perf_counter()
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        connection.request("POST", "/generate", json.dumps(body), headers)
        answer = connection.getresponse()
        while not answer.readline().startswith(b"event: crystal"):
            pass
        seconds = time.perf_counter() - begun
        answer.read()
        connection.close()
        return seconds


class Load:
    """What many clients do at once, and what they got."""

    def __init__(self, client: Client, end: float) -> None:
        self.client, self.end = client, end
        self.answers: Counter[str] = Counter()
        self.cancels: list[float] = []
        self.latencies: list[float] = []
        self.lock = threading.Lock()

    def work(self, seed: int) -> None:
        """Be one client until the end."""
        chance = random.Random(seed)  # noqa: S311 - no secret
        while time.monotonic() < self.end:
            try:
                chance.choice([self.look, self.job, self.job, self.cancelled])(chance)
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                self.count(f"failed: {type(error).__name__}")

    def count(self, what: str) -> None:
        """Note an answer."""
        with self.lock:
            self.answers[what] += 1

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, due: int = 200) -> bytes | None:
        """Return the content of the answer that was due; None of a 429."""
        begun = time.perf_counter()
        status, content = self.client.ask(method, path, body)
        with self.lock:
            self.latencies.append(time.perf_counter() - begun)
        self.count(str(status) if status in (due, 429) else f"failed: {status}")
        return content if status == due else None

    def look(self, _: random.Random) -> None:
        """See what a page sees when it is opened."""
        for path in ("/", "/conditions", "/presets", "/jobs", "/healthz"):
            self.ask("GET", path)

    def begin(self, chance: random.Random) -> str | None:
        """Ask for some crystals, and return the job's id."""
        body = {"n": chance.randint(1, 4), "seed": chance.randrange(2**32)}
        content = self.ask("POST", "/generate", body, 202)
        return None if content is None else str(json.loads(content)["job"]["id"])

    def job(self, chance: random.Random) -> None:
        """Follow a job to its end, and take its crystals."""
        if (job := self.begin(chance)) is None:
            return
        events = self.ask("GET", f"/jobs/{job}/events")
        if events is not None and (b"event: end" not in events or b'"state":"failed"' in events):
            self.count("failed: a job")
        self.ask("GET", f"/jobs/{job}")
        if events is not None and b"event: crystal" in events:
            self.ask("GET", f"/jobs/{job}/download?format=zip")

    def cancelled(self, chance: random.Random) -> None:
        """Begin a job, and cancel it."""
        if (job := self.begin(chance)) is None:
            return
        begun = time.perf_counter()
        self.ask("POST", f"/jobs/{job}/cancel")
        with self.lock:
            self.cancels.append(time.perf_counter() - begun)


def memory(process: int) -> float:
    """Return what a process and its children hold, MB."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    own = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return (int(own[1]) / 1024 if own else 0) + sum(memory(int(child)) for child in children)


def loaded(client: Client, process: int, clients: int, seconds: float) -> dict[str, Any]:
    """Return what many clients got."""
    load = Load(client, time.monotonic() + seconds)
    threads = [threading.Thread(target=load.work, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(min(SETTLED_SECONDS, seconds / 2))
    settled = memory(process)
    for thread in threads:
        thread.join()
    errors = {name: count for name, count in load.answers.items() if name.startswith("failed")}
    return {
        "answers": dict(sorted(load.answers.items())),
        "errors": errors,
        "answers_per_second": round(sum(load.answers.values()) / seconds, 1),
        "latency_median_s": round(statistics.median(load.latencies), 3),
        "cancels": len(load.cancels),
        "longest_cancel_s": round(max(load.cancels, default=0.0), 3),
        "memory_settled_mb": round(settled),
        "memory_end_mb": round(memory(process)),
    }


def cancel_alone(client: Client) -> float:
    """Return the seconds in which a large job is cancelled while it runs."""
    job = json.loads(client.ask("POST", "/generate", {"n": 1000})[1])["job"]["id"]
    while not json.loads(client.ask("GET", f"/jobs/{job}?limit=0")[1])["job"]["rows"]:
        time.sleep(0.05)
    begun = time.perf_counter()
    client.ask("POST", f"/jobs/{job}/cancel")
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    begun = time.perf_counter()
    program = [sys.executable, "-m", "materium", "serve", "--port", "0"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - of this checkout
        try:
            line = server.stdout.readline() if server.stdout else ""
            client = Client(re.findall(r"http://\S+", line)[0])
            client.ask("GET", "/")
            page = time.perf_counter() - begun
            client.ask("GET", "/conditions")
            result: dict[str, Any] = {"page_s": round(page, 2), "form_s": round(time.perf_counter() - begun, 2)}
            firsts = [client.first_crystal({"n": 16, "seed": seed}) for seed in range(TRIES)]
            result["first_crystal_s"] = [round(seconds, 2) for seconds in sorted(firsts)]
            result["cancel_alone_s"] = round(cancel_alone(client), 3)
            result |= loaded(client, server.pid, options.clients, options.seconds)
        finally:
            server.send_signal(signal.SIGINT)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
