"""Who may ask, and what of the machine can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from materium.serve.app import create_app
from materium.serve.limits import Limits
from materium.serve.security import Access
from serving import ADDRESS, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

TOKEN = "open-sesame-open-sesame"  # noqa: S105 - of a test


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(
        load_model=False, access=Access(TOKEN, frozenset({"lab.example"})), limits=Limits(body_bytes=1000)
    )


@pytest.fixture
def guarded(app: FastAPI) -> Iterator[TestClient]:
    """A server that needs a token, without a model: nothing here gets so far."""
    with TestClient(app, base_url=ADDRESS, follow_redirects=False) as client:
        yield client


@pytest.fixture
def local() -> Iterator[TestClient]:
    with TestClient(create_app(load_model=False), base_url=ADDRESS) as client:
        yield client


def api_routes(app: FastAPI) -> list[tuple[str, str]]:
    return [(method, path) for path, methods in app.openapi()["paths"].items() for method in methods]


def test_every_route_of_the_api_needs_the_token(app: FastAPI, guarded: TestClient) -> None:
    routes = [*api_routes(app), ("get", "/openapi.json"), ("get", "/docs"), ("get", "/nothing")]
    assert len(routes) > 15
    for method, path in routes:
        refused(guarded.request(method, path, json={} if method == "post" else None), 401, "unauthorized")


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"])
def test_a_wrong_token_is_none(guarded: TestClient, given: str) -> None:
    headers = {"authorization": given.encode("latin-1")}
    error = refused(guarded.get("/jobs", headers=headers), 401, "unauthorized")  # type: ignore[arg-type]
    assert TOKEN not in error["message"]
    assert "jobs" not in error


def test_the_token_opens(guarded: TestClient) -> None:
    assert guarded.get("/jobs", headers={"authorization": f"Bearer {TOKEN}"}).json() == {"jobs": []}


def test_the_address_with_the_token_leaves_a_cookie_and_no_trace(guarded: TestClient) -> None:
    answer = guarded.get(f"/?token={TOKEN}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert guarded.get("/jobs").status_code == 200
    refused(guarded.get("/?token=wrong"), 401, "unauthorized")


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr("secrets.compare_digest", lambda a, b: bool(compared.append((a, b))))
    Access(TOKEN).accepts("x")
    assert compared == [(b"x", TOKEN.encode())]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "192.0.2.7", "[2001:db8::1]:80", "a:b:c"]
)
def test_another_name_is_refused(local: TestClient, host: str) -> None:
    """A name that was made to point here, DNS rebinding, is no name of ours."""
    error = refused(local.get("/healthz", headers={"host": host}), 403, "host")
    assert error["message"].startswith("this server is not called so")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "[::1]"])
def test_names_of_this_machine(local: TestClient, host: str) -> None:
    assert local.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(("host", "status"), [("192.0.2.7:8000", 200), ("lab.example", 200), ("evil.example", 403)])
def test_with_a_token_addresses_and_named_hosts_are_taken(guarded: TestClient, host: str, status: int) -> None:
    headers = {"host": host, "authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/healthz", headers=headers).status_code == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9", "http://localhost"])
def test_other_sites_are_refused(local: TestClient, origin: str) -> None:
    answer = local.post("/jobs/x/cancel", headers={"origin": origin})
    refused(answer, 403, "origin")
    assert "access-control-allow-origin" not in answer.headers


def test_the_page_itself_may_ask(local: TestClient) -> None:
    assert local.get("/healthz", headers={"origin": ADDRESS}).status_code == 200
    refused(local.get("/healthz", headers={"sec-fetch-site": "cross-site"}), 403, "origin")


def test_no_preflight_is_answered(local: TestClient) -> None:
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = local.options("/generate", headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_every_answer_has_the_policy(local: TestClient) -> None:
    for path in ("/", "/healthz", "/nothing", "/docs"):
        headers = local.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_form_of_another_kind_is_no_request(local: TestClient) -> None:
    """What a page of another site could send without asking first is not read."""
    answer = local.post("/generate", content='{"n": 1}', headers={"content-type": "text/plain"})
    assert answer.status_code == 422
    assert local.get("/jobs").json() == {"jobs": []}


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2f..%2fpretrained/config.json", "/static//etc/passwd",
        "/static/%2fetc%2fpasswd", "/static/css/../../app.py", "/static/", "/static/css", "/static/..\\app.py",
        "/static/%00", "/static/presets.toml",
    ],
)  # fmt: skip
def test_no_path_leaves_the_folder_of_the_page(local: TestClient, path: str) -> None:
    answer = local.get(path)
    assert answer.status_code == 404
    refused(answer, 404, "not_found")


def test_files_of_the_page(local: TestClient) -> None:
    answer = local.get("/static/index.html")
    assert answer.text == local.get("/").text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script>" not in answer.text
