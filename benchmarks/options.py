"""The options that the benchmarks share."""

from __future__ import annotations

import argparse


def parser(doc: str | None) -> argparse.ArgumentParser:
    """With --json and --model; `doc` is the benchmark's docstring, shown as it stands."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("--model", default="java", help="a model's name or path")
    return made
