"""Gives a model what points at the words before, learned from projects it was not trained on.

    python training/recipes/java/pointer.py MODEL PATH... --out FOLDER [--characters N]
        [--include GLOB]

All that goes before stays as it is; foretype_training/pointing.py says how it is learned. Of more
than --characters (4,000,000) whole files are taken, by the hashes of their paths.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from foretype_models import bundle, registry
from foretype_models.bundle import Bundle, BundleError
from foretype_models.runtime import Runtime
from foretype_training.bundling import with_pointer
from foretype_training.corpus import SourceFile, in_order, read_corpus, sample
from foretype_training.display import say, tracking
from foretype_training.errors import InputError, TrainingError
from foretype_training.pointing import Learned, learn


def pointing(model: str, paths: Sequence[Path], include: str, characters: int) -> Bundle:
    """The model with a pointer. Raises TrainingError and BundleError."""
    corpus = read_corpus(paths, [include], to_learn=True)
    files = in_order(sample(corpus.files, characters))
    facts = {
        "projects": [path.resolve().name for path in paths],
        "of": {"files": len(corpus.files), "sha256": corpus.sha256()},
        "files": len(files),
        "characters": sum(len(file.text) for file in files),
    }
    say(f"learning from {len(files):,} of {len(corpus.files):,} files")
    return with_pointer(registry.load(model), lambda runtime: _learned(runtime, files), facts)


def _learned(runtime: Runtime, files: Sequence[SourceFile]) -> Learned:
    with tracking("pointer") as track:
        found = learn(runtime, files, lambda what, done, total: track(done, total, what))
    say(
        f"{found.bits_before:.3f} bits a word by the network alone, {found.bits:.3f} with the"
        f" pointer, on {found.words:,} words of other files"
    )
    return found


def main() -> None:
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("model", metavar="MODEL")
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    command.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    command.add_argument("--characters", type=int, default=4_000_000, metavar="N")
    command.add_argument("--include", default="*.java", metavar="GLOB")
    options = command.parse_args()
    out: Path = options.out
    try:
        if out.exists():
            raise InputError(f"{out} is there already; choose another folder")
        made = pointing(options.model, options.paths, options.include, options.characters)
        bundle.save(made, out)
    except (TrainingError, BundleError) as error:
        print(f"pointer.py: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    say(f"{out}: {made.description.name} {made.description.version}")


if __name__ == "__main__":
    main()
