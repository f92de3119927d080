"""Which language a file is written in, by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from foretype_training.corpus import SourceFile

BY_SUFFIX = {
    suffix: language
    for language, suffixes in {
        "c": ".c .h",
        "clojure": ".clj .cljc .cljs",
        "cpp": ".cc .cpp .cxx .hh .hpp .hxx",
        "csharp": ".cs",
        "css": ".css",
        "dart": ".dart",
        "elixir": ".ex .exs",
        "erlang": ".erl .hrl",
        "go": ".go",
        "groovy": ".gradle .groovy",
        "haskell": ".hs",
        "html": ".htm .html",
        "java": ".java",
        "javascript": ".cjs .js .mjs",
        "javascriptreact": ".jsx",
        "json": ".json",
        "julia": ".jl",
        "kotlin": ".kt .kts",
        "latex": ".tex",
        "lua": ".lua",
        "markdown": ".md",
        "ocaml": ".ml .mli",
        "perl": ".pl .pm",
        "php": ".php",
        "python": ".py .pyi",
        "r": ".r",
        "ruby": ".rb",
        "rust": ".rs",
        "scala": ".sc .scala",
        "shellscript": ".bash .sh",
        "sql": ".sql",
        "swift": ".swift",
        "typescript": ".cts .mts .ts",
        "typescriptreact": ".tsx",
        "xml": ".xml",
        "yaml": ".yaml .yml",
    }.items()
    for suffix in suffixes.split()
}
"""The language's identifier in the Language Server Protocol, by a suffix in small letters."""


def of_file(path: str) -> str:
    """A file's language, "" where its name says none."""
    return BY_SUFFIX.get(PurePosixPath(path).suffix.lower(), "")


def of_most(files: Sequence[SourceFile]) -> str:
    """The language that more than half of the characters are written in, "" if there is none."""
    characters: Counter[str] = Counter()
    for file in files:
        characters[of_file(file.path)] += len(file.text)
    [(language, most)] = characters.most_common(1)
    return language if 2 * most > characters.total() else ""
