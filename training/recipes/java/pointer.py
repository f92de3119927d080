"""Gives a model what points at the words before, learned from projects it was not trained on.

    python training/recipes/java/pointer.py MODEL PATH... --out FOLDER [--characters N]
        [--include GLOB]

All that goes before stays as it is; foretype_training/pointing.py says how it is learned. Of more
than --characters (4,000,000) whole files are taken, by the hashes of their paths.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import making

from foretype_models import registry
from foretype_models.bundle import Bundle
from foretype_models.runtime import Runtime
from foretype_training.bundling import with_pointer
from foretype_training.corpus import SourceFile, in_order, read_corpus, sample
from foretype_training.display import say, tracking
from foretype_training.pointing import Learned, learn


def pointing(options: argparse.Namespace) -> Bundle:
    """The model that the command asks for. Raises TrainingError and BundleError."""
    paths: Sequence[Path] = options.paths
    corpus = read_corpus(paths, [options.include], to_learn=True)
    files = in_order(sample(corpus.files, options.characters))
    facts = {
        "projects": [path.resolve().name for path in paths],
        "of": {"files": len(corpus.files), "sha256": corpus.sha256()},
        "files": len(files),
        "characters": sum(len(file.text) for file in files),
    }
    say(f"learning from {len(files):,} of {len(corpus.files):,} files")
    model = registry.load(options.model)
    return with_pointer(model, lambda runtime: _learned(runtime, files), facts)


def _learned(runtime: Runtime, files: Sequence[SourceFile]) -> Learned:
    with tracking("pointer") as track:
        found = learn(runtime, files, lambda what, done, total: track(done, total, what))
    say(
        f"{found.bits_before:.3f} bits a word by the network alone, {found.bits:.3f} with the"
        f" pointer, on {found.words:,} words of other files"
    )
    return found


def main() -> None:
    command = making.parser(__doc__, "MODEL")
    command.add_argument("--characters", type=int, default=4_000_000, metavar="N")
    options = command.parse_args()
    making.save(options.out, lambda: pointing(options))


if __name__ == "__main__":
    main()
