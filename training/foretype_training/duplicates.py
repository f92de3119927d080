"""Near-duplicates: files that differ in little but their licence or a name.

They flatter every number: a quarter of the published Java corpus is such copies (Allamanis
2019, "The adverse effects of code duplication in machine learning models of code").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from datasketch import MinHash, MinHashLSH

THRESHOLD = 0.85
"""Jaccard similarity of two texts' shingles above which they count as one."""

_TOKEN = re.compile(rb"\w+|[^\w\s]")
_PERMUTATIONS = 64


def first_of_each(texts: Iterable[bytes], known: Sequence[bytes]) -> list[int]:
    """The numbers of those `texts` that nearly equal neither an earlier one nor one `known`."""
    index = MinHashLSH(threshold=THRESHOLD, num_perm=_PERMUTATIONS)
    for number, text in enumerate(known):
        index.insert(f"known {number}", _sketch(text))
    kept: list[int] = []
    for number, text in enumerate(texts):
        sketch = _sketch(text)
        if not index.query(sketch):
            index.insert(f"text {number}", sketch)
            kept.append(number)
    return kept


def _sketch(text: bytes) -> MinHash:
    """Of the text's shingles of five tokens (Broder 1997)."""
    tokens: list[bytes] = _TOKEN.findall(text)
    shingles = {b" ".join(tokens[i : i + 5]) for i in range(max(1, len(tokens) - 4))}
    sketch = MinHash(num_perm=_PERMUTATIONS, seed=1)
    sketch.update_batch(sorted(shingles))
    return sketch
