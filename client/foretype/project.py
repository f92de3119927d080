"""The files of a project that its memory is made of."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath

MAX_FILE_BYTES = 500_000
MAX_BYTES = 8 * 2**20
"""Of text and paths in one workspace's memory: code of this length has a table of some 60 MB."""
MAX_FILES = 20_000
"""Of one ending."""
MAX_LOOKED_AT = 200_000
"""Files of any ending, where git does not list them."""
_MAX_PATH = 1024  # bytes, in the protocol
_MAX_ARGUMENTS = 500  # paths that git is given at once
_GIT_SECONDS = 20
LARGE_SHARE = 32
"""Files of more than this part of what fits leave before others, in the server too."""

GIT = ("git", "-c", "core.fsmonitor=false")
"""A repository may be a stranger's, and its settings name a program for git to run."""
_FOR_SECRETS = re.compile(
    r"\.env([.-].*)?|.*\.env|env\.local|\.envrc"
    r"|.*\.(asc|jks|kdbx|key|keystore|p12|p8|pem|pfx|ppk|tfvars)"
    r"|id_(dsa|ecdsa|ed25519|rsa)(\..*)?"
    r"|\.(dockercfg|git-credentials|htpasswd|netrc|npmrc|pgpass|pypirc)"
    r"|(keystore|local)\.properties|service-account.*\.json"
    r"|credentials|secrets?"
    r"|(.*[.-])?(credentials|secrets?)([.-][^.]+)?\.(ini|json|properties|toml|txt|xml|ya?ml)",
    re.IGNORECASE,
)


@dataclass
class Files:
    """Texts by path, relative to the project's folder; how many files were left out, and why
    none was read, where git should have said which are ignored."""

    texts: dict[str, str] = field(default_factory=dict[str, str])
    left_out: int = 0
    problem: str = ""


class _GitFailed(Exception):
    """There is a repository, and git does not say what it ignores."""


def is_for_secrets(name: str) -> bool:
    """Whether files of this name are there to hold keys or passwords: `.env`, `id_rsa`."""
    return _FOR_SECRETS.fullmatch(name) is not None


def root_of(file: Path) -> Path | None:
    """The git repository that a file lies in, None where it lies in none."""
    for folder in file.resolve().parents:
        if (folder / ".git").exists():
            return folder
    return None


def around(file: Path, here: Path) -> Path | None:
    """The folder of the project that a file belongs to: its repository; without one the folder
    `here`, if the file lies in that, and if it is neither a home nor the root of all."""
    if (repository := root_of(file)) is not None:
        return repository
    folder = here.resolve()
    is_project = file.resolve().is_relative_to(folder)
    return folder if is_project and folder not in (Path.home(), Path(folder.anchor)) else None


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
    try:
        if not allowed or not _is_in_repository(root):
            listed: list[str] = []
        elif (listed := _listed(root, *allowed)) or _git_files(root) is not None:
            return listed
    except _GitFailed:
        return None
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
    UTF-8 or unreadable are left out; and of more than fit the largest, then the oldest. Gives up
    when it is no longer `wanted`.
    """
    files = Files()
    fit: dict[str, os.stat_result] = {}
    try:
        for name in _names(root):
            path = root / name
            if not wanted():
                break
            if path == without or not name.endswith(suffix) or is_for_secrets(path.name):
                continue
            status = _status(path)
            if status is None or not _is_valid(name):
                files.left_out += 1
            else:
                fit[name] = status
    except _GitFailed as error:
        files.problem = str(error)
        return files
    kept = _that_fit(fit)
    files.left_out += len(fit) - len(kept)
    for name in kept:
        if not wanted():
            break
        text = _text(root / name)
        if text is None:
            files.left_out += 1
        else:
            files.texts[name] = text
    return files


def _that_fit(files: dict[str, os.stat_result]) -> list[str]:
    """As many as one memory holds, without the largest, then the oldest; in the order given."""
    size = sum(len(name.encode()) + status.st_size for name, status in files.items())
    number = len(files)
    large = MAX_BYTES // LARGE_SHARE

    def leaves_first(name: str) -> tuple[int, float]:
        status = files[name]
        return (-status.st_size if status.st_size > large else 0, status.st_mtime)

    gone: set[str] = set()
    for name in sorted(files, key=leaves_first):
        if size <= MAX_BYTES and number <= MAX_FILES:
            break
        gone.add(name)
        size -= len(name.encode()) + files[name].st_size
        number -= 1
    return [name for name in files if name not in gone]


def _names(root: Path) -> Iterable[str]:
    """Of all files, relative to the folder. Raises _GitFailed."""
    found = _git_files(root)
    return found if found is not None else islice(_walk(root), MAX_LOOKED_AT)


def _is_in_repository(folder: Path) -> bool:
    return root_of(folder / "file") is not None


def _git_files(root: Path) -> list[str] | None:
    """What git tracks or would track there; None where there is no repository, or one around the
    folder that ignores all of it. Raises _GitFailed."""
    if not _is_in_repository(root):
        return None
    return _listed(root) or ([] if (root / ".git").exists() else None)


def _listed(root: Path, *names: str) -> list[str]:
    """What git tracks or would track in a repository, of `names` or of all. Raises _GitFailed."""
    command = [*GIT, "--literal-pathspecs", "-C", str(root), "ls-files", "-z"]
    command += ["--cached", "--others", "--exclude-standard", "--deduplicate", "--", *names]
    try:
        listing = subprocess.run(command, capture_output=True, check=True, timeout=_GIT_SECONDS)
    except FileNotFoundError:
        raise _GitFailed("git, which knows what is ignored there, is not installed") from None
    except subprocess.TimeoutExpired:
        raise _GitFailed(f"git took longer than {_GIT_SECONDS} seconds to list them") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise _GitFailed(f"git, which knows what is ignored there, says: {said}") from None
    except OSError as error:
        raise _GitFailed(f"git cannot be run: {error.strerror}") from None
    return sorted(os.fsdecode(name) for name in listing.stdout.split(b"\0") if name)


def _walk(root: Path) -> Iterator[str]:
    for current, folders, names in os.walk(root):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(current, name).relative_to(root).as_posix()


def _status(path: Path) -> os.stat_result | None:
    """Of a file; None where it is too large, or none."""
    try:
        status = path.lstat()
    except OSError:  # it vanished, or may not be seen
        return None
    fit = stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE_BYTES
    return status if fit else None


def _text(path: Path) -> str | None:
    """A file's text, None where it is not fit."""
    if _status(path) is None:
        return None
    try:
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
