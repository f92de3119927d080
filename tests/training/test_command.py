"""`foretype train` and `foretype evaluate` as a user meets them, cut off and set right again."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from foretype_models import alphabet, bundle, registry
from foretype_models.runtime import Runtime
from foretype_training.corpus import SourceFile
from tests.conftest import FORETYPE, write_java
from tests.training.eager import EAGER

pytestmark = pytest.mark.e2e

CONFIG = """epochs = 5
batch = 2
window = 40
validations = 2
[architecture]
hidden_size = 16
layers = 1
embedding_size = 8
ngrams = [3, 6]
words = []
parts = []
heads = []
calls = []
"""
_BEGINNING = 0.5  # seconds


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    (folder / "config.toml").write_text(CONFIG)
    return write_java(folder / "zoo").parent


def _command(code: Path, out: Path, *options: str) -> list[str]:
    train = ["train", code / "zoo", "--out", out, "--config", code / "config.toml"]
    return [sys.executable, "-c", EAGER, *map(str, train), "--base", "none", *options]


def _trained(code: Path, out: Path, *options: str) -> str:
    done = subprocess.run(_command(code, out, *options), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _weights(out: Path) -> bytes:
    return (out / "model" / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(code: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never cut off."""
    out = tmp_path_factory.mktemp("whole") / "run"
    _trained(code, out)
    return out


def _begun(command: list[str], out: Path) -> subprocess.Popen[str]:
    """A run that has written a checkpoint."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    before = _written(out)
    while _written(out) == before and process.poll() is None:
        time.sleep(0.01)
    return process


def _written(out: Path) -> int:
    checkpoint = out / "checkpoint.safetensors"
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0


def test_a_run_that_is_killed_again_and_again_learns_the_same(
    code: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    moments = random.Random(1)
    for options in ([], ["--resume"], ["--resume"]):
        with _begun(_command(code, out, *options), out) as process:
            time.sleep(moments.uniform(0, _BEGINNING))
            process.kill()
        assert not (out / "model").exists()
    _trained(code, out, "--resume")
    assert _weights(out) == _weights(whole)


def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    code: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train = [code / "zoo", "--out", out, "--config", code / "config.toml", "--base", "none"]
    command = [*FORETYPE, "train", *map(str, train)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("network: ") for line in process.stdout)
        process.kill()
    assert [path.name for path in out.iterdir()] == [".gitignore"]
    (out / ".checkpoint.safetensors.1").write_bytes(b"half of one")
    _trained(code, out, "--resume")
    assert _weights(out) == _weights(whole)
    assert [path.name for path in out.glob(".*")] == [".gitignore"]


def test_ctrl_c_keeps_what_was_learned(code: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with _begun(_command(code, out, "--install"), out) as process:
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "stopping after this step" in errors
    assert "stopped early; --resume goes on" in told
    assert "not installed, for the training was stopped early" in told
    assert not bundle.load(out / "model").description.training["finished"]
    assert "**stopped early**" in (out / "report.md").read_text()
    _trained(code, out, "--resume")
    assert _weights(out) == _weights(whole)


def test_a_base_is_gone_on_from(code: Path, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("epochs = 2\nbatch = 2\nlearning_rate = 1e-3\n")
    shutil.copytree(code / "zoo", tmp_path / "zoo")
    out = tmp_path / "run"
    _trained(tmp_path, out, "--base", str(whole / "model"))
    compared = bundle.load(out / "model").description.quality["comparison"]
    before, after = compared["before"], compared["after"]
    assert before["version"] == bundle.load(whole / "model").description.version
    for setting in ("none", "project"):
        assert after["memory"][setting]["bpc"] < before["memory"][setting]["bpc"]
        assert all(0 < share < 1 for share in after["memory"][setting].values())
    assert compared["better"]
    report = (out / "report.md").read_text()
    assert "## Before and after" in report
    assert "## Most improved" in report
    for picture in ("comparison.png", "curve.png"):
        assert f"]({picture})" in report
        assert (out / picture).read_bytes().startswith(b"\x89PNG")


def test_files_with_secrets_are_named_and_not_learned(code: Path, tmp_path: Path) -> None:
    shutil.copytree(code, tmp_path, dirs_exist_ok=True)
    (tmp_path / "zoo" / "Keeper.java").write_text(
        'class Keeper {\n    String password = "aardvark to zebra";\n}\n'
    )
    out = tmp_path / "run"
    told = _trained(tmp_path, out)
    assert told.splitlines()[:3] == [
        f"{tmp_path / 'zoo' / 'Keeper.java'} is left out, for it may hold a secret:"
        " Secret Keyword in line 2",
        "where it holds none, end the line with the comment `pragma: allowlist secret`",
        "48 files, 20,124 characters; left out: 1 with a secret",
    ]
    assert "left out: 1 with a secret" in (out / "report.md").read_text()
    files = [file.read_bytes() for file in out.rglob("*") if file.is_file()]
    assert not any(b"aardvark" in text for text in [told.encode(), *files])
    assert not any(b"Keeper.java" in text for text in files)


def test_the_bundle_says_what_it_was_made_of(code: Path, whole: Path) -> None:
    loaded = bundle.load(whole / "model")
    Runtime(loaded)
    training = loaded.description.training
    assert training["data"]["roots"] == ["zoo"]
    assert str(code) not in json.dumps(training)
    assert training["data"]["split"]["held_out"]["files"] > 0
    assert registry.is_name(loaded.description.name)


def test_the_report_says_how_fast_it_learned(code: Path, whole: Path, tmp_path: Path) -> None:
    report = (whole / "report.md").read_text()
    found = re.search(r"Learned from ([\d,]+) characters .*: (\S+) operations .* \d+% of", report)
    assert found is not None, report
    characters, operations = (float(number.replace(",", "")) for number in found.groups())
    weights = 4 * 16 * (8 + 16) + alphabet.SIZE * (16 + 8)  # of the layer's gates, the output
    assert operations / characters == pytest.approx(6 * weights, rel=0.02)
    finished = shutil.copytree(whole, tmp_path / "run")
    _trained(code, finished, "--resume")
    assert "Learned from" not in (finished / "report.md").read_text()


def _refused(code: Path, *arguments: str | Path, **settings: Any) -> str:
    """What the command says that cannot begin: one sentence."""
    command = [*FORETYPE, "train", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, **settings)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("foretype: ")] == lines[-1:]
    assert "Traceback" not in done.stderr
    return lines[-1]


def test_what_cannot_be_trained_on_is_refused(code: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    (tmp_path / "empty").mkdir()
    assert "there are no files in" in _refused(code, tmp_path / "empty", "--out", out)
    zoo = code / "zoo"
    options = ("--out", out, "--include", "*.py")
    assert "matches *.py" in _refused(code, zoo, *options)
    assert "no such file or folder" in _refused(code, tmp_path / "none", "--out", out)
    assert "nothing to resume" in _refused(code, zoo, "--out", out, "--resume")
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes").touch()
    assert "is not the folder of a run" in _refused(code, zoo, "--out", other, "--resume")
    assert [path.name for path in other.iterdir()] == ["notes"]
    assert "'--' is not a name for a model" in _refused(code, zoo, "--out", tmp_path / "--")
    assert not out.exists()


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc")
def test_a_file_that_cannot_be_read_is_refused(code: Path, tmp_path: Path) -> None:
    """The start of a process's memory is a plain file that nobody can read, not even root."""
    out = tmp_path / "deep" / "run"
    message = _refused(code, "/proc/self/mem", "--out", out)
    assert message == "foretype: cannot read /proc/self/mem: Input/output error"
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "is not valid TOML"),
        ("epoch = 3", "unknown setting 'epoch'"),
        ("epochs = 0", "epochs must be above 0"),
        ("[architecture]\ncell = 'transformer'", "unknown cell 'transformer'"),
        ("batch = 4096\nwindow = 8192", "GB of memory at least"),
        ("window = 8192\n[architecture]\nhidden_size = 8192\nlayers = 8", "GB of memory"),
    ],
)
def test_a_broken_configuration_is_refused(
    code: Path, tmp_path: Path, text: str, message: str
) -> None:
    config, out = tmp_path / "config.toml", tmp_path / "run"
    config.write_text(text)
    given = (code / "zoo", "--out", out, "--config", config, "--base", "none")
    assert message in _refused(code, *given)
    assert not out.exists()


def test_a_base_that_does_not_fit_is_refused(code: Path, whole: Path, tmp_path: Path) -> None:
    out, base = tmp_path / "run", tmp_path / "base"
    config = tmp_path / "config.toml"
    config.write_text("[architecture]\nhidden_size = 15\n")
    given = (code / "zoo", "--out", out, "--base", whole / "model", "--config", config)
    assert "another architecture" in _refused(code, *given)
    shutil.copytree(whole / "model", base)
    description = json.loads((base / "model.json").read_text())
    (base / "model.json").write_text(json.dumps({**description, "alphabet": "latin-1"}))
    message = _refused(code, code / "zoo", "--out", out, "--base", base)
    assert "its alphabet is 'latin-1'" in message
    assert not out.exists()


def test_an_older_run_is_never_overwritten(code: Path, whole: Path, tmp_path: Path) -> None:
    weights = _weights(whole)
    assert "is there already" in _refused(code, code / "zoo", "--out", whole)
    other = write_java(tmp_path / "zoo")
    (other / "More.java").write_text("class More {\n    // another file\n}\n")
    given = (other, "--out", whole, "--config", code / "config.toml", "--base", "none", "--resume")
    assert "belongs to a run with other files" in _refused(code, *given)
    assert _weights(whole) == weights


def test_a_full_disk_ends_the_run_with_a_sentence(code: Path, tmp_path: Path) -> None:
    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    out = tmp_path / "run"
    done = subprocess.run(
        _command(code, out), capture_output=True, text=True, preexec_fn=small_disk
    )
    assert done.returncode == 1
    assert "cannot write" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not out.exists()


def _evaluate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*FORETYPE, "evaluate", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_evaluate_measures_bits_per_character(code: Path, whole: Path) -> None:
    options = ("--held-out", "--precision", "fp32", "--json")
    answer = json.loads(_evaluate(code / "zoo", "--model", whole / "model", *options).stdout)
    description = bundle.load(whole / "model").description
    assert answer["bpc"] == pytest.approx(description.quality["bpc"]["fp32"], abs=1e-4)
    assert (answer["model"], answer["memory"]) == (description.name, "none")
    assert set(answer) == {
        *("model", "model_version", "memory", "precision", "files", "characters", "bpc"),
        *("token_accuracy", "by_kind", "per_file"),
    }
    accuracy = answer["token_accuracy"]
    assert accuracy["protocol"] == "source"
    assert 0 < accuracy["identifiers"] < 1
    assert 0 < accuracy["strict"] <= accuracy["lenient"] < 1
    per_file = answer["per_file"]
    assert answer["files"] == len(per_file) == description.quality["held_out"]["files"]
    assert all(SourceFile(file["path"], b"").is_held_out for file in per_file)
    assert answer["characters"] == sum(file["characters"] for file in per_file)
    of_files = [file["token_accuracy"] for file in per_file]
    strict = [file["strict"] for file in of_files]
    assert min(strict) <= answer["token_accuracy"]["strict"] <= max(strict)
    bits = sum(file["bpc"] * file["characters"] for file in per_file)
    assert answer["bpc"] == pytest.approx(bits / answer["characters"])


def test_evaluate_shows_the_best_and_the_worst_files_and_all(code: Path, whole: Path) -> None:
    options = ("--model", whole / "model", "--measures", "bpc,token_accuracy")
    table = _evaluate(code / "zoo", *options).stdout
    heading, columns, *rows, total = table.splitlines()
    assert heading.endswith(("int8, memory none", "fp32, memory none"))
    assert columns.split() == [
        *("file", "characters", "bits", "per", "character", "tokens", "right", "identifiers")
    ]
    assert len(rows) == 9
    assert rows[4].strip() == "... 40 more"
    bits = [float(row.split()[-3]) for row in rows[:4] + rows[5:]]
    assert bits == sorted(bits)
    assert total.split()[0] == "all"
    assert bits[0] <= float(total.split()[-3]) <= bits[-1]


def test_evaluate_says_what_the_model_errs_on(code: Path, whole: Path) -> None:
    options = ("--model", whole / "model", "--held-out")
    answer = json.loads(_evaluate(code / "zoo", "--json", *options).stdout)
    kinds = answer["by_kind"]
    assert sum(kind["characters"] for kind in kinds.values()) == answer["characters"]
    bits = sum((kind["bpc"] or 0) * kind["characters"] for kind in kinds.values())
    assert bits / answer["characters"] == pytest.approx(answer["bpc"])
    tokens = sum(kind["tokens"] for kind in kinds.values())
    wrong = sum((kind["wrong_tokens"] or 0) * kind["tokens"] for kind in kinds.values())
    assert 1 - wrong / tokens == pytest.approx(answer["token_accuracy"]["strict"])
    assert sum(kind["share_of_bits"] for kind in kinds.values()) == pytest.approx(1)
    assert kinds["comment"]["share_of_wrong_tokens"] is None
    options = (*options, "--measures", "by_kind")
    heading, _, *table = _evaluate(code / "zoo", *options).stdout.splitlines()
    assert heading.endswith("memory none")
    assert {row[:16].strip() for row in table} >= set(kinds)


def test_evaluate_with_a_memory_and_with_a_typist(code: Path, whole: Path) -> None:
    def measured(memory: str) -> dict[str, Any]:
        options = ("--memory", memory, "--measures", "bpc,keystrokes", "--sample", "1000")
        done = _evaluate(code / "zoo", "--model", whole / "model", "--held-out", "--json", *options)
        return json.loads(done.stdout)

    none, file, project = map(measured, ("none", "file", "project"))
    assert len({answer["bpc"] for answer in (none, file, project)}) == 3
    assert "token_accuracy" not in none
    assert all(0 < answer["keystrokes"]["saved"] < 1 for answer in (none, file, project))
    assert set(none["keystrokes"]) == {
        *("saved", "shown", "accepted", "confidence", "files", "characters")
    }
    assert 0 <= none["undefined_identifiers"] <= 1
    typed = [file for file in none["per_file"] if "keystrokes" in file]
    assert len(typed) == none["keystrokes"]["files"] < none["files"] == len(none["per_file"])
    assert sum(file["characters"] for file in typed) == none["keystrokes"]["characters"]
    saved = [file["keystrokes"]["saved"] for file in typed]
    assert min(saved) <= none["keystrokes"]["saved"] <= max(saved)
    table = _evaluate(
        code / "zoo", "--model", whole / "model", "--measures", "keystrokes", "--sample", "1"
    )
    assert "keystrokes saved: " in table.stdout


def test_evaluate_draws_what_it_measured(code: Path, whole: Path, tmp_path: Path) -> None:
    def drawn(name: str, measures: str) -> bytes:
        options = ("--measures", measures, "--sample", "1", "--picture", tmp_path / name)
        done = _evaluate(code / "zoo", "--model", whole / "model", "--held-out", *options)
        assert done.returncode == 0, done.stderr
        return (tmp_path / name).read_bytes()

    svg = drawn("all.svg", "bpc,by_kind,keystrokes")
    for text in (b"memory none", b"known identifier", b"files by bits", b"1 file by keystrokes"):
        assert text in svg
    assert drawn("again.svg", "bpc,by_kind,keystrokes") == svg
    assert b"keystrokes" not in drawn("bits.svg", "bpc,next_token")
    assert drawn("all.png", "by_kind").startswith(b"\x89PNG")


def test_evaluate_completes_in_a_sample_of_the_files(code: Path, whole: Path) -> None:
    options = ("--model", whole / "model", "--measures", "next_token,line", "--sample", "1")
    answer = json.loads(_evaluate(code / "zoo", "--json", *options).stdout)
    next_token = answer["next_token"]
    assert next_token["files"] == 1 < answer["files"]
    assert next_token["characters"] < answer["characters"]
    for rates in (next_token, next_token["identifiers"]):
        assert 0 <= rates["top1"] <= rates["mrr"] <= 1
        assert rates["top1"] <= rates["top5"] <= 1
    assert (next_token["candidates"], next_token["tokens"]) == (10, 74)
    line = answer["line"]
    assert 0 <= line["exact"] <= line["similarity"] <= 1
    assert (line["lines"], line["files"]) == (14, 1)
    printed = _evaluate(code / "zoo", *options).stdout
    assert "next token: " in printed
    assert "rest of the line: " in printed


def test_evaluate_measures_the_stream_of_a_published_benchmark(code: Path, whole: Path) -> None:
    options = ("--model", whole / "model", "--measures", "token_accuracy", "--held-out")
    options = (*options, "--protocol", "codexglue")
    answer = json.loads(_evaluate(code / "zoo", "--json", *options).stdout)
    accuracy = answer["token_accuracy"]
    assert accuracy["protocol"] == "codexglue"
    assert 0 <= accuracy["accuracy"] <= 1
    assert accuracy["tokens"] == 74 * answer["files"]
    assert set(accuracy) == {"protocol", "accuracy", "identifiers", "tokens"}
    assert "CodeXGLUE" in _evaluate(code / "zoo", *options).stdout


def test_evaluate_refuses_what_it_cannot_measure(code: Path, whole: Path) -> None:
    one = code / "zoo" / "src" / "main" / "java" / "org" / "example" / "zoo" / "Badger0.java"
    assert not SourceFile(one.name, b"").is_held_out
    for arguments, message in (
        ((one, "--model", whole / "model", "--held-out"), "none of the 1 files is held out"),
        ((one, "--model", "nonesuch"), "there is no model 'nonesuch'"),
        (
            (one, "--measures", "bpc,speed"),
            "must be of bpc, token_accuracy, by_kind, next_token, line, keystrokes, not speed",
        ),
        ((one, "--protocol", "codexglue"), "is one of --measures token_accuracy alone"),
        ((one, "--picture", "p.gif"), "ends in .svg or .png, not as 'p.gif' does"),
        ((one, "--picture", code / "none" / "p.svg"), "there is no folder"),
        (
            (one, "--picture", code / "p.svg", "--measures", "line"),
            "a --picture is of bpc, by_kind, keystrokes; measure one of them",
        ),
        ((code / "none", "--model", whole / "model"), "no such file or folder"),
    ):
        done = _evaluate(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("foretype: ")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
