"""What files are read with, and how far the counting of it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foretype_models.architecture import Architecture
from foretype_models.inputs import Ngrams
from foretype_training.corpus import SourceFile, split
from foretype_training.texts import texts

FILES = [
    SourceFile(f"src/Zoo{n}.java", b"class Zoo%d { int animals = %d; }\n" % (n, n * n), n % 3)
    for n in range(40)
]
ARCHITECTURE = Architecture(ngrams=(2, 4))


@pytest.mark.parametrize("memory", [False, True])
def test_the_counting_is_told_from_its_beginning_on_and_never_goes_back(memory: bool) -> None:
    told: list[tuple[int, int]] = []
    parts = split(FILES)
    texts(
        replace(ARCHITECTURE, memory=memory),
        parts,
        Ngrams.empty(),
        lambda done, total: told.append((done, total)),
    )
    done = [part for part, _ in told]
    assert done[0] == 0
    assert done == sorted(done)
    [total] = {total for _, total in told}
    assert done[-1] < total
    projects = len({file.project for file in parts.training})
    assert len(told) == len(ARCHITECTURE.ngrams) + (projects if memory else 0)


def test_of_four_files_one_is_read_with_no_memory_and_two_with_their_projects() -> None:
    known = texts(ARCHITECTURE, split(FILES), Ngrams.empty()).training
    assert [(text.own_memory, text.project is not None) for text in known[:4]] == [
        (False, False),
        (True, False),
        (True, True),
        (True, True),
    ]
