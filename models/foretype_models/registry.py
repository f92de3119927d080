"""Where bundles are found: those the user installed, then the shipped ones, or any path."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import platformdirs

from foretype_models import bundle
from foretype_models.bundle import Bundle, BundleError, Description

DEFAULT = "java"
"""The name of the shipped model."""
NO_MODEL = "none"
"""Says that no model is meant, so none has this name."""

Origin = Literal["installed", "shipped", "path"]
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
NAME_RULE = (
    f"use up to 64 of a-z, 0-9, '.', '_' and '-', a letter or digit first, and not {NO_MODEL!r}"
)


@dataclass(frozen=True)
class Entry:
    """A bundle that is there."""

    name: str
    path: Path
    origin: Origin


def installed_folder() -> Path:
    """In the user's data folder, which XDG_DATA_HOME moves."""
    return platformdirs.user_data_path("foretype") / "models"


def _previous_folder(name: str) -> Path:
    """Where what an installed bundle replaced is kept."""
    return installed_folder().with_name("previous") / name


def shipped_folder() -> Path:
    return Path(str(resources.files("foretype_models"))) / "bundles"


def is_name(text: str) -> bool:
    """Whether a bundle can be installed under it."""
    return _NAME.fullmatch(text) is not None and text != NO_MODEL


def entries() -> list[Entry]:
    """All bundles that have a name, by name. An installed one hides a shipped one."""
    found: dict[str, Entry] = {}
    folders: list[tuple[Origin, Path]] = [
        ("shipped", shipped_folder()),
        ("installed", installed_folder()),
    ]
    for origin, folder in folders:
        for path in sorted(folder.glob(f"*/{bundle.DESCRIPTION}")):
            if is_name(path.parent.name):
                found[path.parent.name] = Entry(path.parent.name, path.parent, origin)
    return [found[name] for name in sorted(found)]


def find(name_or_path: str) -> Entry:
    """The bundle of this name or at this path. Raises BundleError if there is none."""
    named = {entry.name: entry for entry in entries()}
    if name_or_path in named:
        return named[name_or_path]
    path = Path(name_or_path)
    if os.path.exists(path):  # which, unlike the path's own method, never raises
        return Entry(path.stem if path.is_file() else path.resolve().name, path, "path")
    there = ", ".join(sorted(named)) or "none"
    raise BundleError(
        f"there is no model {name_or_path!r}, neither installed ({there}) nor at that path"
    )


def load(name_or_path: str) -> Bundle:
    """Finds, reads and checks a bundle. Raises BundleError."""
    return bundle.load(find(name_or_path).path)


def previous(name: str) -> Entry | None:
    """The bundle that the installed one of this name replaced, if it is there."""
    path = _previous_folder(name)
    there = is_name(name) and (path / bundle.DESCRIPTION).is_file()
    return Entry(name, path, "path") if there else None


def describe(entry: Entry) -> Description:
    """What its model.json says. Raises BundleError."""
    return bundle.describe(entry.path)


def install(path: Path, name: str | None = None) -> Entry:
    """Checks the bundle at `path`, runs it, and copies it into the user's data folder. Another
    one that it replaces there is kept, for `restore`.

    Raises BundleError if it cannot be used or written, or its name is not one.
    """
    from foretype_models.runtime import Runtime  # slow to import; listing does without

    checked = bundle.load(path)
    for precision in checked.precisions:
        Runtime(checked, precision)
    name = name or checked.description.name
    if not is_name(name):
        raise BundleError(f"{name!r} is not a name for a model: {NAME_RULE}")
    target = installed_folder() / name
    differs = _is_usable_and_other(target, checked.description)
    bundle.save(checked, target, keep=_previous_folder(name) if differs else None)
    return Entry(name, target, "installed")


def _is_usable_and_other(path: Path, description: Description) -> bool:
    """Whether a bundle is worth keeping when one of this description replaces it."""
    try:
        return bundle.load(path).description != description
    except BundleError:
        return False


def restore(name: str) -> Entry:
    """Installs again what the installed bundle of this name replaced, which is kept in turn.

    Raises BundleError if there is nothing of the kind, or it cannot be used any more.
    """
    kept = previous(name)
    if kept is None:
        raise BundleError(f"no earlier version of the model {name!r} was kept")
    return install(kept.path, name)


def remove(name: str) -> Entry:
    """Deletes an installed bundle, and what it replaced. Raises BundleError if there is none
    of this name."""
    entry = next((e for e in entries() if e.name == name), None)
    if entry is None:
        raise BundleError(f"there is no model {name!r} to remove")
    if entry.origin != "installed":
        raise BundleError(f"the model {name!r} is part of foretype and cannot be removed")
    if kept := previous(name):
        bundle.remove(kept.path)
    bundle.remove(entry.path)
    return entry
