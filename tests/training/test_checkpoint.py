"""A checkpoint is whole or not there, and one that is damaged says so."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from foretype_training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from foretype_training.errors import InputError, TrainingError
from foretype_training.writing import write_atomically

ONE = Checkpoint({"network.a": torch.arange(6.0).reshape(2, 3)}, {"step": 1, "none": None})
TWO = Checkpoint({"network.a": torch.ones(1000)}, {"step": 2})


def test_it_holds_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    save_checkpoint(path, ONE)
    loaded = load_checkpoint(path)
    assert loaded.progress == ONE.progress
    assert loaded.tensors.keys() == ONE.tensors.keys()
    assert torch.equal(loaded.part("network")["a"], ONE.tensors["network.a"])
    assert loaded.part("net") == {}
    save_checkpoint(path, TWO)
    assert load_checkpoint(path).progress == TWO.progress
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]


def test_a_full_disk_leaves_the_one_before(tmp_path: Path) -> None:
    """The limit on the size of files stands for the disk: the same call fails half-way."""
    path = tmp_path / "checkpoint"
    save_checkpoint(path, ONE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(TrainingError) as raised:
            save_checkpoint(path, TWO)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(raised.value) == f"cannot write {path}: {os.strerror(errno.EFBIG)}"
    assert raised.value.exit_code == 1
    assert load_checkpoint(path).progress == ONE.progress
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot write .*: No such file or directory"):
        write_atomically(tmp_path / "none" / "file", b"data")


def test_none_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        load_checkpoint(tmp_path / "none")
    assert str(raised.value) == f"nothing to resume: there is no {tmp_path / 'none'}"


def test_one_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(save({"a": torch.zeros(1)}, {"format": "0"}))
    with pytest.raises(InputError, match="is not a checkpoint of this version of foretype"):
        load_checkpoint(path)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_one_that_is_cut_short(tmp_path: Path, length: int) -> None:
    path = tmp_path / "checkpoint"
    save_checkpoint(path, ONE)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="is damaged: "):
        load_checkpoint(path)


def test_one_whose_progress_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    for metadata in ({"format": "1"}, {"format": "1", "progress": "{"}):
        path.write_bytes(save({"a": torch.zeros(1)}, metadata))
        with pytest.raises(InputError, match="is damaged: "):
            load_checkpoint(path)
