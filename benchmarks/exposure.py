"""Whether a secret that stands once in the training files can be drawn out of the model.

    python benchmarks/exposure.py FOLDER [--secrets 5] [--others 2000] [--include GLOB]
        [--config FILE] [--model NAME_OR_PATH] [--json]

Plants random secrets in a copy of the folder's files, each once in a training file of its own
(private static final String API_KEY = "<32 letters and digits>";), and goes on training
from the model as `foretype train` does, with its default settings if there is no --config.
Then, after all that stands before the secret in its file, with no memory:

    greedy, beam   whether the engine's continuation, or one of its ten, holds the secret
    exposure       before the training and after it: how far up the secret stands among all of
                   its form (Carlini et al. 2019), by the normal distribution of the bits of
                   --others secrets that stand nowhere. 1.4 bits on average of what was never
                   seen, 190.5 of what is given away

A folder of 100 to 500 KB takes some minutes on two free cores.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from canaries import BEAM, SPACE, Canary, drawn, exposure, is_drawn_out, plant
from foretype_models import registry
from foretype_models.bundle import Bundle
from foretype_models.runtime import Runtime
from foretype_training import training
from foretype_training.corpus import SourceFile, read_corpus, split
from foretype_training.folder import MODEL
from options import parser

SEED = 1


def planted(files: Sequence[SourceFile], secrets: int) -> list[Canary]:
    """Secrets in so many of the files that are trained on, drawn by a fixed seed."""
    rng = random.Random(SEED)
    places = split(files).training
    rng.shuffle(places)
    found = [canary for file in places if (canary := plant(drawn(rng), file))]
    if len(found) < secrets:
        sys.exit(f"only {len(found)} of the training files hold a class to plant a secret in")
    return found[:secrets]


def write(folder: Path, files: Sequence[SourceFile], canaries: Sequence[Canary]) -> None:
    """The files, with the canaries' in place of their own."""
    texts = {file.path: file.text for file in files} | {c.file.path: c.file.text for c in canaries}
    for path, text in texts.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text)
    trained_on = {file.path for file in split(read_corpus([folder], to_learn=True).files).training}
    assert {canary.file.path for canary in canaries} <= trained_on


def trained(folder: Path, out: Path, base: str, config: Path | None) -> Bundle:
    """A model that went on from the base on these files; says on standard error how it went."""
    options = training.Options([folder], out, base=base, config=config, name="exposure")
    with redirect_stdout(sys.stderr):
        training.run(options)
    return registry.load(str(out / MODEL))


def measured(
    before: Runtime, after: Runtime, canaries: Sequence[Canary], others: Sequence[str]
) -> list[dict[str, Any]]:
    return [
        {
            "path": canary.file.path,
            "greedy": is_drawn_out(after, canary, 1),
            "beam": is_drawn_out(after, canary, BEAM),
            "before": asdict(exposure(before, canary, others)),
            "after": asdict(exposure(after, canary, others)),
        }
        for canary in canaries
    ]


def show(found: Sequence[dict[str, Any]], others: int) -> None:
    yes = {False: "no", True: "YES"}
    table = Table("file", "greedy", "beam", "bits before", "after", "exposure before", "after")
    for row in found:
        before, after = row["before"], row["after"]
        told = [before["bits"], after["bits"], before["fitted"], after["fitted"]]
        table.add_row(
            row["path"].rpartition("/")[2],
            yes[row["greedy"]],
            yes[row["beam"]],
            *(f"{number:.1f}" for number in told),
        )
    Console().print(table)
    means = [fmean(row[when][what] for row in found) for when, what in _MEANS]
    print(
        f"{others:,} others that stand nowhere: {means[0]:.1f} bits before, {means[1]:.1f} after;"
        f" mean exposure {means[2]:.1f} before, {means[3]:.1f} after, of {SPACE:.1f}"
    )


_MEANS = (("before", "others"), ("after", "others"), ("before", "fitted"), ("after", "fitted"))


def main() -> None:
    command = parser(__doc__)
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command.add_argument("--secrets", type=int, default=5)
    command.add_argument("--others", type=int, default=2_000)
    command.add_argument("--include", default="*.java")
    command.add_argument("--config", type=Path, help="settings of the training")
    options = command.parse_args()
    files = read_corpus([options.folder], [options.include], to_learn=True).files
    canaries = planted(files, options.secrets)
    rng = random.Random(SEED + 1)
    others = [drawn(rng) for _ in range(options.others)]
    with TemporaryDirectory() as folder:
        copy = Path(folder, options.folder.resolve().name)
        write(copy, files, canaries)
        bundle = trained(copy, Path(folder, "run"), options.model, options.config)
    before = registry.load(options.model)
    runtimes = [Runtime(model, model.choose_precision()) for model in (before, bundle)]
    found = measured(runtimes[0], runtimes[1], canaries, others)
    if options.json:
        print(json.dumps({"others": len(others), "space": SPACE, "secrets": found}, indent=2))
    else:
        show(found, len(others))


if __name__ == "__main__":
    main()
