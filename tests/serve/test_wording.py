"""Refusals name the field in the words of the page's form, and say what is needed, in one short line."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

import materium.serve
from materium.serve.app import create_app
from materium.serve.schema import MAX_UNKNOWN
from materium.serve.wording import TITLES, form_labels, label, worded
from serving import ADDRESS, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

STATIC = Path(materium.serve.__file__).parent / "static"
FILE = {"files": [{"name": "a.cif", "text": "x"}]}
JSON = {"content-type": "application/json"}
DIGITS = "9" * 20


@pytest.fixture(scope="module")
def server() -> Iterator[TestClient]:
    """Return a server without a model: nothing here gets so far."""
    with TestClient(create_app(load_model=False), base_url=ADDRESS) as client:
        yield client


BOUNDS = "is out of all bounds; give one from"
RANGE = "is no range; write it like 1..2, >5 or <3"
NUMBER = "is no number; write it like 3.5, or a range like 1..2"
SEVERAL = "a value, a range such as 1..2, or a list of these is needed"
MANY = "counts too many atoms; at most 10000 of an element are taken"
WHOLE = "is no whole number or range; write it like 2 or 1..4"


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"n": 0}, "n", "How many: at least 1 is needed, not 0"),
        ({"n": "x"}, "n", "How many: a whole number is needed, not 'x'"),
        ({"top_p": 2}, "top_p", "Top p: at most 1 is taken, not 2"),
        ({"densty": 3}, "densty", "densty: there is no such field; /docs lists them"),
        ({"ordr": "high"}, "ordr", "ordr: there is no such field; did you mean order?"),
        ({"cell_formula": "Na1e400"}, "cell_formula", f"Exact content of the cell: 'Na1e400' {MANY}"),
        ({"z": "\u0662", "cell_formula": "NaCl"}, "z", f"Formula units: \u0662 {WHOLE}"),
        ({"z": 2}, "z", "z counts formula units; give a formula too"),
    ],
)
def test_one_line_in_the_words_of_the_form(server: TestClient, body: dict[str, Any], field: str, message: str) -> None:
    error = refused(server.post("/generate", json=body), 422, "bad_request")
    assert (error["field"], error["message"]) == (field, message)
    assert error["details"] == [{"field": field, "message": message}]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("densty", 3, "densty: there is no such field; did you mean density?"),
        ("density", True, f"Density: {SEVERAL}, not true"),
        ("density", ["1..2", "x"], f"Density: 'x' {NUMBER}"),
        ("density", "-1e308..1e308", f"Density: -1e+308 g/cm³ {BOUNDS} -1e+09 to 1e+09"),
        ("density", 1e300, f"Density: 1e+300 g/cm³ {BOUNDS} -1e+09 to 1e+09"),
        ("band_gap", "1..1e300", f"Band gap: 1e+300 eV {BOUNDS} 0 to 1e+30"),
        ("density", "\u0663", f"Density: '\u0663' {NUMBER}"),
        ("density", "1..\u0663", f"Density: '1..\u0663' {RANGE}"),
        ("reduced_formula", "Xx2O3", "Formula: 'Xx2O3' is no formula; write it like LiFePO4"),
        ("reduced_formula", f"Na{DIGITS}Cl", f"Formula: 'Na{DIGITS}Cl' {MANY}"),
        ("reduced_formula", "((((H9)9)9)9)9", f"Formula: '((((H9)9)9)9)9' {MANY}"),
    ],
)
def test_conditions_by_their_titles(server: TestClient, name: str, value: Any, message: str) -> None:  # noqa: ANN401
    body = {"conditions": {name: value}, "soft": True}
    error = refused(server.post("/generate", json=body), 422, "bad_request")
    assert (error["field"], error["message"]) == (f"conditions.{name}", message)


def test_characters_that_are_none_of_ours(server: TestClient) -> None:
    for body in ({"conditions": {"reduced_formula": "H\u0662O"}}, {"\ud800": 1}, {"conditions": {"\ud800": 1}}):
        message = refused(server.post("/generate", content=json.dumps(body), headers=JSON), 422, "bad_request")[
            "message"
        ]
        assert "plain letters and digits" in message or "whole characters" in message


def test_symbols_of_elements(server: TestClient) -> None:
    error = refused(server.post("/generate", json={"elements": ["Na", "na"]}), 422, "bad_request")
    assert error["message"] == "Allowed elements: the symbol of an element is needed, such as Na, not 'na'"


def test_fields_of_other_requests(server: TestClient) -> None:
    error = refused(server.post("/complete", json={"source": FILE, "add": f"O{DIGITS}"}), 422, "bad_request")
    assert error["message"].startswith(f"Atoms to add: 'O{DIGITS}' counts too many atoms")
    error = refused(server.post("/generate", json={"add": "O"}), 422, "bad_request")
    assert error["message"] == "Atoms to add: this request has no such field"
    error = refused(server.post("/score", json={"source": {"files": [{"name": "a.cif"}]}}), 422, "bad_request")
    assert error["message"] == "source.files.0.text: it is needed, and was not given"
    assert (
        refused(server.get("/jobs/x?limit=9999"), 422, "bad_request")["message"]
        == "limit: at most 500 is taken, not '9999'"
    )


def test_many_unknown_fields_are_one_fault(server: TestClient) -> None:
    """One fault for each of 150,000 keys kept the event loop busy for seconds, and the answer was 30 MB."""
    few = refused(server.post("/generate", json={f"k{i}": 0 for i in range(MAX_UNKNOWN)}), 422, "bad_request")
    assert len(few["details"]) == MAX_UNKNOWN
    for body in (
        dict.fromkeys(map(str, range(150_000)), 0),
        {"conditions": dict.fromkeys(map(str, range(150_000)), 0)},
    ):
        begun = time.process_time()
        error = refused(server.post("/generate", json=body), 422, "bad_request")
        assert time.process_time() - begun < 2
        assert "150000 fields are not known, such as '0', '1', '2'" in error["message"]
        assert len(error["details"]) == 1


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"n":' + "9" * 5000 + "}", '{"a":' * 100_000])
def test_json_that_python_does_not_read(server: TestClient, text: str) -> None:
    answer = server.post("/generate", content=text, headers=JSON)
    assert "nested too deep, or holds too long a number" in refused(answer, 400, "bad_json")["message"]


def test_lines_of_the_command_line_find_their_field() -> None:
    assert worded("num_sites = 9 is more\nthan 5") == ("conditions.num_sites", "Number of atoms: 9 is more than 5")
    assert worded("order = random has none") == ("order", "Order of the atoms: random has none")
    assert worded("give a formula") == ("", "give a formula")


def test_the_page_says_the_same() -> None:
    """The titles of conditions stand in a script too, which Python cannot read."""
    script = (STATIC / "js" / "columns.js").read_text(encoding="utf-8")
    block = re.search(r"const TITLES = \{(.*?)\}", script, re.DOTALL)
    assert block
    for name, title in re.findall(r'(\w+): "([^"]*)"', block[1]):
        assert TITLES[name] == title
    assert {"n", "seed", "z", "cell_formula", "neutral", "soft", "top_p"} <= form_labels().keys()
    assert label("conditions.bulk_modulus") == "Bulk modulus"
