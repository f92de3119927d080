"""The `foretype` command as a user meets it: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from foretype.client import Client
from foretype_models import bundle
from tests.conftest import FORETYPE, Serving

pytestmark = pytest.mark.e2e

JAVA = "package org.example.zoo;\n\nimport java.util.List;\n\n/**\n * A Gorilla0 that lives"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `foretype` in a folder of its own, with no models but the shipped ones."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"), "COLUMNS": "100"}
        return subprocess.run(
            [*FORETYPE, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=120,
        )

    return run


@pytest.fixture
def java_file(tmp_path: Path) -> Path:
    file = tmp_path / "src" / "main" / "java" / "org" / "example" / "zoo" / "Gorilla0.java"
    file.parent.mkdir(parents=True)
    file.write_text(JAVA + "\n */\n")
    return file


def _refused(done: subprocess.CompletedProcess[str]) -> str:
    """One sentence on standard error, nothing on standard output, exit code 2."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("foretype: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_file_is_completed_at_a_position(run: Run, java_file: Path, tiny_model: Path) -> None:
    done = run("complete", java_file, "--line", "6", "--model", tiny_model)
    assert (done.returncode, done.stdout, done.stderr) == (0, " in the zoo.\n", "")


def test_a_stream_prints_the_same(run: Run, java_file: Path, tiny_model: Path) -> None:
    done = run("complete", java_file, "--line", "6", "--stream", "--model", tiny_model)
    assert done.returncode == 0
    assert " in the zoo." in done.stdout


def test_of_a_long_file_the_lines_near_the_cursor_are_read(
    run: Run, java_file: Path, tiny_model: Path
) -> None:
    java_file.write_text("// padding, é\n" * 400_000 + JAVA + "\n */\n" * 200_000)
    done = run("complete", java_file, "--line", "400006", "--model", tiny_model)
    assert (done.returncode, done.stdout, done.stderr) == (0, " in the zoo.\n", "")


def test_what_is_no_file_or_a_huge_one_is_refused(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert _refused(run("complete", "pipe")) == "foretype: pipe is not a file\n"
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(200_000_000)
    assert "huge has 200000000 bytes; at most 16777216 are allowed" in _refused(
        run("complete", "huge")
    )


def test_what_is_not_remembered_is_said(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "Own.java").write_text("class Own {")
    (tmp_path / "Link.java").symlink_to("Own.java")
    own = ("complete", "Own.java", "--model", tiny_model)
    assert "1 .java files of" in run(*own).stderr
    assert run(*own, "--no-project").stderr == ""
    (tmp_path / ".git" / "config").write_text("[nonsense")
    assert "no other file of" in run(*own).stderr


@pytest.mark.parametrize("is_repository", [True, False])
def test_the_other_files_of_the_project_are_known(
    run: Run, tmp_path: Path, tiny_model: Path, is_repository: bool
) -> None:
    if is_repository:
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "Zoo.java").write_text(40 * "quokkaWombat.platypusEchidna();\n")
    (tmp_path / "Own.java").write_text("quokkaWombat.")
    own = str(tmp_path / "Own.java")
    known = run("complete", own, "--model", str(tiny_model)).stdout
    assert known.startswith("platypus")
    unknown = run("complete", own, "--model", str(tiny_model), "--no-project").stdout
    assert not unknown.startswith("platypus")


def test_several_lines(run: Run, java_file: Path, tiny_model: Path) -> None:
    java_file.write_text(JAVA)
    done = run("complete", java_file, "--lines", "3", "--model", tiny_model)
    assert done.stdout.startswith(" in the zoo.\n */\npublic class")


def test_a_server_answers_in_place_of_an_engine(
    run: Run, java_file: Path, server_address: str
) -> None:
    done = run("complete", java_file, "--line", "6", "--server", server_address)
    assert done.stdout == " in the zoo.\n"


def test_json_has_a_stable_schema(run: Run, java_file: Path, tiny_model: Path) -> None:
    done = run(
        *("complete", java_file, "--line", "6", "--column", "22", "--candidates", "3", "--json"),
        *("--until", "token", "--model", tiny_model),
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    assert set(answer) == {"candidates", "model", "model_version", "timings_ms"}
    assert answer["model"] == "tiny"
    assert answer["timings_ms"]["total"] > 0
    assert len(answer["candidates"]) == 3
    for candidate in answer["candidates"]:
        assert set(candidate) == {"text", "log_prob", "confidences", "stop"}
        assert len(candidate["confidences"]) == len(candidate["text"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--line", "9"], "--line must be from 1 to 8, not 9"),
        (["--line", "1", "--column", "26"], "--column must be from 1 to 25 on line 1, not 26"),
        (["--column", "3"], "--column must be from 1 to 1 on line 8, not 3"),
        (["--stream", "--json"], "--stream prints one candidate as text"),
        (["--lines", "2", "--candidates", "2"], "leave --candidates out"),
        (["--lines", "2", "--until", "block"], "leave --until out"),
        (["--model", "nonesuch"], "there is no model 'nonesuch', neither installed"),
    ],
)
def test_a_position_or_option_that_cannot_be_is_refused(
    run: Run, java_file: Path, options: list[str], message: str
) -> None:
    assert message in _refused(run("complete", java_file, *options))


def test_a_file_that_cannot_be_read_is_refused(run: Run, tmp_path: Path) -> None:
    assert "No such file" in _refused(run("complete", tmp_path / "None.java"))
    (tmp_path / "Latin1.java").write_bytes("größe".encode("latin-1"))
    assert "is not UTF-8: see byte 2" in _refused(run("complete", tmp_path / "Latin1.java"))


def test_no_server_is_a_failure(run: Run, java_file: Path, tmp_path: Path) -> None:
    done = run("complete", java_file, "--server", f"unix:{tmp_path}/none")
    assert done.returncode == 1
    assert "no Foretype server answers" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_options_and_commands_are_wrong_usage(run: Run) -> None:
    assert run("complete", "--nonesuch").returncode == 2
    assert run("nonesuch").returncode == 2


def test_the_version(run: Run) -> None:
    assert run("--version").stdout == f"foretype {version('foretype')}\n"


def test_models_come_and_go(run: Run, java_file: Path, tiny_model: Path, tmp_path: Path) -> None:
    zipped = tmp_path / "tiny.zip"
    assert "foretype models install tiny.zip" in run("models", "pack", tiny_model, zipped).stdout
    assert "installed zoo" in run("models", "install", zipped, "--name", "zoo").stdout
    listed = json.loads(run("models", "list", "--json").stdout)["models"]
    installed = {model["name"]: model for model in listed}["zoo"]
    assert installed["origin"] == "installed"
    assert installed["bpc"] > 0
    assert "zoo" in run("models", "list").stdout
    assert json.loads(run("models", "show", "zoo").stdout)["name"] == "tiny"
    done = run("complete", java_file, "--line", "6", "--model", "zoo")
    assert done.stdout == " in the zoo.\n"
    assert run("models", "remove", "zoo").stdout == "removed zoo\n"
    assert "there is no model 'zoo'" in _refused(run("models", "remove", "zoo"))


def test_a_memory_can_be_looked_at_and_emptied(
    run: Run, serving: Serving, tiny_model: Path, tmp_path: Path
) -> None:
    with serving(tiny_model, f"unix:{tmp_path}/s") as address, Client(address) as client:
        client.wait_until_serving()
        client.remember("zoo", {"A.java": "class A {}", "B.java": "class B {}"})
        status = run("memory", "status", "zoo", "--server", address).stdout
        assert status.startswith("zoo: 2 files remembered, 32 bytes of at most 8,388,608; ")
        one = run("memory", "forget", "zoo", "A.java", "--server", address, "--json")
        assert json.loads(one.stdout)["documents"] == 1
        assert "zoo: 0 files" in run("memory", "forget", "zoo", "--server", address).stdout
    assert run("memory", "status", "zoo", "--server", address).returncode == 1


def test_a_server_loads_what_is_installed_and_what_was_before(
    run: Run, tiny_model: Path, other_model: Path, tmp_path: Path
) -> None:
    version = {model: bundle.describe(model).version for model in (tiny_model, other_model)}
    installed = ("models", "install", "--name", "zoo")
    run(*installed, tiny_model)
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    address = f"unix:{tmp_path}/s"
    serve = [*FORETYPE, "serve", "--model", "zoo", "--listen", address]
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        old, new = version[tiny_model], version[other_model]
        done = run(*installed, other_model, "--server", address)
        assert done.stdout.splitlines() == [
            f"installed zoo {new}; use it with --model zoo",
            f"{address} serves zoo {new} in place of zoo {old}",
        ]
        listed = json.loads(run("models", "list", "--json").stdout)["models"]
        assert {model["name"]: model["previous"] for model in listed} == {"java": None, "zoo": old}
        assert run("models", "restore", "zoo", "--server", address).stdout.splitlines() == [
            f"restored zoo {old}; {new} is kept",
            f"{address} serves zoo {old} in place of zoo {new}",
        ]
        done = run("models", "load", "java", "--server", address)
        assert done.stdout.startswith(f"{address} serves java ")
        refused = run("models", "load", "nonesuch", "--server", address)
        assert "there is no model 'nonesuch'" in _refused(refused)
        assert run("models", "load", "zoo").returncode == 2  # no server
        process.terminate()
    assert "no earlier version" in _refused(run("models", "restore", "java"))


def test_a_damaged_bundle_is_not_installed(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(tiny_model, tmp_path / "damaged")
    with (damaged / "network.onnx").open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff")
    assert "network.onnx is not the file" in _refused(run("models", "install", damaged))
    assert not (tmp_path / "data" / "foretype" / "models" / "tiny").exists()


def test_the_doctor_finds_everything_well(run: Run, tiny_model: Path) -> None:
    done = run("doctor", "--model", tiny_model, "--json")
    assert "is used: " in done.stdout
    assert done.returncode == 0, done.stdout
    findings = {f["check"]: f for f in json.loads(done.stdout)["findings"]}
    assert set(findings) == {"machine", "packages", "training", "model", "precision", "engine"}
    assert "self-test right in fp32 and int8" in findings["model"]["seen"]


def test_the_doctor_says_what_is_wrong(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(tiny_model, tmp_path / "damaged")
    (damaged / "weights.safetensors").unlink()
    done = run("doctor", "--model", damaged)
    assert done.returncode == 1
    assert "lacks weights.safetensors" in " ".join(done.stdout.split())
    assert done.stderr == "foretype: not everything works: model\n"
