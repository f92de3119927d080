"""`foretype models`: the bundles that are there, how they come and go, and which one serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from foretype_models import bundle, registry
from foretype_models.bundle import BundleError


def show_all(as_json: bool) -> None:
    """Prints a table of all bundles; one that cannot be used says why."""
    rows = [_row(entry) for entry in registry.entries()]
    if as_json:
        print(json.dumps({"models": rows}, indent=2))
        return
    table = Table(box=None, pad_edge=False)  # so that it fits into 80 columns
    table.add_column("name", overflow="fold")
    for name in ("version", "language", "parameters", "bits/char", "origin", "previous"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        if "error" in row:
            table.add_row(row["name"], "unusable", "", "", "", row["origin"], row["previous"])
            continue
        bits = row["bpc"]
        table.add_row(
            row["name"],
            row["version"],
            row["language"] or "any",
            f"{row['parameters']:,}",
            "" if bits is None else f"{bits:.3f}",
            row["origin"],
            row["previous"],
        )
    console = Console(highlight=False)
    console.print(table)
    for row in rows:
        if "error" in row:
            console.print(row["error"], style="red", markup=False)


def _row(entry: registry.Entry) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": entry.name,
        "origin": entry.origin,
        "previous": _version(registry.previous(entry.name)),
    }
    try:
        description = registry.describe(entry)
    except BundleError as error:
        return {**row, "error": str(error)}
    return {
        **row,
        "version": description.version,
        "language": description.language,
        "parameters": description.parameters,
        "bpc": description.quality.get("bpc", {}).get("fp32"),
    }


def _version(entry: registry.Entry | None) -> str | None:
    """None also for one that cannot be read."""
    try:
        return registry.describe(entry).version if entry else None
    except BundleError:
        return None


def show(name: str) -> None:
    """Prints the description of a bundle, once it was checked. Raises BundleError."""
    checked = registry.load(name)
    print(json.dumps(checked.description_json(), indent=2, ensure_ascii=False))


def pack(name: str, path: Path) -> None:
    """Writes a checked bundle as one file. Raises BundleError."""
    bundle.pack(registry.load(name), path)
    print(f"{path} is {name}; on another machine: foretype models install {path.name}")


def install(path: Path, name: str | None, server: str | None) -> None:
    """Has the server at that address load it too. Raises BundleError and ForetypeError."""
    entry = registry.install(path, name)
    print(f"installed {entry.name} {_version(entry)}; use it with --model {entry.name}")
    if server is not None:
        load(entry.name, server)


def restore(name: str, server: str | None) -> None:
    """Has the server at that address load it too. Raises BundleError and ForetypeError."""
    entry = registry.restore(name)
    print(f"restored {name} {_version(entry)}; {_version(registry.previous(name))} is kept")
    if server is not None:
        load(name, server)


def load(name: str, server: str) -> None:
    """Has the server at that address answer with a model. Raises ForetypeError."""
    from foretype.client import Client  # slow to import; the others do without

    with Client(server) as client:
        loaded = client.load(name)
    model, before = loaded.model, loaded.before
    print(
        f"{server} serves {model.name} {model.version} in place of {before.name} {before.version}"
    )


def remove(name: str) -> None:
    """Raises BundleError."""
    entry = registry.remove(name)
    print(f"removed {entry.name}")
