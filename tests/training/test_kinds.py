"""Bits and wrong tokens by what stands there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from foretype_training.corpus import SourceFile
from foretype_training.kinds import KINDS, Share, by_kind
from foretype_training.measure import Predicted

TEXT = b"int a = a; // no\n"


def _shares(files: list[SourceFile], wrong: Collection[int] = ()) -> Mapping[str, Share]:
    """Of the last file, each byte of which takes two bits."""
    count = len(files[-1].text)
    right = np.array([at not in wrong for at in range(count)])
    return by_kind([Predicted(files[-1], np.full(count, 2, np.float32), right)], files)


def _identifiers(files: list[SourceFile]) -> tuple[int, int]:
    shares = _shares(files)
    return shares["known identifier"].tokens, shares["new identifier"].tokens


def test_every_character_is_of_one_kind() -> None:
    shares = _shares([SourceFile("A.java", TEXT)])
    assert {kind: (share.characters, share.tokens) for kind, share in shares.items()} == {
        "white space": (5, 0),
        "operator": (2, 2),
        "keyword": (3, 1),
        "known identifier": (1, 1),
        "new identifier": (1, 1),
        "literal": (0, 0),
        "comment": (5, 0),
    }
    assert tuple(shares) == KINDS
    assert sum(share.bits for share in shares.values()) == 2 * len(TEXT)
    assert sum(share.wrong_characters for share in shares.values()) == 0


def test_what_was_wrong_counts_for_its_kind_and_a_wrong_end_for_the_token() -> None:
    shares = _shares([SourceFile("A.java", TEXT)], wrong={3, 4, 12})
    wrong = {kind: (share.wrong_characters, share.wrong_tokens) for kind, share in shares.items()}
    assert wrong["white space"] == (1, 0)
    assert wrong["keyword"] == (0, 1)
    assert wrong["new identifier"] == (1, 1)
    assert wrong["comment"] == (1, 0)
    assert wrong["operator"] == wrong["known identifier"] == (0, 0)


def test_literals_are_strings_and_numbers() -> None:
    share = _shares([SourceFile("A.java", b"\"ab\" + 'c' + 12")])["literal"]
    assert (share.characters, share.tokens) == (4 + 3 + 2, 3)


def test_a_name_is_known_where_it_stands_before_in_the_project() -> None:
    use = SourceFile("B.java", b"wombat = wombat;")
    assert _identifiers([use]) == (1, 1)
    assert _identifiers([SourceFile("A.java", b"Object wombat;"), use]) == (2, 0)
    assert _identifiers([SourceFile("A.java", b"// wombat"), use]) == (1, 1)
    other_project = SourceFile("B.java", use.text, project=1)
    assert _identifiers([SourceFile("A.java", b"Object wombat;"), other_project]) == (1, 1)


def test_what_stands_after_a_name_never_makes_it_known() -> None:
    files = [SourceFile("A.java", b"wombat;"), SourceFile("B.java", b"Object wombat;")]
    measured = Predicted(files[0], np.zeros(7, np.float32), np.ones(7, np.bool_))
    assert by_kind([measured], files)["new identifier"].tokens == 1
