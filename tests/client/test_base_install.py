"""What `pip install foretype` gives works without what `foretype[train]` adds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_java

pytestmark = pytest.mark.e2e

_ONLY_FOR_TRAINING = [
    *("torch", "onnx", "safetensors", "datasketch", "detect_secrets", "matplotlib", "pathspec"),
]
_WITHOUT = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_ONLY_FOR_TRAINING}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv[0] = "foretype"
from foretype.__main__ import main
main()
"""


def _foretype(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command where the packages for training cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "XDG_DATA_HOME": str(home)},
    )


def test_completing_measuring_and_managing_need_no_torch(tiny_model: Path, tmp_path: Path) -> None:
    code = write_java(tmp_path / "code")
    file = next(code.rglob("Badger0.java"))
    for arguments in (
        ("complete", file, "--line", "6", "--column", "12", "--model", tiny_model),
        ("models", "install", tiny_model),
        ("models", "list"),
        ("evaluate", code, "--model", tiny_model, "--json"),
        ("doctor", "--model", tiny_model),
    ):
        done = _foretype(*arguments, home=tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
        assert done.stdout


def test_training_says_what_to_install(tmp_path: Path) -> None:
    done = _foretype("train", tmp_path, "--out", tmp_path / "run", home=tmp_path)
    assert done.returncode == 2
    assert "run `pip install '.[train]'`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_picture_says_what_to_install(tmp_path: Path) -> None:
    done = _foretype("evaluate", tmp_path, "--picture", tmp_path / "p.svg", home=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "foretype: a picture needs matplotlib, which is not installed:"
        " run `pip install '.[train]'` where Foretype was cloned\n"
    )
