"""Several processes learn what one does: under `torchrun`, cut off, and set right again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from foretype_models import bundle
from foretype_models.architecture import Architecture
from foretype_models.network import Network
from foretype_training.checkpoint import Checkpoint, load_checkpoint
from foretype_training.distributed import ALONE, joined
from foretype_training.errors import InputError
from tests.conftest import write_java
from tests.training.eager import EAGER

# With the dropout of the default: its masks are those of one process too. It reads n-grams alone:
# where contexts have rows that are hardly ever read, Adam makes steps of the gradient's rounding.
CONFIG = """epochs = 2
batch = {batch}
window = 40
validations = 2
[architecture]
hidden_size = 16
layers = 2
embedding_size = 8
ngrams = [3, 6]
words = []
parts = []
heads = []
calls = []
"""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
_PATIENCE = 600  # seconds, on a machine that does much else
pytestmark = pytest.mark.timeout(2 * _PATIENCE)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    for batch in (2, 4):
        (folder / f"{batch}.toml").write_text(CONFIG.format(batch=batch))
    return write_java(folder / "zoo").parent


def _train(code: Path, out: Path, batch: int, *options: str) -> list[str]:
    train = [code / "zoo", "--out", out, "--config", code / f"{batch}.toml"]
    return [sys.executable, "-c", EAGER, "train", *map(str, train), "--base", "none", *options]


def _done(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def two(code: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes made that were never cut off."""
    out = tmp_path_factory.mktemp("two") / "run"
    done = _done([*TORCHRUN, "--no-python", *_train(code, out, 2)])
    assert done.stdout.count("network: ") == done.stdout.count("is ready") == 1
    assert "on cpu, 2 processes" in done.stdout
    return out


@pytest.fixture(scope="module")
def one(code: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process made, with the batch of both."""
    out = tmp_path_factory.mktemp("one") / "run"
    _done(_train(code, out, 4))
    return out


def _checkpoint(out: Path) -> Checkpoint:
    return load_checkpoint(out / "checkpoint.safetensors")


def _weights(out: Path) -> bytes:
    return (out / "model" / "weights.safetensors").read_bytes()


def _assert_learned_the_same(out: Path, other: Path) -> None:
    """The whole checkpoint: weights, moments, the states of all lanes, where they stand."""
    mine, theirs = _checkpoint(out), _checkpoint(other)
    assert mine.progress.keys() == theirs.progress.keys()
    for key in ("settings", "data", "step", "symbols", "lanes"):
        assert mine.progress[key] == theirs.progress[key]
    assert mine.progress["running"] == pytest.approx(theirs.progress["running"], abs=1e-4)
    # Where a batch is cut in two, other sums are rounded: to eight bits, on some processors.
    atol, rtol = {"fp32": (1e-4, 1e-3), "bf16": (1e-2, 1e-2)}[mine.progress["precision"]]
    torch.testing.assert_close(mine.tensors, theirs.tensors, atol=atol, rtol=rtol)


@pytest.mark.e2e
def test_two_processes_learn_what_one_does_with_the_doubled_batch(one: Path, two: Path) -> None:
    _assert_learned_the_same(two, one)
    bits = [bundle.load(out / "model").description.quality["bpc"]["fp32"] for out in (one, two)]
    assert bits[0] == pytest.approx(bits[1], abs=1e-4)
    assert "characters per second in 2 processes" in (two / "report.md").read_text()


@contextmanager
def _begun(command: list[str], out: Path) -> Generator[subprocess.Popen[str]]:
    """A run that has written a checkpoint; it is told to end where a test fails."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while not (out / "checkpoint.safetensors").exists() and process.poll() is None:
                time.sleep(0.01)
            yield process
        finally:
            process.terminate()


def _worker(torchrun: int, rank: int) -> int:
    """The process of this rank."""
    children = Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split()
    [worker] = [
        int(child)
        for child in children
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    ]
    return worker


@pytest.mark.e2e
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_goes_on_from_the_last_checkpoint(
    code: Path, two: Path, tmp_path: Path, rank: int
) -> None:
    out = tmp_path / "run"
    command = [*TORCHRUN, "--max-restarts", "3", "--no-python", *_train(code, out, 2)]
    with _begun(command, out) as torchrun:
        os.kill(_worker(torchrun.pid, rank), signal.SIGKILL)
        told, errors = torchrun.communicate(timeout=_PATIENCE)
    assert torchrun.returncode == 0, errors
    assert told.count("network: ") == 2  # it was killed while it trained
    assert "Traceback" not in errors
    assert _weights(out) == _weights(two)


@pytest.mark.e2e
def test_ctrl_c_stops_all_and_one_process_can_go_on_with_the_batch_of_both(
    code: Path, one: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [*TORCHRUN, "--shutdown-timeout", "120", "--no-python", *_train(code, out, 2)]
    with _begun(command, out) as torchrun:
        torchrun.send_signal(signal.SIGINT)
        told, errors = torchrun.communicate(timeout=_PATIENCE)
    assert errors.count("stopping after this step") == 1
    assert told.count("stopped early; --resume goes on") == 1
    assert not bundle.load(out / "model").description.training["finished"]
    _done(_train(code, out, 4, "--resume"))
    _assert_learned_the_same(out, one)


@pytest.mark.e2e
def test_what_cannot_be_trained_on_is_told_once(code: Path, tmp_path: Path) -> None:
    """By the command as it is recommended."""
    out = tmp_path / "run"
    train = ["-m", "foretype", "train", str(code / "none"), "--out", str(out)]
    done = subprocess.run([*TORCHRUN, *train], capture_output=True, text=True, timeout=_PATIENCE)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("foretype: ")]
    assert told == [f"foretype: no such file or folder: {code / 'none'}"]
    assert "exitcode  : 2" in done.stderr  # as torchrun tells it
    assert not out.exists()


def test_without_torchrun_a_process_is_alone() -> None:
    with joined() as processes:
        assert processes is ALONE
        assert (processes.rank, processes.count, processes.restarted) == (0, 1, False)
        assert processes.own(7) == slice(0, 7)
        assert processes.total(1.5, 2) == [1.5, 2]
        assert processes.first(lambda: "made") == "made"
        assert [processes.any(flag) for flag in (False, True)] == [False, True]


@pytest.mark.parametrize("local_rank", ["0", "1"])
def test_more_processes_than_gpus_are_refused_once(
    monkeypatch: pytest.MonkeyPatch, local_rank: str
) -> None:
    environment = {"RUN_ID": "run", "RESTART_COUNT": "0"}
    for name, value in environment.items():
        monkeypatch.setenv(f"TORCHELASTIC_{name}", value)
    monkeypatch.setenv("LOCAL_RANK", local_rank)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    first = local_rank == "0"
    with pytest.raises(InputError if first else SystemExit) as raised, joined():
        pass
    message = "this machine has 2 GPUs for 4 processes; give torchrun --nproc-per-node 2"
    assert str(raised.value) == (message if first else "2")


def test_the_parts_of_a_network_draw_the_masks_of_the_whole() -> None:
    def drawn(part: tuple[int, int], lanes: int) -> torch.Tensor:
        network = Network(Architecture(hidden_size=16, layers=1), 0.5, part)
        torch.manual_seed(1)
        rows = torch.ones(1, lanes, 16)
        return network._drop(rows)  # pyright: ignore[reportPrivateUsage]

    whole = drawn((0, 1), 6)
    assert 0 < (whole == 0).sum() < whole.numel()
    parts = [drawn((number, 3), 2) for number in range(3)]
    assert torch.equal(torch.cat(parts, dim=1), whole)
