"""From paths to the files a network is trained on: reading, filtering, splitting."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from datasketch import MinHash, MinHashLSH
from pathspec import GitIgnoreSpec

from foretype_models import alphabet
from foretype_training.errors import InputError

MAX_FILE_BYTES = 1_000_000
MINIFIED_LINE_BYTES = 400
"""Mean length of a line above which a file was not written by hand."""
NEAR_DUPLICATE = 0.85
"""Jaccard similarity of two files' shingles above which one of them is left out."""

_GENERATED = re.compile(
    rb"@generated|\\bauto-?generated\\b|(?:code|file) (?:is |was )?generated (?:by|from)|do not edit",
    re.IGNORECASE,
)
_TOKEN = re.compile(rb"\w+|[^\w\s]")


@dataclass(frozen=True)
class SourceFile:
    """A text with its path relative to the folder or repository it came from."""

    path: str
    text: bytes

    @property
    def sha1(self) -> int:
        """Of the path: decides the split, so that it stays the same on every machine."""
        return int(hashlib.sha1(self.path.encode()).hexdigest(), 16)


@dataclass(frozen=True)
class Corpus:
    """The files that were kept, in path order, and how many were left out for what."""

    files: list[SourceFile]
    skipped: Counter[str] = field(default_factory=Counter[str])

    @property
    def characters(self) -> int:
        return sum(len(file.text) for file in self.files)

    def sha256(self) -> str:
        """One hash over all paths and texts: names the data in a model card."""
        total = hashlib.sha256()
        for file in self.files:
            total.update(f"{file.path}\0{len(file.text)}\0".encode())
            total.update(file.text)
        return total.hexdigest()


@dataclass(frozen=True)
class Split:
    """Training, validation (chooses when to stop) and held-out files (reported, never used)."""

    training: list[SourceFile]
    validation: list[SourceFile]
    held_out: list[SourceFile]
    near_duplicates: int = 0  # left out of training


def read_corpus(
    paths: Sequence[Path], include: Sequence[str] = (), progress: Callable[[int], None] | None = None
) -> Corpus:
    """Reads files, folders and git repositories.

    In a git repository its tracked files are read, elsewhere all files that no
    .gitignore names. `include` are globs on the path or the name; without any, every
    text is taken. `progress` is told the number of files looked at.

    Raises InputError if a path does not exist, cannot be read, or nothing is left.
    """
    skipped: Counter[str] = Counter()
    files: dict[str, SourceFile] = {}
    seen: set[bytes] = set()
    looked_at = 0
    for path, root in _walk(paths):
        looked_at += 1
        if progress is not None:
            progress(looked_at)
        name = path.relative_to(root).as_posix()
        if include and not any(PurePosixPath(name).match(glob) for glob in include):
            continue
        try:
            text = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else None
        except OSError as error:
            if path in paths:
                raise InputError(f"cannot read {path}: {error.strerror}") from error
            skipped["unreadable"] += 1
            continue
        reason = "oversized" if text is None else _unfit(text)
        if text is None or reason is not None:
            skipped[reason or "oversized"] += 1
            continue
        digest = hashlib.sha256(b" ".join(text.split())).digest()
        if digest in seen:
            skipped["exact duplicate"] += 1
            continue
        seen.add(digest)
        # Two roots may hold the same relative path: keep both, told apart by their root.
        files.setdefault(name if name not in files else f"{root.name}/{name}", SourceFile(name, text))
    if not files:
        raise InputError(_nothing_left(paths, include, looked_at, skipped))
    return Corpus(sorted(files.values(), key=lambda file: file.path), skipped)


def _walk(paths: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Every file below `paths`, with the folder its path is relative to."""
    for path in paths:
        if path.is_file():
            yield path, path.parent
        elif path.is_dir():
            tracked = _git_files(path)
            names = _unignored_files(path) if tracked is None else tracked
            yield from ((path / name, path) for name in sorted(names))
        else:
            raise InputError(f"no such file or folder: {path}")


def _git_files(folder: Path) -> list[str] | None:
    """The tracked files below a folder, or None where it is not part of a repository."""
    try:
        listing = subprocess.run(
            ["git", "-C", str(folder), "ls-files", "-z"], capture_output=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    names = [os.fsdecode(name) for name in listing.split(b"\0") if name]
    # A folder that a repository around it ignores or has not yet added is read as a folder.
    return [n for n in names if (folder / n).is_file() and not (folder / n).is_symlink()] or None


def _unignored_files(folder: Path) -> Iterator[str]:
    """The files below a folder, less hidden ones and what its .gitignore files name."""
    ignores: dict[Path, GitIgnoreSpec] = {}
    for current, folders, names in os.walk(folder):
        here = Path(current)
        if ".gitignore" in names:
            lines = (here / ".gitignore").read_text(errors="replace").splitlines()
            ignores[here] = GitIgnoreSpec.from_lines(lines)

        def ignored(path: Path, suffix: str = "") -> bool:
            return any(
                spec.match_file(path.relative_to(base).as_posix() + suffix)
                for base, spec in ignores.items()
                if path.is_relative_to(base)
            )

        folders[:] = sorted(f for f in folders if f[0] != "." and not ignored(here / f, "/"))
        for name in names:
            path = here / name
            if name[0] != "." and not path.is_symlink() and not ignored(path):
                yield path.relative_to(folder).as_posix()


def _unfit(text: bytes) -> str | None:
    """Why a text is not worth learning from, or None."""
    if not text.strip():
        return "empty"
    if b"\0" in text:
        return "binary"
    try:
        text.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    if _GENERATED.search(text[:2000]):
        return "generated"
    if len(text) / (text.count(b"\n") + 1) > MINIFIED_LINE_BYTES:
        return "minified"
    return None


def _nothing_left(
    paths: Sequence[Path], include: Sequence[str], looked_at: int, skipped: Counter[str]
) -> str:
    where = ", ".join(map(str, paths))
    if not looked_at:
        return f"there are no files in {where}"
    if not skipped:
        return f"none of the {looked_at} files in {where} matches {', '.join(include)}"
    reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.most_common())
    return f"no usable file in {where}: {reasons}"


def split(files: Sequence[SourceFile]) -> Split:
    """Splits by file: a tenth is held out, a twentieth chooses when to stop, the rest trains.

    A file is held out when the SHA-1 of its path is divisible by ten, so the split does
    not depend on the machine, the order or the other files. Where that leaves a part
    empty, the files with the smallest hashes fill it; a single file is cut in three.
    Near-duplicates of other parts leave the training part, and so do near-duplicates
    within it.
    """
    if len(files) < 3:
        files = [part for file in files for part in _cut_in_three(file)]
        training, validation, held_out = files[0::3], files[1::3], files[2::3]
        return Split(training, validation, held_out)
    held_out = [file for file in files if file.sha1 % 10 == 0]
    validation = [file for file in files if file.sha1 % 20 == 1]
    rest = sorted((f for f in files if f not in held_out and f not in validation), key=_by_hash)
    for part in (held_out, validation):
        if not part:
            part.append(rest.pop(0))
    if not rest:
        rest.append(max((held_out, validation), key=len).pop())
    training = _without_near_duplicates(rest, of=[*held_out, *validation])
    return Split(training or rest, validation, held_out, len(rest) - len(training or rest))


def _by_hash(file: SourceFile) -> int:
    return file.sha1


def _cut_in_three(file: SourceFile) -> list[SourceFile]:
    """The first eight tenths of a text, the next and the last, cut at ends of lines."""
    first, second = (
        file.text.find(b"\n", len(file.text) * tenths // 10) + 1 or len(file.text)
        for tenths in (8, 9)
    )
    parts = file.text[:first], file.text[first:second], file.text[second:]
    if not all(parts):
        raise InputError(f"{file.path} is too short to hold a part of it out; give more text")
    return [SourceFile(file.path, part) for part in parts]


def _without_near_duplicates(
    files: Iterable[SourceFile], of: Sequence[SourceFile]
) -> list[SourceFile]:
    """`files` in path order without those that nearly equal an earlier one, or one in `of`."""
    index = MinHashLSH(threshold=NEAR_DUPLICATE, num_perm=64)
    for number, file in enumerate(of):
        index.insert(f"of {number}", _min_hash(file.text))
    kept: list[SourceFile] = []
    for number, file in enumerate(sorted(files, key=lambda file: file.path)):
        signature = _min_hash(file.text)
        if not index.query(signature):
            index.insert(f"file {number}", signature)
            kept.append(file)
    return kept


def _min_hash(text: bytes) -> MinHash:
    """The sketch of a file's shingles of five tokens (Broder 1997)."""
    tokens = _TOKEN.findall(text)
    shingles = {b" ".join(tokens[i : i + 5]) for i in range(max(1, len(tokens) - 4))}
    sketch = MinHash(num_perm=64, seed=1)
    sketch.update_batch(sorted(shingles))
    return sketch


def symbols(files: Iterable[SourceFile]) -> list[alphabet.Symbols]:
    """Each file as the network reads it."""
    return [alphabet.encode_file(file.path, file.text) for file in files]
