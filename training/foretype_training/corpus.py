"""From paths to the files a network is trained on: reading, filtering, splitting."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from foretype.project import GIT
from foretype_models import alphabet
from foretype_training.errors import InputError, needs_train_extra

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    from foretype_training.leaks import Found

MAX_FILE_BYTES = 1_000_000
MINIFIED_LINE_BYTES = 400
"""Mean length of a line above which a file was not written by hand."""

VALIDATION_CHARACTERS = 1_000_000

_GENERATED = re.compile(
    rb"@generated|\bauto-?generated\b|\bdo not edit\b"
    rb"|\b(?:code|file) (?:is |was )?generated (?:by|from)\b",
    re.IGNORECASE,
)
_GENERATED_WITHIN = 2000  # bytes: such notes stand at the top


@dataclass(frozen=True)
class SourceFile:
    """A text with its path relative to the folder or repository it came from."""

    path: str
    text: bytes
    project: int = 0  # the number of that folder or repository

    @property
    def sha1(self) -> int:
        """Of the path: decides the split, so that it stays the same on every machine."""
        return int(hashlib.sha1(self.path.encode()).hexdigest(), 16)

    @property
    def is_held_out(self) -> bool:
        """Whether the file belongs to the tenth that no training sees."""
        return self.sha1 % 10 == 0


@dataclass(frozen=True)
class Corpus:
    """The files that were kept, in path order, and how many were left out for what."""

    files: list[SourceFile]
    skipped: Counter[str] = field(default_factory=Counter[str])
    secrets: dict[Path, Found] = field(default_factory=dict[Path, "Found"])
    """What was found in the files that were left out for it."""

    @property
    def characters(self) -> int:
        """In bytes of UTF-8."""
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
    rule: str = "by file: held out where the SHA-1 of its path is divisible by 10"


def read_corpus(
    paths: Sequence[Path],
    include: Sequence[str] = (),
    progress: Callable[[int], None] = lambda looked_at: None,
    without: Path | None = None,
    to_learn: bool = False,
) -> Corpus:
    """Reads files, folders and git repositories.

    In a git repository its tracked files are read, elsewhere all files that no
    .gitignore names. `include` are globs, on the whole path if they hold a slash and on the
    name if not; without any, every text is taken. `progress` is told the number of files
    looked at. What lies below `without` is passed over. What is read `to_learn` from it is
    without the files in which secrets are found.

    Raises InputError if a path does not exist, cannot be read, or nothing is left.
    """
    skipped: Counter[str] = Counter()
    secrets: dict[Path, Found] = {}
    scan = _scan() if to_learn else None
    files: list[SourceFile] = []
    seen: set[bytes] = set()
    looked_at = 0
    passed_over = os.path.realpath(without) + os.sep if without else None
    for path, root, project in _walk(paths):
        if passed_over and os.path.realpath(path).startswith(passed_over):
            continue
        looked_at += 1
        progress(looked_at)
        name = path.relative_to(root).as_posix()
        if include and not any(_matches(name, glob) for glob in include):
            continue
        text, reason = _read(path, given=path in paths)
        if not reason and not _is_utf8(name):
            reason = "name not UTF-8"
        if not reason:
            # White space apart, so that a copy with other line ends counts as one.
            digest = hashlib.sha256(b" ".join(text.split())).digest()
            reason = "exact duplicate" if digest in seen else ""
            seen.add(digest)
        if not reason and scan and (found := scan(name, text)):
            secrets[path] = found
            reason = "with a secret"
        if reason:
            skipped[reason] += 1
        else:
            files.append(SourceFile(name, text, project))
    if not files:
        raise InputError(_nothing_left(paths, include, looked_at, skipped))
    return Corpus(sorted(files, key=lambda file: file.path), skipped, secrets)


def _scan() -> Callable[[str, bytes], Found]:
    with needs_train_extra("looking for secrets"):
        from foretype_training import leaks
    return leaks.secrets


def _matches(name: str, glob: str) -> bool:
    """As in a shell, but that `*` crosses slashes, and `**/` stands for no folder too."""
    before, folders, after = glob.partition("**/")
    if folders:
        return _matches(name, before + after) or _matches(name, f"{before}*/{after}")
    return fnmatchcase(name if "/" in glob else name.rpartition("/")[2], glob)


def _read(path: Path, given: bool) -> tuple[bytes, str]:
    """A file's text, and why it is left out ("" if it is not)."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return b"", "oversized"
        text = path.read_bytes()
    except OSError as error:
        if given:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        return b"", "unreadable"
    return text, _unfit(text)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the surrogates that stand for undecodable bytes
        return False
    return True


def _walk(paths: Sequence[Path]) -> Iterator[tuple[Path, Path, int]]:
    """Every file below `paths`, with the folder its path is relative to, and its number."""
    for number, path in enumerate(paths):
        # Unlike the path's own methods these never raise.
        if os.path.isfile(path):
            yield path, path.parent, number
        elif os.path.isdir(path):
            tracked = _git_files(path)
            names = _unignored_files(path) if tracked is None else tracked
            yield from ((path / name, path, number) for name in sorted(names))
        else:
            raise InputError(f"no such file or folder: {path}")


def _git_files(folder: Path) -> list[str] | None:
    """The tracked files below a folder, or None where it is not part of a repository."""
    try:
        listing = subprocess.run(
            [*GIT, "-C", str(folder), "ls-files", "-z"], capture_output=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    names = [os.fsdecode(name) for name in listing.split(b"\0") if name]
    # A folder that a repository around it ignores or has not yet added is read as a folder.
    return [name for name in names if _is_plain(folder / name)] or None


def _unignored_files(folder: Path) -> Iterator[str]:
    """The files below a folder, less hidden ones and what its .gitignore files name."""
    ignores: dict[Path, GitIgnoreSpec] = {}

    def ignored(path: Path, suffix: str = "") -> bool:
        for base in path.parents:  # the nearest rules that speak of it decide
            if spec := ignores.get(base):
                verdict = spec.check_file(path.relative_to(base).as_posix() + suffix).include
                if verdict is not None:
                    return verdict
            if base == folder:
                break
        return False

    for current, folders, names in os.walk(folder):
        here = Path(current)
        if ".gitignore" in names:
            ignores[here] = _ignore_rules(here / ".gitignore")
        folders[:] = sorted(f for f in folders if f[0] != "." and not ignored(here / f, "/"))
        for name in names:
            path = here / name
            if name[0] != "." and _is_plain(path) and not ignored(path):
                yield path.relative_to(folder).as_posix()


def _ignore_rules(path: Path) -> GitIgnoreSpec:
    with needs_train_extra("a folder with a .gitignore"):
        from pathspec import GitIgnoreSpec
    try:
        return GitIgnoreSpec.from_lines(path.read_text(errors="replace").splitlines())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _is_plain(path: Path) -> bool:
    """Neither a link, which may lead anywhere, nor a pipe, which may never end."""
    return os.path.isfile(path) and not os.path.islink(path)


def _unfit(text: bytes) -> str:
    """Why a text is not worth learning from, or ""."""
    if not text.strip():
        return "empty"
    if b"\0" in text:
        return "binary"
    try:
        text.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    if _GENERATED.search(text[:_GENERATED_WITHIN]):
        return "generated"
    if len(text) / (text.count(b"\n") + 1) > MINIFIED_LINE_BYTES:
        return "minified"
    return ""


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


def split(files: Sequence[SourceFile], instead: Collection[SourceFile] = ()) -> Split:
    """Splits by file: a tenth is held out, a twentieth chooses when to stop, the rest trains.

    The twentieth has VALIDATION_CHARACTERS at most: it is read often. Where files are
    given to hold out `instead` of the tenth, all of them are, and two others must be there.

    A file is held out when the SHA-1 of its path is divisible by ten, so the split does
    not depend on the machine, the order or the other files. Where that leaves a part
    empty, the files with the smallest hashes fill it; one or two files are cut in three.
    Near-duplicates of other parts leave the training part, and so do near-duplicates
    within it.
    """
    files = sorted(files, key=lambda file: file.path)
    if len(files) < 3 and not instead:
        parts = [part for file in files for part in _cut_in_three(file)]
        rule = "each file cut in three: its first eight tenths, the next and the last"
        return Split(parts[0::3], parts[1::3], parts[2::3], rule=rule)
    apart = set(instead) or {file for file in files if file.is_held_out}
    held_out = [file for file in files if file in apart]
    rest = [file for file in files if file not in apart]
    rest.sort(key=lambda file: file.sha1)
    validation = sample((file for file in rest if file.sha1 % 20 == 1), VALIDATION_CHARACTERS)
    chosen = {(file.project, file.path) for file in validation}
    rest = [file for file in rest if (file.project, file.path) not in chosen]
    spare = (validation,) if instead else (held_out, validation)
    for part in (held_out, validation):
        if not part:
            part.append(rest.pop(0) if rest else max(spare, key=len).pop())
    if not rest:
        rest.append(max(spare, key=len).pop())
    training = _without_near_duplicates(rest, of=[*held_out, *validation])
    return Split(training or rest, validation, held_out, len(rest) - len(training or rest))


def sample(files: Iterable[SourceFile], characters: int) -> list[SourceFile]:
    """At most so many characters of whole files, chosen by the hash of their paths; at least
    one file where there is any."""
    chosen: list[SourceFile] = []
    total = 0
    for file in sorted(files, key=lambda file: file.sha1):
        if not chosen or total + len(file.text) <= characters:
            chosen.append(file)
            total += len(file.text)
    return sorted(chosen, key=lambda file: file.path)


def in_order(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Project by project, in path order: as the memory of a project comes to know them."""
    return sorted(files, key=lambda file: (file.project, file.path))


def _cut_in_three(file: SourceFile) -> list[SourceFile]:
    """The first eight tenths of a text, the next and the last, cut at ends of lines."""
    first, second = (
        file.text.find(b"\n", len(file.text) * tenths // 10) + 1 or len(file.text)
        for tenths in (8, 9)
    )
    parts = file.text[:first], file.text[first:second], file.text[second:]
    if not all(parts):
        raise InputError(f"{file.path} is too short to hold a part of it out; give more text")
    return [replace(file, text=part) for part in parts]


def _without_near_duplicates(
    files: Iterable[SourceFile], of: Sequence[SourceFile]
) -> list[SourceFile]:
    """`files` in path order without those that nearly equal an earlier one, or one in `of`."""
    # Imported here because reading alone, which `foretype evaluate` does, needs no torch etc.
    with needs_train_extra("splitting a corpus"):
        from foretype_training import duplicates
    ordered = sorted(files, key=lambda file: file.path)
    kept = duplicates.first_of_each((f.text for f in ordered), [f.text for f in of])
    return [ordered[number] for number in kept]


def symbols(files: Iterable[SourceFile]) -> list[alphabet.Symbols]:
    """Each file as the network reads it."""
    return [alphabet.encode_file(file.path, file.text) for file in files]
