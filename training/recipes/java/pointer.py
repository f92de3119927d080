"""Gives a model what points at the words before, learned from projects it was not trained on.

    python training/recipes/java/pointer.py MODEL PATH... --out FOLDER [--characters N]
        [--include GLOB]

All that goes before stays as it is; foretype_training/pointing.py says how it is done.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from foretype_models import bundle, registry
from foretype_models.runtime import Runtime
from foretype_training.bundling import with_pointer
from foretype_training.corpus import read_corpus, sample
from foretype_training.display import say, tracking
from foretype_training.pointing import Learned, learn

CHARACTERS = 4_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    parser.add_argument("model")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--out", required=True, type=Path, help="where the new bundle is written")
    parser.add_argument("--characters", type=int, default=CHARACTERS, help="to learn from")
    parser.add_argument("--include", default="*.java", metavar="GLOB")
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.paths, [arguments.include])
    files = sorted(
        sample(corpus.files, arguments.characters), key=lambda file: (file.project, file.path)
    )
    characters = sum(len(file.text) for file in files)
    say(f"learning from {len(files)} of {len(corpus.files)} files, {characters:,} characters")

    def learned(runtime: Runtime) -> Learned:
        with tracking("pointer") as track:
            found = learn(runtime, files, lambda what, done, total: track(done, total, what))
        say(
            f"{found.bits_before:.3f} bits a word by the network alone, {found.bits:.3f} with the"
            f" pointer, on {found.words:,} words of other files"
        )
        return found

    facts = {
        "projects": [path.resolve().name for path in arguments.paths],
        "files": len(files),
        "characters": characters,
        "sha256": corpus.sha256(),
    }
    made = with_pointer(registry.load(arguments.model), learned, facts)
    bundle.save(made, arguments.out)
    say(f"{arguments.out}: {made.description.name} {made.description.version}")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """The docstring as it stands."""


if __name__ == "__main__":
    main()
