"""The files of a project that its memory is made of."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

MAX_FILE_BYTES = 500_000
MAX_BYTES = 8 * 2**20
"""Of all files together: more does not fit in a workspace's memory."""
MAX_FILES = 20_000
"""Looked at, at most, whatever their names end in."""
_MAX_PATH = 1024  # bytes, in the protocol
_MAX_ARGUMENTS = 500  # paths that git is given at once

GIT = ("git", "-c", "core.fsmonitor=false")
"""A repository may be a stranger's, and its settings name a program for git to run."""
_FOR_SECRETS = re.compile(
    r"\.env(\..*)?|.*\.env"
    r"|.*\.(jks|kdbx|key|keystore|p12|p8|pem|pfx|ppk)"
    r"|id_(dsa|ecdsa|ed25519|rsa)(\..*)?"
    r"|\.(git-credentials|htpasswd|netrc|npmrc|pgpass|pypirc)"
    r"|(credentials|secrets?)(\.(ini|json|properties|toml|txt|xml|ya?ml))?",
    re.IGNORECASE,
)


@dataclass
class Files:
    """Texts by path, relative to the project's folder, and how many files were left out."""

    texts: dict[str, str] = field(default_factory=dict[str, str])
    left_out: int = 0


def is_for_secrets(name: str) -> bool:
    """Whether files of this name are there to hold keys or passwords: `.env`, `id_rsa`."""
    return _FOR_SECRETS.fullmatch(name) is not None


def root_of(file: Path) -> Path | None:
    """The git repository that a file lies in, None where it lies in none."""
    for folder in file.resolve().parents:
        if (folder / ".git").exists():
            return folder
    return None


def takes(root: Path, name: str) -> bool:
    """Whether the file of this path in `root` is one that `read` reads, if it is fit."""
    return bool(_taken(root, [name]))


def read_again(root: Path, names: Sequence[str]) -> dict[str, str | None]:
    """The texts of some files of a folder, by path, and None for those that are gone or that
    `read` would not read. Of files that are there and not fit, or beyond the bounds, or that
    git did not say anything of, nothing."""
    found: dict[str, str | None] = {}
    size = 0
    for start in range(0, len(names), _MAX_ARGUMENTS):
        some = names[start : start + _MAX_ARGUMENTS]
        there = [name for name in some if (root / name).is_file()]
        taken = _taken(root, there)
        for name in some:
            if name not in there or (taken is not None and name not in taken):
                found[name] = None
            elif taken is not None and (text := _text(root / name)) is not None:
                size += len(text.encode())
                if size <= MAX_BYTES and _is_valid(name):
                    found[name] = text
    return found


def _taken(root: Path, names: Sequence[str]) -> Sequence[str] | None:
    """Those that `read` reads, if they are fit; None where git failed."""
    allowed = [name for name in names if not is_for_secrets(PurePath(name).name)]
    if not allowed:
        return []
    listed = _listed(root, *allowed)
    if listed:
        return listed
    if _git_files(root) is not None:
        return listed
    return [name for name in allowed if not any(part[0] == "." for part in PurePath(name).parts)]


def read(
    root: Path,
    suffix: str,
    without: Path | None = None,
    wanted: Callable[[], bool] = lambda: True,
) -> Files:
    """The texts in a folder whose names end in `suffix`, ".java" for example.

    In a git repository all files that git does not ignore, elsewhere all that are not hidden.
    Files for secrets are passed over, tracked or not. Links, files that are too large, not
    UTF-8 or unreadable are left out, and what is beyond the bounds. Gives up when it is no
    longer `wanted`.
    """
    files = Files()
    size = 0
    for path in _paths(root):
        if not wanted():
            break
        if path == without or not path.name.endswith(suffix) or is_for_secrets(path.name):
            continue
        text = _text(path)
        name = path.relative_to(root).as_posix()
        length = len(text.encode()) if text is not None else 0
        if text is None or not _is_valid(name) or size + length > MAX_BYTES:
            files.left_out += 1
            continue
        files.texts[name] = text
        size += length
    return files


def _paths(root: Path) -> Iterator[Path]:
    names = _git_files(root)
    found = (root / name for name in names) if names is not None else _walk(root)
    for number, path in enumerate(found):
        if number == MAX_FILES:
            return
        yield path


def _git_files(root: Path) -> list[str] | None:
    """What git tracks or would track there; None where there is no repository, or no git, or a
    repository around the folder that ignores all of it."""
    found = _listed(root)
    return found if found or (root / ".git").exists() else None


def _listed(root: Path, *names: str) -> list[str] | None:
    """What git tracks or would track there, of `names` or of all; None where it cannot tell."""
    command = [*GIT, "--literal-pathspecs", "-C", str(root), "ls-files", "-z"]
    command += ["--cached", "--others", "--exclude-standard", "--deduplicate", "--", *names]
    try:
        listing = subprocess.run(command, capture_output=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return sorted(os.fsdecode(name) for name in listing.split(b"\0") if name)


def _walk(root: Path) -> Iterator[Path]:
    for current, folders, names in os.walk(root):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(current, name)


def _text(path: Path) -> str | None:
    """A file's text, None where it is not fit."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            return None
        data = path.read_bytes()
    except OSError:  # it vanished, or may not be read
        return None
    try:
        return None if b"\0" in data or len(data) > MAX_FILE_BYTES else data.decode()
    except UnicodeDecodeError:
        return None


def _is_valid(name: str) -> bool:
    try:
        return len(name.encode()) <= _MAX_PATH
    except UnicodeEncodeError:  # a name that is not UTF-8
        return False
