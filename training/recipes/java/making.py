"""What the scripts have in common that make a model of a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from foretype_models import bundle
from foretype_models.bundle import Bundle, BundleError
from foretype_training.display import say
from foretype_training.errors import InputError, TrainingError


def parser(description: str | None, *models: str) -> argparse.ArgumentParser:
    """Takes the `models`, PATH..., --out FOLDER and --include GLOB."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for model in models:
        made.add_argument(model.lower(), metavar=model)
    made.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    made.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    made.add_argument("--include", default="*.java", metavar="GLOB")
    return made


def save(out: Path, make: Callable[[], Bundle]) -> None:
    """Writes what `make` makes into a new folder; its errors end the script in one line."""
    try:
        if out.exists():
            raise InputError(f"{out} is there already; choose another folder")
        made = make()
        bundle.save(made, out)
    except (TrainingError, BundleError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    d = made.description
    bits = ", ".join(f"{bits:.4f} in {p}" for p, bits in d.quality["bpc"].items())
    say(f"{out}: {d.name} {d.version}; bits per character of the network alone: {bits}")
