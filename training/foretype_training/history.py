"""What the history of a git repository says of its files: which are new."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from foretype.project import GIT
from foretype_training.corpus import SourceFile
from foretype_training.errors import InputError

_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")


def point_in_time(text: str) -> datetime:
    """A date, or a date and time, of this machine's zone. Raises InputError for anything else:
    git would take a date that it does not understand for now."""
    for form in _FORMATS:
        with suppress(ValueError):
            return datetime.strptime(text, form)
    raise InputError(
        f"{text!r} is not a date: write it as 2025-12-31, or with a time as 2025-12-31T23:59:59"
    )


def added_since(
    paths: Sequence[Path], files: Sequence[SourceFile], since: datetime
) -> list[SourceFile]:
    """Those of the files, which were read from `paths`, that a commit added at that time or
    later, by its committer's clock. A file that was renamed or came back was added anew.

    Raises InputError where a path has no history, or none that reaches back to that time,
    where no file was added since, or where fewer than two are older.
    """
    names = [_added_since(path if path.is_dir() else path.parent, since) for path in paths]
    added = [file for file in files if file.path in names[file.project]]
    if not added:
        raise InputError(f"no file that was read was added since {since}; choose an earlier date")
    if (older := len(files) - len(added)) < 2:
        raise InputError(
            f"of {len(files)} files that were read {older} {'is' if older == 1 else 'are'} older"
            f" than {since}, and two at least are needed to learn from; choose a later date"
        )
    return added


def rule(since: datetime) -> str:
    """What is held out, for people."""
    return f"by history: held out what was added since {since.astimezone().isoformat()}"


def _added_since(folder: Path, since: datetime) -> set[str]:
    """The paths, relative to the folder, of what was added below it."""
    if (began := _cut_off(folder)) is not None and began >= since.timestamp():
        raise InputError(
            f"{folder} is a shallow clone whose history begins on"
            f" {datetime.fromtimestamp(began)}, not before {since};"
            f" run `git -C {folder} fetch --unshallow`, or choose a later date"
        )
    # Of each commit its time, after a slash, with which no relative path begins; then paths.
    log = ("log", "-z", "--relative", "--name-only", "--diff-filter=A", "--no-renames")
    names: set[str] = set()
    time = 0
    for part in _git(folder, *log, "--no-show-signature", "--format=/%ct").split(b"\0"):
        if part.startswith(b"/"):
            time = int(part[1:])
        elif part and time >= since.timestamp():
            names.add(os.fsdecode(part.removeprefix(b"\n")))
    return names


def _cut_off(folder: Path) -> int | None:
    """When the youngest commit was made before which a shallow clone knows nothing, in seconds
    since 1970; None where the history is whole."""
    if _git(folder, "rev-parse", "--is-shallow-repository").strip() != b"true":
        return None
    return max(map(int, _git(folder, "log", "--max-parents=0", "--format=%ct").split()))


def _git(folder: Path, *arguments: str) -> bytes:
    command = [*GIT, "-C", str(folder), "-c", "log.showRoot=true", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except OSError as error:
        raise InputError(f"a history is read by git, which cannot be run: {error}") from error
    except subprocess.CalledProcessError as error:
        said = os.fsdecode(error.stderr).strip().partition("\n")[0]
        raise InputError(
            f"{folder} has no history to hold files out by: git says {said!r};"
            " leave --holdout-since out"
        ) from error
    return done.stdout
