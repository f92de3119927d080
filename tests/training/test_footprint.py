"""What is refused for want of memory, and what is only warned of."""

from __future__ import annotations

import pytest

from foretype_models.architecture import Architecture
from foretype_training import footprint
from foretype_training.errors import InputError

GIGABYTE = 10**9


@pytest.mark.parametrize(
    ("characters", "said"),
    [(100_000_000, ""), (200_000_000, "may take 11 GB of memory, and this machine has 10 GB")],
)
def test_a_corpus_that_may_not_fit_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    characters: int,
    said: str,
) -> None:
    monkeypatch.setattr(footprint, "_memory", lambda: 10 * GIGABYTE)
    footprint.check_counting(Architecture(ngrams=(3, 4, 6, 9)), characters)
    assert said in (told := capsys.readouterr().out)
    assert bool(told) == bool(said)


def test_a_corpus_that_cannot_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "_memory", lambda: 10 * GIGABYTE)
    with pytest.raises(InputError, match=r"400,000,000 characters takes 12 GB .* has 10 GB"):
        footprint.check_counting(Architecture(ngrams=()), 400_000_000)
