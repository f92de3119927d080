"""What the memory of a project knows, and how it keeps within its bounds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_models import alphabet, contexts, inputs
from foretype_models.architecture import Architecture
from foretype_models.inputs import CLASSES, Found, Memory, confidence_class
from foretype_server import workspaces as workspaces_module
from foretype_server.workspaces import Workspace, Workspaces, count, others

SHAPE = Architecture(ngrams=(1, 3))
ORDERS = SHAPE.orders
Texts = Mapping[str, bytes]

texts = st.dictionaries(
    st.sampled_from("pqrs"), st.text("ab", max_size=12).map(str.encode), min_size=1, max_size=4
)


def _answers(memory: Memory | None, path: str, text: bytes) -> Found:
    symbols = alphabet.encode_file(path, text)[:-1]
    context = inputs.initial_context(SHAPE, 1)
    hashes = contexts.hashes(ORDERS, context, symbols[:, None])
    if memory is None:
        return np.zeros((len(symbols), len(ORDERS)), dtype=np.int64)
    return memory.look_up(hashes)[:, 0]


def _by_hand(known: Texts, path: str, text: bytes) -> list[list[int]]:
    """What each context of a file is answered: nothing where that file alone holds it."""

    def contexts_of(path: str, text: bytes, n: int) -> list[tuple[int, ...]]:
        padded = [contexts.BEFORE_START] * (n - 1) + alphabet.encode_file(path, text).tolist()
        return [tuple(padded[i : i + n]) for i in range(len(padded) - n)]

    columns: list[list[int]] = []
    for n in SHAPE.ngrams:
        followers: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        files: dict[tuple[int, ...], set[str]] = defaultdict(set)
        for p, t in known.items():
            symbols = alphabet.encode_file(p, t).tolist()
            for context, follower in zip(contexts_of(p, t, n), symbols[1:], strict=True):
                followers[context][follower] += 1
                files[context].add(p)
        column: list[int] = []
        for context in contexts_of(path, text, n):
            seen = followers.get(context)
            if not seen or files[context] == {path}:
                column.append(0)
                continue
            best = max(seen.values())
            symbol = min(s for s, times in seen.items() if times == best)
            confidence = confidence_class(np.array(best), np.array(seen.total()))
            column.append(1 + symbol * CLASSES + int(confidence))
        columns.append(column)
    return [list(row) for row in zip(*columns, strict=True)]


@given(texts, st.sampled_from("pqz"), st.text("ab", max_size=12).map(str.encode))
def test_it_answers_what_a_naive_count_of_the_other_files_does(
    known: Texts, path: str, text: bytes
) -> None:
    memory = count(ORDERS, known).without(path)
    assert _answers(memory, path, text).tolist() == _by_hand(known, path, text)


def test_what_a_file_alone_knows_it_is_not_told() -> None:
    known = {"A": b"xyz", "B": b"abc"}
    own = count(ORDERS, known).without("A").look_up
    hashes = contexts.hashes(
        ORDERS, inputs.initial_context(SHAPE, 1), alphabet.encode(b"xyz")[:, None]
    )
    assert not own(hashes)[:, :, 1].any()
    assert count(ORDERS, known).without("B").look_up(hashes)[2, 0, 1]


def _workspace(files: Texts, max_bytes: int = 1000) -> Workspace:
    workspace = Workspace(ORDERS, max_bytes)
    workspace.remember(files)
    return workspace


def test_a_changed_file_counts_before_its_earlier_version() -> None:
    known = {f"{n}": b"abcabcabc" * 5 for n in range(10)}
    workspace = _workspace(known)
    workspace.remember({"3": b"abxabxabx"})
    assert len(workspace.tables) == 2  # of what is new alone, and of all before it
    found = _answers(others(workspace.tables, "z"), "z", b"ab")[-1, 0]
    assert (int(found) - 1) // CLASSES == ord("x")
    workspace.remember({f"{n}": b"aby" * 9 for n in range(5)})
    assert len(workspace.tables) == 1
    assert workspace.status.files == 10


def test_what_is_forgotten_is_not_known() -> None:
    workspace = _workspace({"A": b"abc", "B": b"xyz"})
    workspace.forget(["A", "unknown"])
    assert workspace.status.files == 1
    assert not _answers(others(workspace.tables, "z"), "z", b"abc")[-2, 1]
    workspace.forget(["B"])
    assert others(workspace.tables, "z") is None


def test_the_largest_and_those_given_first_leave_where_they_do_not_fit() -> None:
    small = {f"{n}": bytes(str(n), "ascii") * 9 for n in range(9)}
    workspace = _workspace({**small, "large": b"x" * 400}, max_bytes=430)
    status = workspace.status
    assert (status.files, status.bytes, status.left_out) == (9, 90, 1)
    assert not _answers(others(workspace.tables, "z"), "z", b"xxxx")[-1].any()
    workspace = _workspace(small, max_bytes=90)
    workspace.remember({"y": b"y" * 9})
    assert (workspace.status.files, workspace.status.left_out) == (9, 1)
    assert not _answers(others(workspace.tables, "z"), "z", b"0000")[-1].any()
    workspace.forget(["0"])
    assert workspace.status.left_out == 0


def test_a_file_may_be_empty() -> None:
    workspaces = Workspaces(ORDERS)
    assert workspaces.remember("w", {"A.java": b""}).files == 1


def test_more_contexts_than_fit_leave_those_that_say_least(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"A": b"abababab" + bytes(range(100, 120))}
    whole = count(ORDERS, texts).ngrams
    monkeypatch.setattr(workspaces_module, "MAX_CONTEXTS", 3)
    few = count(ORDERS, texts)
    assert len(few.ngrams) == len(few.owners) == 3
    assert np.isin(few.ngrams.contexts, whole.contexts).all()
    assert (few.ngrams.predictions % CLASSES).min() >= np.median(whole.predictions % CLASSES)


def test_what_is_known_is_counted_for_a_network_that_reads_other_contexts() -> None:
    known, other = {"A": b"abcabd", "B": b"xyz"}, Architecture(ngrams=(2,)).orders
    workspaces = Workspaces(ORDERS, max_workspaces=2)
    for name in "vw":
        workspaces.remember(name, known)
    others, anew = workspaces.counted_for(other), Workspaces(other)
    for name in "vw":
        assert others.status(name) == anew.remember(name, known)
    project = others.project("w", "z")
    assert project is not None
    hashes = contexts.hashes(
        other, inputs.initial_context(SHAPE, 1), alphabet.encode(b"abc")[:, None]
    )
    told = count(other, known).without("z").look_up(hashes)
    assert told.any()
    assert (project.memory.look_up(hashes) == told).all()
    others.remember("u", known)  # in place of the least recently used one
    assert [others.status(name).files for name in "uvw"] == [2, 0, 2]
    assert workspaces.counted_for(ORDERS) is workspaces


def test_one_workspace_knows_nothing_of_another() -> None:
    workspaces = Workspaces(ORDERS)
    status = workspaces.remember("w", {"A": b"abc"})
    assert status == workspaces.status("w")
    assert status.files == 1
    assert workspaces.project("v", "z") is None
    assert workspaces.status("v").files == 0
    assert workspaces.project("w", "z") is not None


def test_every_change_is_another_generation_and_leaves_the_one_before_as_it_was() -> None:
    workspaces = Workspaces(ORDERS)
    workspaces.remember("w", {"A": b"abc"})
    before = workspaces.project("w", "z")
    assert before is not None
    answers = _answers(before.memory, "z", b"abc").tolist()
    workspaces.remember("w", {"A": b"abd"})
    after = workspaces.project("w", "z")
    assert after is not None
    assert after.generation > before.generation
    assert _answers(before.memory, "z", b"abc").tolist() == answers
    assert _answers(after.memory, "z", b"abc").tolist() != answers
    assert before.since <= before.generation  # nothing was forgotten
    workspaces.remember("w", {"A": b"abd"})
    assert workspaces.project("w", "z") == after  # nothing changed
    workspaces.remember("w", {"B": b"xyz"})
    workspaces.forget("w", ["B"])
    forgotten = workspaces.project("w", "z")
    assert forgotten is not None
    assert forgotten.since > after.generation
    workspaces.forget("w", None)
    assert workspaces.project("w", "z") is None


def test_the_least_recently_used_workspace_leaves() -> None:
    workspaces = Workspaces(ORDERS, max_workspaces=2)
    for name in "abc":
        workspaces.remember(name, {"A": b"abc"})
        workspaces.project("a", "z")
    workspaces.forget("unknown", None)
    assert workspaces.remember("unknown", {}).files == 0
    assert [workspaces.status(name).files for name in "abc"] == [1, 0, 1]
