"""The options that the benchmarks share."""

from __future__ import annotations

import argparse


def parser(doc: str | None, model: bool = True) -> argparse.ArgumentParser:
    """With --json and, unless it takes several, --model; `doc` is the benchmark's docstring,
    shown as it stands."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print JSON")
    if model:
        made.add_argument("--model", default="java", help="a model's name or path")
    return made
