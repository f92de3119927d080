"""From somebody's own repository to completions that only that repository could teach."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from foretype.client import Client, Document
from tests.conftest import FORETYPE, Serving, write_java

pytestmark = pytest.mark.e2e

_GIT = ["git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]


def _repository(folder: Path) -> Path:
    """Java under version control, and beside it what must not be learned."""
    write_java(folder)
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Animals"]):
        subprocess.run([*_GIT, *command], cwd=folder, check=True)
    (folder / "Untracked.java").write_text("class Untracked {}\n")
    (folder / "notes.txt").write_text("not Java\n")
    return folder


def test_a_repository_is_learned_served_and_completed(tmp_path: Path, serving: Serving) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        "epochs = 6\nbatch = 4\nvalidations = 2\n"
        "[architecture]\nhidden_size = 48\nlayers = 1\nembedding_size = 32\nngrams = [3, 6, 12]\n"
    )
    repository, run = _repository(tmp_path / "repository"), tmp_path / "own-model"
    command = [*FORETYPE, "train", repository, "--out", run, "--include", "*.java"]
    command += ["--base", "none", "--config", config]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    description = json.loads((run / "model" / "model.json").read_text())
    assert description["name"] == "own-model"
    assert description["training"]["data"]["files"] == 48
    assert {"fp32", "int8"} == set(description["quality"]["bpc"])
    report = (run / "report.md").read_text()
    assert "](curve.png)" in report
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    document = Document(
        path="src/main/java/org/example/zoo/Gorilla0.java",
        prefix="package org.example.zoo;\n\nimport java.util.List;\n\n/**\n * A Gorilla0 that",
    )
    with serving(run / "model", f"unix:{tmp_path}/s") as address, Client(address) as client:
        [candidate] = client.complete(document).candidates
    assert candidate.text == " lives in the zoo."


def test_the_shipped_model_completes_java(tmp_path: Path) -> None:
    """The one that comes with the package, through the command, as a newcomer would."""
    file = tmp_path / "Counter.java"
    file.write_text("public class Counter {\n\n    private int count;\n\n    public Str")
    done = subprocess.run(
        [*FORETYPE, "complete", file, "--until", "token"],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ing\n", "")
