"""Which files of a project are remembered."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from foretype import project
from foretype_training.corpus import read_corpus


def _write(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_java", ".java")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_texts_of_one_ending_below_a_folder(tmp_path: Path) -> None:
    _write(tmp_path, src__A_java="class A {}", B_java="class B {}", notes="text")
    _write(tmp_path, **{".hidden__C_java": "class C {}", ".D_java": "class D {}"})
    files = project.read(tmp_path, ".java")
    assert files.texts == {"B.java": "class B {}", "src/A.java": "class A {}"}
    assert files.left_out == 0
    assert list(project.read(tmp_path, ".java", without=tmp_path / "B.java").texts) == [
        "src/A.java"
    ]


def test_what_is_not_fit_is_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(project, "MAX_BYTES", 150)
    _write(tmp_path, A_java="x" * 90, B_java="x" * 101, C_java="a\0b", F_java="y" * 70)
    (tmp_path / "D.java").write_bytes(b"\xff\xfe")
    (tmp_path / "E.java").symlink_to(tmp_path / "A.java")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "G.java")
    files = project.read(tmp_path, ".java")
    assert list(files.texts) == ["F.java"]  # of two that do not fit together the larger leaves
    assert files.left_out == 6


def test_of_more_than_fit_the_largest_leave_first_and_then_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "MAX_BYTES", 3200)
    sizes = {"A.java": 90, "B.java": 1500, "C.java": 80}
    sizes |= {f"{number:02}.java": 90 for number in range(30)}
    for age, (name, size) in enumerate(sizes.items()):
        (tmp_path / name).write_text("x" * size)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    files = project.read(tmp_path, ".java")
    assert set(sizes) - set(files.texts) == {"B.java"}
    monkeypatch.setattr(project, "MAX_BYTES", 2950)
    files = project.read(tmp_path, ".java")
    assert set(sizes) - set(files.texts) == {"B.java", "29.java", "28.java"}
    assert files.left_out == 3


@pytest.mark.parametrize("broken", ["index", "config"])
def test_where_git_cannot_say_what_is_ignored_nothing_is_read(tmp_path: Path, broken: str) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    _write(tmp_path, A_java="class A {}", build__B_java="class B {}")
    (tmp_path / ".gitignore").write_text("build/\n")
    (tmp_path / ".git" / broken).write_text("[nonsense")
    files = project.read(tmp_path, ".java")
    assert not files.texts
    assert files.problem.startswith("git, which knows what is ignored there, says: ")
    assert not project.takes(tmp_path, "A.java")
    assert project.read_again(tmp_path, ["A.java"]) == {}


def test_without_git_nothing_is_read_of_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, A_java="class A {}")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(project.read(tmp_path, ".java").texts) == ["A.java"]
    (tmp_path / ".git").mkdir()
    files = project.read(tmp_path, ".java")
    assert not files.texts
    assert "is not installed" in files.problem


def test_in_a_repository_what_git_ignores_is_not_read(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    _write(tmp_path, A_java="class A {}", build__B_java="class B {}", new__C_java="class C {}")
    (tmp_path / ".gitignore").write_text("build/\n")
    subprocess.run(["git", "-C", tmp_path, "add", "A.java"], check=True)
    assert list(project.read(tmp_path, ".java").texts) == ["A.java", "new/C.java"]
    (tmp_path / "A.java").unlink()  # tracked, and gone
    files = project.read(tmp_path, ".java")
    assert (list(files.texts), files.left_out) == (["new/C.java"], 1)


@pytest.mark.parametrize(
    "name",
    [
        *(".env", ".env.local", "prod.env", "server.pem", "Server.PEM", "id_rsa"),
        *("id_ed25519.pub", "release.keystore", ".npmrc", ".netrc", "credentials.json"),
        *("secrets.yaml", "secret", ".envrc", ".env-prod", "application-secrets.yml"),
        *("secrets.prod.json", "service-account-zoo.json", "keystore.properties", "key.asc"),
    ],
)
def test_files_for_secrets_are_not_read_even_where_they_are_tracked(
    tmp_path: Path, name: str
) -> None:
    assert project.is_for_secrets(name)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for path in (tmp_path / name, tmp_path / "A.java"):
        path.write_text("TOKEN=x")
    subprocess.run(["git", "-C", tmp_path, "add", "--force", "."], check=True)
    assert list(project.read(tmp_path, "").texts) == ["A.java"]
    assert not project.takes(tmp_path, name)
    assert not project.takes(tmp_path, f"config/{name}")


def test_reading_a_strangers_repository_runs_none_of_its_programs(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    _write(tmp_path, A_java="class A {}")
    program = tmp_path / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    program.chmod(0o755)
    settings = ["git", "-C", tmp_path, "config", "core.fsmonitor", program]
    subprocess.run(settings, check=True)
    assert list(project.read(tmp_path, ".java").texts) == ["A.java"]
    assert [file.path for file in read_corpus([tmp_path], ["*.java"]).files] == ["A.java"]
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("name", ["Env.java", "Secrets.java", "Key.java", "env.py", "keys.txt"])
def test_code_about_secrets_is_read(name: str) -> None:
    assert not project.is_for_secrets(name)


def test_a_saved_file_is_taken_where_it_would_be_read(tmp_path: Path) -> None:
    hidden, repository = tmp_path / "folder", tmp_path / "repository"
    subprocess.run(["git", "init", "-q", repository], check=True)
    _write(hidden, **{"A_java": "", ".B_java": "", ".x__C_java": ""})
    assert [project.takes(hidden, n) for n in ("A.java", ".B.java", ".x/C.java")] == [1, 0, 0]
    _write(repository, A_java="", build__B_java="", build__C_java="", **{"[A]_java": ""})
    (repository / ".gitignore").write_text("build/\nout/\n[[]A[]].java\n")
    subprocess.run(["git", "-C", repository, "add", "--force", "build/B.java"], check=True)
    names = ["A.java", "build/B.java", "build/C.java", "[A].java"]
    assert [name for name in names if project.takes(repository, name)] == names[:2]
    assert set(project.read(repository, ".java").texts) == set(names[:2])
    # A repository around a folder that ignores all of it says nothing of the files there.
    _write(repository, out__D_java="")
    assert project.takes(repository / "out", "D.java")


def test_files_are_read_again_as_they_would_be_read_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "_MAX_ARGUMENTS", 2)
    root = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", root], check=True)
    _write(root, A_java="a", B_java="b", src__C_java="c", build__D_java="d")
    (root / ".gitignore").write_text("build/\n")
    (root / ".env").write_text("TOKEN=x")
    (root / "Link.java").symlink_to(root / "A.java")
    (root / "Binary.java").write_bytes(b"\0")
    names = ["B.java", "src/C.java", "build/D.java", ".env", "Link.java", "Binary.java", "E.java"]
    texts = {"B.java": "b", "src/C.java": "c"}
    not_to_be_read = dict.fromkeys(["build/D.java", ".env", "E.java"])
    # What is there and not fit stays as it was.
    assert project.read_again(root, names) == texts | not_to_be_read
    assert project.read_again(root, []) == {}
    # Nor is anything said of what git says nothing of.
    _write(tmp_path, Other_java="x")
    assert project.read_again(root, ["../Other.java", "A.java"]) == {}
    monkeypatch.setattr(project, "MAX_BYTES", 1)
    assert project.read_again(root, ["A.java", "B.java", "E.java"]) == {
        "A.java": "a",
        "E.java": None,
    }


def test_a_large_tree_ends_and_reading_can_be_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.java").write_text("x")
    monkeypatch.setattr(project, "MAX_FILES", 7)
    files = project.read(tmp_path, ".java")
    assert (len(files.texts), files.left_out) == (7, 13)
    (tmp_path / "00.txt").write_text("x")
    assert len(project.read(tmp_path, ".txt").texts) == 1
    answers = iter([True] * 23 + [False] * 2)
    assert len(project.read(tmp_path, ".java", wanted=lambda: next(answers)).texts) == 2


def test_the_root_is_the_repository_around_a_file(tmp_path: Path) -> None:
    _write(tmp_path, src__A_java="class A {}")
    assert project.root_of(tmp_path / "src" / "A.java") is None
    (tmp_path / ".git").mkdir()
    assert project.root_of(tmp_path / "src" / "A.java") == tmp_path.resolve()


def test_without_a_repository_the_project_is_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, here__src__A_java="class A {}", home__A_java="class A {}")
    file, here = tmp_path / "here" / "src" / "A.java", tmp_path / "here"
    assert project.around(file, here) == here.resolve()
    assert project.around(file, tmp_path / "home") is None
    monkeypatch.setattr(Path, "home", lambda: (tmp_path / "home").resolve())
    assert project.around(tmp_path / "home" / "A.java", tmp_path / "home") is None
    assert project.around(file, Path("/")) is None
    (tmp_path / ".git").mkdir()
    assert project.around(file, here) == tmp_path.resolve()


def test_a_folder_that_a_repository_around_it_ignores_is_read_as_a_folder(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("*\n")
    _write(tmp_path, build__zoo__A_java="class A {}")
    assert list(project.read(tmp_path / "build" / "zoo", ".java").texts) == ["A.java"]
    assert not project.read(tmp_path, ".java").texts
