"""What is read of a folder or a repository, and what is left out and counted."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path
from random import Random
from string import ascii_uppercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_training import corpus, duplicates
from foretype_training.corpus import MAX_FILE_BYTES, Corpus, SourceFile, read_corpus, split
from foretype_training.errors import InputError

JAVA = (Path(__file__).parent / "Inventory.java").read_text()


def _write(folder: Path, **texts: str | bytes) -> Path:
    """Files by their paths, in which `__` stands for a slash and `_` for a full stop."""
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)


def _paths(read: Corpus) -> list[str]:
    return [file.path for file in read.files]


def test_a_folder_is_read_in_path_order_with_paths_relative_to_it(tmp_path: Path) -> None:
    _write(tmp_path, b__B_java="class B {}\n", a__A_java="class A {}\n", C_java="class C {}\n")
    read = read_corpus([tmp_path])
    assert _paths(read) == ["C.java", "a/A.java", "b/B.java"]
    assert read.files[1] == SourceFile("a/A.java", b"class A {}\n")
    assert read.characters == 33
    assert not read.skipped


def test_a_single_file_is_named_without_its_folder(tmp_path: Path) -> None:
    _write(tmp_path, a__A_java="class A {}\n")
    assert _paths(read_corpus([tmp_path / "a" / "A.java"])) == ["A.java"]


def test_of_a_git_repository_only_tracked_files_are_read(tmp_path: Path) -> None:
    _write(tmp_path, src__A_java="class A {}\n", _gitignore="*.log\n", new_java="class New {}\n")
    _write(tmp_path, forced_log="kept by hand\n", gone_java="class Gone {}\n", other_log="no\n")
    _git(tmp_path, "init")
    _git(tmp_path, "add", "--force", "src", ".gitignore", "forced.log", "gone.java")
    (tmp_path / "gone.java").unlink()
    assert _paths(read_corpus([tmp_path])) == [".gitignore", "forced.log", "src/A.java"]
    assert _paths(read_corpus([tmp_path / "src"])) == ["A.java"]


def test_a_repository_that_tracks_nothing_yet_is_read_as_a_folder(tmp_path: Path) -> None:
    _write(tmp_path, A_java="class A {}\n", b_log="no\n", _gitignore="*.log\n")
    _git(tmp_path, "init")
    assert _paths(read_corpus([tmp_path])) == ["A.java"]


def test_a_gitignore_is_honoured_without_git_too(tmp_path: Path) -> None:
    _write(tmp_path, _gitignore="build/\n*.log\n!keep.log\n/top.txt\n")
    _write(tmp_path, build__A_java="x 1", src__build__B_java="x 2", src__C_java="x 3")
    _write(tmp_path, a_log="x 4", keep_log="x 5", top_txt="x 6", src__top_txt="x 7")
    assert _paths(read_corpus([tmp_path])) == ["keep.log", "src/C.java", "src/top.txt"]


def test_the_nearest_gitignore_decides(tmp_path: Path) -> None:
    _write(tmp_path, _gitignore="*.log\n", a_log="x 1", sub__b_log="x 2", sub__c_txt="x 3")
    _write(tmp_path, sub___gitignore="!b.log\nc.txt\n", sub__deep__b_log="x 4", c_txt="x 5")
    assert _paths(read_corpus([tmp_path])) == ["c.txt", "sub/b.log", "sub/deep/b.log"]


def test_hidden_files_and_links_of_a_folder_are_left_alone(tmp_path: Path) -> None:
    folder = _write(tmp_path / "folder", A_java="x 1", _env="SECRET=1", _idea__b_xml="x 2")
    _write(tmp_path, outside__B_java="x 3")
    (folder / "link.java").symlink_to(tmp_path / "outside" / "B.java")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling").symlink_to(tmp_path / "none")
    os.mkfifo(folder / "pipe")
    assert _paths(read_corpus([folder])) == ["A.java"]


def test_tracked_links_are_not_followed(tmp_path: Path) -> None:
    repository = _write(tmp_path / "repository", A_java="x 1")
    _write(tmp_path, secret_txt="x 2")
    (repository / "link.txt").symlink_to(tmp_path / "secret.txt")
    _git(repository, "init")
    _git(repository, "add", ".")
    assert _paths(read_corpus([repository])) == ["A.java"]


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["*.java"], ["A.java", "src/B.java", "src/x/C.java", "src/x/MyC.java"]),
        (["**/*.java"], ["A.java", "src/B.java", "src/x/C.java", "src/x/MyC.java"]),
        (["src/*.java"], ["src/B.java", "src/x/C.java", "src/x/MyC.java"]),
        (["src/**/C.java"], ["src/x/C.java"]),
        (["src/**/B.java"], ["src/B.java"]),
        (["**/x/**/C.java"], ["src/x/C.java"]),
        (["B.*", "*.md"], ["notes.md", "src/B.java"]),
    ],
)
def test_include_globs_are_on_the_name_or_with_a_slash_on_the_path(
    tmp_path: Path, globs: list[str], expected: list[str]
) -> None:
    _write(tmp_path, A_java="x 1", src__B_java="x 2", src__x__C_java="x 3", notes_md="x 4")
    _write(tmp_path, src__x__MyC_java="x 5")
    assert _paths(read_corpus([tmp_path], globs)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\x7fELF\0\0", "binary"),
        ("gr\xf6\xdfe".encode("latin-1"), "not UTF-8"),
        (b"// Generated by the protocol buffer compiler.  DO NOT EDIT!\nclass A {}\n", "generated"),
        (b"/** @generated */\nclass A {}\n", "generated"),
        (b"// This file was generated from Java.g4\nclass A {}\n", "generated"),
        (b"function a(){};" * 100, "minified"),
        (b"x\n" * (MAX_FILE_BYTES // 2 + 1), "oversized"),
    ],
)
def test_what_was_not_written_by_hand_is_left_out_and_counted(
    tmp_path: Path, text: bytes, reason: str
) -> None:
    _write(tmp_path, A_java="class A {}\n", other=text)
    read = read_corpus([tmp_path])
    assert _paths(read) == ["A.java"]
    assert read.skipped == Counter({reason: 1})


def test_a_note_far_down_or_a_generator_is_not_a_generated_file(tmp_path: Path) -> None:
    _write(tmp_path, A_java=f"{JAVA}{JAVA}// do not edit\n")
    _write(tmp_path, B_java="/** Generates codes by hand. */\nclass Generated {}\n")
    assert not read_corpus([tmp_path]).skipped


def test_copies_count_once_whatever_their_line_ends(tmp_path: Path) -> None:
    _write(tmp_path, a__A_java=JAVA, b__A_java=JAVA.replace("\n", "\r\n"), c__A_java=JAVA + "\n")
    read = read_corpus([tmp_path])
    assert _paths(read) == ["a/A.java"]
    assert read.skipped == Counter({"exact duplicate": 2})
    assert read_corpus([tmp_path, tmp_path / "b"]).skipped == Counter({"exact duplicate": 3})


def test_names_that_are_not_utf8_are_left_out(tmp_path: Path) -> None:
    _write(tmp_path, A_java="class A {}\n")
    (tmp_path / os.fsdecode(b"gr\xf6sse.java")).write_text("class B {}\n")
    assert read_corpus([tmp_path]).skipped == Counter({"name not UTF-8": 1})


def test_what_lies_below_the_runs_own_folder_is_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, A_java="x 1", run__report_md="x 2", run2__B_java="x 3")
    assert _paths(read_corpus([tmp_path], without=tmp_path / "run")) == ["A.java", "run2/B.java"]


def test_a_file_that_cannot_be_read_is_counted_unless_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, A_java="class A {}\n", locked_java="class B {}\n")
    read_bytes = Path.read_bytes

    def guarded(self: Path) -> bytes:
        if self.name == "locked.java":
            raise PermissionError(13, "Permission denied")
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", guarded)
    assert read_corpus([tmp_path]).skipped == Counter({"unreadable": 1})
    with pytest.raises(InputError) as raised:
        read_corpus([tmp_path / "locked.java"])
    assert str(raised.value) == f"cannot read {tmp_path / 'locked.java'}: Permission denied"


def test_nothing_to_read_says_what_was_found_instead(tmp_path: Path) -> None:
    def refusal(*include: str) -> str:
        with pytest.raises(InputError) as raised:
            read_corpus([tmp_path / "in"], include)
        return str(raised.value)

    place = tmp_path / "in"
    assert refusal() == f"no such file or folder: {place}"
    place.mkdir()
    assert refusal() == f"there are no files in {place}"
    _write(place, a_md="x", b_md="y")
    assert refusal("*.java", "*.kt") == f"none of the 2 files in {place} matches *.java, *.kt"
    _write(place, C_java=b"\0", D_java=b"\0\0", E_java="")
    assert refusal("*.java") == f"no usable file in {place}: 2 binary, 1 empty"


def test_what_is_read_to_learn_from_is_without_secrets(tmp_path: Path) -> None:
    secret = 'class B {\n    String password = "correct horse";\n}\n'
    allowed = secret.replace(";", "; // pragma: allowlist secret").replace("B", "C")
    _write(tmp_path, A_java="class A {}\n", b__B_java=secret, C_java=allowed, d__id_rsa="x")
    (tmp_path / "d" / "id.rsa").rename(tmp_path / "d" / "id_rsa")
    read = read_corpus([tmp_path], to_learn=True)
    assert _paths(read) == ["A.java", "C.java"]
    assert read.skipped == Counter({"with a secret": 2})
    assert read.secrets == {
        tmp_path / "b" / "B.java": {"Secret Keyword": [2]},
        tmp_path / "d" / "id_rsa": {"File for Secrets": []},
    }
    assert _paths(read_corpus([tmp_path])) == ["A.java", "C.java", "b/B.java", "d/id_rsa"]


def test_the_hash_names_the_data(tmp_path: Path) -> None:
    def digest(*files: tuple[str, bytes]) -> str:
        return Corpus([SourceFile(*file) for file in files]).sha256()

    hashes = {
        digest(("a", b"xy"), ("b", b"z")),
        digest(("a", b"x"), ("b", b"yz")),
        digest(("a", b"xy"), ("c", b"z")),
        digest(("a", b"xyb"), ("", b"z")),
        digest(("a", b"xy")),
    }
    assert len(hashes) == 5
    assert digest(("a", b"xy"), ("b", b"z")) in hashes


def test_near_copies_are_told_from_relatives() -> None:
    renamed = JAVA.replace("LOW", "FEW")
    licensed = f"// Licensed to somebody\n{JAVA}"
    different = "\n".join(f"int sum{n} = {n} + other{n * n};" for n in range(100))
    texts = [text.encode() for text in (JAVA, renamed, different, licensed)]
    assert duplicates.first_of_each(texts, known=[]) == [0, 2]
    assert duplicates.first_of_each(texts, known=[renamed.encode()]) == [2]
    assert duplicates.first_of_each([b"", b"a b"], known=[]) == [0, 1]


def _files(paths: list[str]) -> list[SourceFile]:
    """Files that have nothing in common but the language."""
    return [
        SourceFile(path, "".join(f"int {path}{n} = {n};\n" for n in range(20)).encode())
        for path in paths
    ]


def test_a_file_is_held_out_by_the_hash_of_its_path_alone() -> None:
    """The same on each machine and in each corpus, so these answers never change."""
    files = [SourceFile(f"src/{letter}.java", b"") for letter in ascii_uppercase]
    assert [file.path for file in files if file.is_held_out] == ["src/Q.java", "src/T.java"]


names = st.lists(st.integers(0, 10_000).map("f{}".format), min_size=3, max_size=40, unique=True)


@given(names)
def test_every_file_is_in_one_part_and_no_part_is_empty(paths: list[str]) -> None:
    files = _files(paths)
    parts = split(files)
    together = [*parts.training, *parts.validation, *parts.held_out]
    assert sorted(f.path for f in together) == sorted(paths)
    assert parts.near_duplicates == 0
    assert parts.training
    assert parts.validation
    assert parts.held_out


@given(names, st.randoms(use_true_random=False))
def test_no_held_out_file_is_trained_on_and_the_order_does_not_matter(
    paths: list[str], random: Random
) -> None:
    files = _files(paths)
    parts = split(files)
    held_out = [file for file in files if file.is_held_out]
    if 0 < len(held_out) < len(files) - 1:
        assert sorted(f.path for f in parts.held_out) == sorted(f.path for f in held_out)
    shuffled = sorted(files, key=lambda file: random.random())
    assert {f.path for f in split(shuffled).held_out} == {f.path for f in parts.held_out}
    assert split(shuffled).training == parts.training


def test_near_copies_of_held_out_files_are_not_trained_on() -> None:
    files = _files([f"f{n}" for n in range(40)])
    parts = split(files)
    copy = SourceFile("copy", parts.held_out[0].text + b"// the end\n")
    assert not copy.is_held_out
    again = split([*files, copy])
    assert copy not in again.training
    assert again.near_duplicates == 1
    assert again.held_out == parts.held_out


def test_one_or_two_files_are_cut_at_ends_of_lines() -> None:
    file = SourceFile("A.java", JAVA.encode())
    parts = split([file])
    pieces = [parts.training, parts.validation, parts.held_out]
    assert [len(piece) for piece in pieces] == [1, 1, 1]
    texts = [piece[0].text for piece in pieces]
    assert b"".join(texts) == file.text
    assert all(text.endswith(b"\n") for text in texts)
    assert len(texts[0]) > 0.75 * len(file.text)
    assert "cut in three" in parts.rule
    assert len(split([file, SourceFile("B.java", file.text[::-1])]).training) == 2


def test_a_text_too_short_to_be_cut_is_refused() -> None:
    with pytest.raises(InputError, match=r"A\.java is too short to hold a part of it out"):
        split([SourceFile("A.java", b"class A {}\n")])


def test_a_file_is_read_as_its_path_and_text() -> None:
    [symbols] = corpus.symbols([SourceFile("A", b"b")])
    assert symbols.tolist() == [256, ord("A"), 257, ord("b"), 258]
