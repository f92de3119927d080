"""`foretype models`: the bundles that are there, and how they come and go."""

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
    table = Table("name", "version", "language", "parameters", "bits/char", "origin")
    for row in rows:
        if "error" in row:
            table.add_row(row["name"], row["error"], "", "", "", row["origin"], style="red")
            continue
        bits = row["bpc"]
        table.add_row(
            row["name"],
            row["version"],
            row["language"] or "any",
            f"{row['parameters']:,}",
            "" if bits is None else f"{bits:.3f}",
            row["origin"],
        )
    Console().print(table)


def _row(entry: registry.Entry) -> dict[str, Any]:
    try:
        description = registry.describe(entry)
    except BundleError as error:
        return {"name": entry.name, "origin": entry.origin, "error": str(error)}
    return {
        "name": entry.name,
        "origin": entry.origin,
        "version": description.version,
        "language": description.language,
        "parameters": description.parameters,
        "bpc": description.quality.get("bpc", {}).get("fp32"),
    }


def show(name: str) -> None:
    """Prints the description of a bundle, once it was checked. Raises BundleError."""
    checked = registry.load(name)
    print(json.dumps(checked.description_json(), indent=2, ensure_ascii=False))


def install(path: Path, name: str | None) -> None:
    """Raises BundleError."""
    entry = registry.install(path, name)
    version = bundle.describe(entry.path).version
    print(f"installed {entry.name} {version}; use it with --model {entry.name}")


def remove(name: str) -> None:
    """Raises BundleError."""
    entry = registry.remove(name)
    print(f"removed {entry.name}")
