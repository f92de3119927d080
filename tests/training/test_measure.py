"""What is measured with which memory, and that no answer leaks into it."""

from __future__ import annotations

import numpy as np
import pytest

from foretype_models.runtime import Runtime
from foretype_training.corpus import SourceFile
from foretype_training.measure import Predicted, Setting, bits_per_character, measure

LINE = b"quokkaWombat.platypusEchidna(bilby, numbat);\n"
FILES = [
    SourceFile("a/A.java", 12 * LINE),
    SourceFile("a/B.java", LINE + b"class B {\n    private int other;\n}\n" + 8 * LINE),
    SourceFile("a/C.java", b"class C {}\n" + 3 * LINE, project=1),
    SourceFile("b/D.java", LINE, project=1),
]
SETTINGS: list[Setting] = ["none", "file", "project"]


def _bits(runtime: Runtime, setting: Setting, files: list[SourceFile] = FILES) -> list[Predicted]:
    return measure(runtime, files, setting)


def test_a_memory_makes_what_repeats_cheap(runtime: Runtime) -> None:
    none, file, project = (_bits(runtime, setting) for setting in SETTINGS)
    assert bits_per_character(project) < bits_per_character(file) < bits_per_character(none)
    # The first file of a project has none to remember; the second knows the first.
    assert project[0].bits.sum() == pytest.approx(file[0].bits.sum(), rel=1e-4)
    assert project[1].bits[: len(LINE)].sum() < file[1].bits[: len(LINE)].sum() / 2
    assert project[2].bits.sum() == pytest.approx(file[2].bits.sum(), rel=1e-4)
    assert project[3].bits.sum() < file[3].bits.sum() / 2


def test_files_that_are_not_measured_can_be_remembered(runtime: Runtime) -> None:
    [whole] = [file for file in _bits(runtime, "project") if file.file is FILES[3]]
    [alone] = measure(runtime, FILES[3:], "project", FILES)
    assert alone.bits.sum() == pytest.approx(whole.bits.sum(), rel=1e-4)


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_stands_after_a_position_never_changes_its_measure(
    runtime: Runtime, setting: Setting
) -> None:
    """Not in the file, and not in the files after it."""
    rng = np.random.default_rng(1)

    def shuffled(text: bytes) -> bytes:
        return bytes(rng.permutation(np.frombuffer(text, np.uint8)))

    before = _bits(runtime, setting)
    cut = 5 * len(LINE) + 7
    changed = [
        FILES[0],
        SourceFile("a/B.java", FILES[1].text[:cut] + shuffled(FILES[1].text[cut:])),
        *(SourceFile(file.path, shuffled(file.text), file.project) for file in FILES[2:]),
    ]
    after = _bits(runtime, setting, changed)
    np.testing.assert_allclose(after[0].bits, before[0].bits, atol=1e-4)
    np.testing.assert_allclose(after[1].bits[:cut], before[1].bits[:cut], atol=1e-4)
    np.testing.assert_array_equal(after[1].right[:cut], before[1].right[:cut])
    assert not np.allclose(after[1].bits[cut:], before[1].bits[cut:], atol=0.1)


def test_what_is_right_is_the_most_probable(runtime: Runtime) -> None:
    [file] = measure(runtime, FILES[:1])
    certain = file.bits < 1  # more than a half
    assert certain.any()
    assert file.right[certain].all()
    assert not file.right[file.bits > 8.1].any()  # less than one of all symbols
