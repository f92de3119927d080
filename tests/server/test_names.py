"""Which names are known."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_models.architecture import Architecture
from foretype_server import names
from foretype_server.names import Names
from foretype_server.workspaces import Workspaces


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("gorilla", True),
        ("keeper1", True),
        ("größe", True),
        ("$cage", True),
        ("Zoo", True),  # after the cursor
        ("gor", False),
        ("rilla", False),
        ("keeper", False),
        ("1", False),
        ("lion", False),  # begun at the cursor, which makes it no name of the text
        ("animal", True),  # elsewhere
    ],
)
def test_a_name_is_known_where_it_stands_as_a_word(name: str, known: bool) -> None:
    prefix = "gorilla.keeper1 = größe + $cage(12); lion".encode()
    at_cursor = Names(prefix, b"s = new Zoo();", elsewhere=lambda name: name == b"animal")
    assert at_cursor.begun == b"lion"
    assert (name.encode() in at_cursor) == known


def test_a_name_that_is_begun_twice_stands_there_once() -> None:
    assert b"lion" in Names(b"lion + lion")


def test_the_names_of_texts_are_found_by_their_hashes() -> None:
    known = names.hashes([b"int gorilla = 1;", b"", b"x.gorilla2()"])
    for name in (b"int", b"gorilla", b"x", b"gorilla2"):
        assert names.among(known, name)
    for name in (b"gor", b"1", b"lion", b""):
        assert not names.among(known, name)
    assert not names.among(names.hashes([]), b"gorilla")


@given(st.text("ab_1 .é\n"), st.text("ab_1é", min_size=1).filter(lambda n: not n[0].isdigit()))
def test_both_ways_find_the_same(text: str, name: str) -> None:
    words = re.split(r"[ .\n]", text)
    in_text = name.encode() in Names(text.encode() + b"\n")
    assert in_text == (name in words)
    assert names.among(names.hashes([text.encode()]), name.encode()) == in_text


def test_names_far_from_the_cursor_are_not_sought() -> None:
    far = b" " * names.WITHIN
    assert b"gorilla" not in Names(b"gorilla" + far + b"x", far + b" gorilla")
    assert b"gorilla" in Names(b"gorilla" + far[8:])


def test_a_workspace_knows_the_names_of_its_files() -> None:
    workspaces = Workspaces(Architecture(ngrams=(3,)).orders)
    workspaces.remember("zoo", {"Cage.java": b"int gorilla = 1;", "Keeper.java": b"int lion;"})
    assert workspaces.knows_name("zoo", b"gorilla")
    assert not workspaces.knows_name("zoo", b"gor")
    assert not workspaces.knows_name("farm", b"gorilla")
    workspaces.remember("zoo", {"Keeper.java": b"int tiger;"})  # counted on its own
    assert workspaces.knows_name("zoo", b"tiger")
    workspaces.forget("zoo", ["Cage.java"])
    assert not workspaces.knows_name("zoo", b"gorilla")
