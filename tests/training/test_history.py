"""Files that are held out because a repository's history added them late."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_training.corpus import SourceFile, read_corpus, split
from foretype_training.errors import InputError
from foretype_training.history import added_since, point_in_time, rule


def _git(folder: Path, *arguments: str | Path, at: str = "2020-01-01") -> None:
    own = {"GIT_COMMITTER_DATE": f"{at}T12:00:00", "GIT_AUTHOR_DATE": "2001-01-01T12:00:00"}
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    command = ["git", "-C", folder, *who, *arguments]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **own})


def _commit(folder: Path, at: str, **texts: str) -> None:
    """Writes files by their paths, in which `__` stands for a slash and `_` for a full stop."""
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _git(folder, "add", "--all")
    _git(folder, "commit", "-m", at, at=at)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With files of three days."""
    folder = tmp_path / "repository"
    folder.mkdir()
    _git(folder, "init")
    _commit(folder, "2020-01-01", a__A_java="class A {}\n", a__B_java="class B {}\n")
    _commit(folder, "2020-02-01", a__C_java="class C {}\n", d_txt="what is new\n")
    _commit(folder, "2020-03-01", a__B_java="class B { int b; }\n", a__ü_java="class U {}\n")
    return folder


def _added(folder: Path, since: str) -> list[str]:
    read = read_corpus([folder]).files
    return [file.path for file in added_since([folder], read, datetime.fromisoformat(since))]


def test_what_a_commit_added_at_that_time_or_later_is_held_out(repository: Path) -> None:
    assert _added(repository, "2020-02-15") == ["a/ü.java"]
    assert _added(repository, "2020-02-01T12:00:00") == ["a/C.java", "a/ü.java", "d.txt"]
    assert _added(repository, "2020-02-01T12:00:01") == ["a/ü.java"]
    assert _added(repository / "a", "2020-02-01") == ["C.java", "ü.java"]


def test_a_renamed_file_was_added_anew_and_so_was_one_that_came_back(repository: Path) -> None:
    _git(repository, "mv", "a/A.java", "a/Z.java")
    _git(repository, "rm", "-q", "d.txt")
    _commit(repository, "2020-04-01")
    _commit(repository, "2020-05-01", d_txt="what is new\n")
    assert _added(repository, "2020-04-01") == ["a/Z.java", "d.txt"]


def test_the_first_commit_adds_whatever_git_is_told_to_show(repository: Path) -> None:
    _git(repository, "config", "log.showRoot", "false")
    _git(repository, "config", "log.showSignature", "true")
    with pytest.raises(InputError, match="of 5 files that were read 0 are older than 2019"):
        _added(repository, "2019-12-31")


def test_a_time_is_written_in_full() -> None:
    assert point_in_time("2020-02-01") == datetime(2020, 2, 1)
    assert point_in_time("2020-02-01T23:59:58") == datetime(2020, 2, 1, 23, 59, 58)
    for text in ("yesterday", "2020", "2020-13-01", "01.02.2020", "2020-02-01 12:00", ""):
        with pytest.raises(InputError, match=f"'{text}' is not a date: write it as 2025-12-31, or"):
            point_in_time(text)


def test_paths_are_told_apart_by_their_projects(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    _git(other, "init")
    _commit(other, "2020-06-01", A_java="class Other {}\n", B_java="class OtherB {}\n")
    paths = [repository / "a", other, repository / "d.txt"]
    read = read_corpus(paths).files
    added = added_since(paths, read, datetime(2020, 2, 15))
    assert {(file.project, file.path) for file in added} == {
        *((0, "ü.java"), (1, "A.java"), (1, "B.java"))
    }


def test_what_cannot_be_told_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file that was read was added since 2020-03-02"):
        _added(repository, "2020-03-02")
    (repository / "a" / "A.java").unlink()
    with pytest.raises(InputError, match="of 4 files that were read 1 is older than 2020-01-02"):
        _added(repository, "2020-01-02")
    plain = tmp_path / "plain"
    shutil.copytree(repository / "a", plain)
    with pytest.raises(InputError, match=r"plain has no history .* 'fatal: not a git repository"):
        _added(plain, "2020-01-02")
    _git(plain, "init")
    with pytest.raises(InputError, match="does not have any commits yet"):
        _added(plain, "2020-01-02")


def test_a_shallow_clone_must_know_what_was_there_before(repository: Path, tmp_path: Path) -> None:
    def cloned(depth: int) -> Path:
        folder = tmp_path / f"clone{depth}"
        source = f"file://{repository}"
        _git(tmp_path, "clone", "--depth", str(depth), source, folder)
        return folder

    two = cloned(2)
    assert _added(two, "2020-02-15") == _added(repository, "2020-02-15")
    with pytest.raises(InputError, match="begins on 2020-02-01 12:00:00, not before 2020-02-01 00"):
        _added(two, "2020-02-01")
    with pytest.raises(InputError, match=r"run `git -C \S+clone1 fetch --unshallow`"):
        _added(cloned(1), "2020-02-15")


def test_the_rule_names_the_time_with_its_zone() -> None:
    since = datetime(2020, 2, 1)
    offset = since.astimezone().isoformat().removeprefix("2020-02-01T00:00:00")
    assert offset
    assert rule(since) == f"by history: held out what was added since 2020-02-01T00:00:00{offset}"


@given(st.data())
def test_all_that_is_chosen_is_held_out_and_nothing_else(data: st.DataObject) -> None:
    names = st.lists(st.integers(0, 10_000), min_size=3, max_size=30, unique=True)
    files = [
        SourceFile(f"f{n}", "".join(f"int f{n}x{k} = {k};\n" for k in range(20)).encode())
        for n in data.draw(names)
    ]
    count = data.draw(st.integers(1, len(files) - 2))
    chosen = data.draw(st.permutations(files))[:count]
    parts = split(files, chosen)
    assert {file.path for file in parts.held_out} == {file.path for file in chosen}
    assert parts.training
    assert parts.validation
    together = [*parts.training, *parts.validation, *parts.held_out]
    assert sorted(file.path for file in together) == sorted(file.path for file in files)


def test_near_copies_of_what_is_chosen_are_not_trained_on() -> None:
    files = [
        SourceFile(f"f{n}", "".join(f"int f{n}x{k} = {k};\n" for k in range(20)).encode())
        for n in range(10)
    ]
    moved = SourceFile("moved", files[3].text + b"// moved\n")
    [original] = [file for file in split(files, [files[0]]).training if file == files[3]]
    parts = split([*files, moved], [moved])
    assert parts.held_out == [moved]
    assert original not in parts.training
    assert parts.near_duplicates == 1
