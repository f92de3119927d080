"""`foretype train .` on one's own repository: what it goes on from, leaves behind and installs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from foretype_models import bundle
from foretype_training.corpus import read_corpus
from tests.conftest import FORETYPE, write_java

pytestmark = pytest.mark.e2e

_FEW = "epochs = 2\nbatch = 4\nvalidations = 2\nlearning_rate = 1e-3\n"
_SMALL = "[architecture]\nhidden_size = 16\nlayers = 1\nembedding_size = 8\nngrams = [3, 6]\n"


@pytest.fixture
def home(tmp_path: Path, tiny_model: Path) -> Path:
    """Where models are installed: one called `java`, which hides the shipped one, is small."""
    folder = tmp_path / "data"
    _foretype(folder, tmp_path, "models", "install", tiny_model, "--name", "java")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Java of one's own: what the model called `java` knows, and what it does not."""
    folder = write_java(tmp_path / "My Zoo")
    for path in folder.rglob("*.java"):
        path.write_text(path.read_text().replace("this.", "self."))
    (folder / "config.toml").write_text(_FEW)
    return folder


def _foretype(home: Path, folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_DATA_HOME": str(home), "COLUMNS": "120"}
    command = [*FORETYPE, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def _trained(home: Path, folder: Path, *options: str | Path) -> str:
    done = _foretype(home, folder, "train", ".", "--config", "config.toml", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _refused(home: Path, folder: Path, *options: str | Path) -> str:
    done = _foretype(home, folder, "train", ".", "--config", "config.toml", *options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def _git(folder: Path, *arguments: str, at: str = "2020-01-01") -> str:
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    environment = {**os.environ, "GIT_COMMITTER_DATE": f"{at}T12:00:00"}
    command = ["git", *who, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


def _installed(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "foretype" / "models").iterdir())


def _description(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model" / "model.json").read_text())


def test_mostly_java_goes_on_from_the_model_and_is_installed_where_it_is_better(
    home: Path, repository: Path
) -> None:
    _git(repository, "init")
    _git(repository, "add", ".")
    said = _trained(home, repository, "--install").splitlines()
    [chosen] = [line for line in said if line.startswith("mostly java: ")]
    assert "going on from tiny" in chosen
    [plan] = [line for line in said if line.startswith("plan: 2 passes over ")]
    assert " in all, in " in plan
    assert " steps; about " in plan
    [verdict] = [line for line in said if "is better than tiny" in line]
    assert said[-1] == "installed my-zoo; use it with --model my-zoo"
    assert _installed(home) == ["java", "my-zoo"]
    run = repository / "runs" / "my-zoo"
    pointer = (home / "foretype" / "models" / "java" / "pointer.npz").read_bytes()
    assert (run / "model" / "pointer.npz").read_bytes() == pointer
    made = bundle.load(run / "model").description
    assert made.language == "java"
    assert made.training["base"]["name"] == "tiny"
    assert made.version in verdict
    assert f"{verdict}." in (run / "report.md").read_text()
    assert not _git(repository, "status", "--porcelain", "--untracked-files", "runs")
    assert "is there already" in _refused(home, repository)
    # Another run would read nothing of this one, with git or without.
    (repository / ".git").rename(repository.parent / "elsewhere")
    assert read_corpus([repository]).sha256() == made.training["data"]["sha256"]


def test_a_base_may_become_wider_and_read_more(home: Path, repository: Path) -> None:
    # More than a network from nothing could read beside its words and calls.
    ngrams = [3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 24]
    more = f"[architecture]\nhidden_size = 72\nngrams = {ngrams}\n"
    (repository / "config.toml").write_text(_FEW + more)
    said = _trained(home, repository)
    assert "going on from tiny" in said
    assert " is better than tiny" in said
    made = bundle.load(repository / "runs" / "my-zoo" / "model")
    assert made.description.architecture.hidden_size == 72
    assert made.description.architecture.ngrams == tuple(ngrams)
    pointer = made.pointer()
    assert pointer is not None
    assert len(pointer.query) == 72


def test_another_language_begins_from_nothing_and_is_installed(
    home: Path, repository: Path
) -> None:
    (repository / "config.toml").write_text(_FEW + _SMALL)
    for path in repository.rglob("*.java"):
        path.rename(path.with_suffix(".py"))
    said = _trained(home, repository, "--install", "--name", "snake", "--out", "out")
    assert "mostly python: going on from no model" in said
    assert "has no base to compare it with" in said
    assert "installed snake; use it with --model snake" in said
    assert _installed(home) == ["java", "snake"]
    description = _description(repository / "out")
    assert description["language"] == "python"
    assert description["training"]["base"] is None
    after = description["quality"]["comparison"]["after"]["memory"]["project"]
    assert after["tokens"] is None
    assert after["identifiers"] is None
    assert 0 <= after["keystrokes_saved"] < 1


def test_a_model_that_is_not_better_is_kept_but_not_installed(home: Path, repository: Path) -> None:
    """It was made for one thing, and is asked to do another: what the base was made for."""
    (repository / "config.toml").write_text(_FEW.replace("2\\n", "20\\n", 1))
    for path in (repository / "src").rglob("*.java"):
        path.unlink()
    for number in range(6):
        lines = (f"%%{number} {k * 7919 % 1000} $$ {k * 104729 % 1000} @@" for k in range(60))
        (repository / f"Numbers{number}.java").write_text("\n".join(lines))
    _git(repository, "init")
    _git(repository, "add", ".")
    _git(repository, "commit", "-m", "Numbers")
    write_java(repository)
    _git(repository, "add", ".")
    _git(repository, "commit", "-m", "Animals", at="2021-01-01")
    options = ("--include", "*.java", "--holdout-since", "2020-06-01")
    said = _trained(home, repository, "--install", *options)
    assert "is not better than tiny" in said
    assert "not installed\n" in said
    assert _installed(home) == ["java"]
    run = repository / "runs" / "my-zoo"
    description = _description(run)
    assert description["quality"]["comparison"]["better"] is False
    split = description["training"]["data"]["split"]
    assert split["rule"].startswith("by history: held out what was added since 2020-06-01T00:00:00")
    assert (split["held_out"]["files"], split["training"]["files"]) == (48, 5)
    assert f"- split {split['rule']}" in (run / "report.md").read_text()
    # What was held out is part of which run it is.
    given = ("--include", "*.java", "--resume")
    assert "other files or others held out" in _refused(home, repository, *given)
    given = (*given, "--holdout-since", "2020-06-02T10:00:00")
    assert "is not better than tiny" in _trained(home, repository, *given)
    measured = _foretype(
        home,
        repository,
        "evaluate",
        ".",
        "--include",
        "*.java",
        "--held-out",
        "--model",
        run / "model",
    )
    assert measured.returncode == 2
    assert "held out other files than the tenth, by history" in measured.stderr


def test_what_cannot_be_held_out_or_gone_on_from_is_refused(home: Path, repository: Path) -> None:
    message = _refused(home, repository, "--holdout-since", "2020-01-01")
    assert "has no history to hold files out by: git says 'fatal: not a git repo" in message
    (repository / "config.toml").write_text(_FEW + _SMALL)
    message = _refused(home, repository)
    assert "another architecture than that of the base 'tiny'" in message
    assert "--base none" in message
    assert "and not 'none'" in _refused(home, repository, "--name", "none")
    message = _refused(home, repository, "--holdout-since", "yesterday")
    assert "'yesterday' is not a date: write it as 2025-12-31" in message
    assert not (repository / "runs").exists()
