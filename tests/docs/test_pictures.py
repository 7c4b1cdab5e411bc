"""The drawings of the documentation are what their scripts draw."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree as ET

from documents import ROOT

SENTENCE = ROOT / "docs" / "pictures" / "sentence.svg"


def test_sentence_is_the_tokenizers() -> None:
    command = [sys.executable, "docs/tools/sentence.py"]
    drawn = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    again = "python docs/tools/sentence.py > docs/pictures/sentence.svg"
    assert drawn == SENTENCE.read_text(encoding="utf-8"), f"draw it again: {again}"


def test_sentence_is_the_one_in_the_readme() -> None:
    said = ET.fromstring(SENTENCE.read_text(encoding="utf-8")).attrib["aria-label"]  # noqa: S314 - our own file
    assert said.removeprefix("The sentence of rock salt: ") in (ROOT / "README.md").read_text(encoding="utf-8")
