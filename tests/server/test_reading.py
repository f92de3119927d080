"""What is read for an answer, and what is left to the background."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretype_models import alphabet, contexts, inputs
from foretype_models.runtime import Runtime
from foretype_server import reading, recall
from foretype_server.compute import alone
from foretype_server.documents import Document, Timings
from foretype_server.reading import MAX_HELD, MAX_WAITING, NEAR, Reader
from foretype_server.recall import memory_orders
from foretype_server.states import BLOCK, Snapshot
from foretype_server.workspaces import Table, Workspaces
from tests.server.work import read_in_background

LINE = b"        this.habitat = habitat;\n"
COLD = Document("w", "Zoo.java", LINE * (6 * NEAR // len(LINE)), b"")


def _new(runtime: Runtime, workspaces: Workspaces | None = None) -> Reader:
    orders = memory_orders(runtime.architecture)
    return Reader(runtime, workspaces or Workspaces(orders), 2**24)


@pytest.fixture
def reader(runtime: Runtime) -> Reader:
    return _new(runtime)


def _read(reader: Reader, document: Document, whole: bool = False) -> tuple[Snapshot, Timings]:
    timings = Timings()
    return alone(reader.runtime, reader.read(document, whole, timings)), timings


def _same(one: Snapshot, other: Snapshot) -> bool:
    return np.array_equal(one.log_probs, other.log_probs)


def _finish_background(reader: Reader) -> None:
    while read_in_background(reader):
        pass


def test_a_short_text_is_read_whole(reader: Reader) -> None:
    document = replace(COLD, prefix=COLD.prefix[: 2 * NEAR])
    timings = _read(reader, document)[1]
    assert timings.context_bytes == timings.read_bytes == 2 * NEAR
    assert not read_in_background(reader)


def test_of_a_long_one_the_end_is_read_as_if_the_file_began_there(
    reader: Reader, runtime: Runtime
) -> None:
    snapshot, timings = _read(reader, COLD)
    assert NEAR - len(LINE) <= timings.context_bytes <= 2 * NEAR
    assert timings.read_bytes == timings.context_bytes
    end = COLD.prefix[-timings.context_bytes :]
    assert end.startswith(LINE)
    assert _same(snapshot, _read(_new(runtime), replace(COLD, prefix=end))[0])


def test_typing_on_reads_no_more_than_what_is_typed(reader: Reader) -> None:
    _read(reader, COLD)
    for length in range(1, 20):
        typed = replace(COLD, prefix=COLD.prefix + LINE[:length])
        assert _read(reader, typed)[1].read_bytes == 1


def test_once_the_background_has_read_it_the_whole_text_counts(
    reader: Reader, runtime: Runtime
) -> None:
    _read(reader, COLD)
    _finish_background(reader)
    snapshot, timings = _read(reader, COLD)
    assert (timings.read_bytes, timings.context_bytes) == (0, len(COLD.prefix))
    assert _same(snapshot, _read(_new(runtime), COLD, whole=True)[0])


def test_a_text_that_was_opened_is_read_before_anybody_asks(reader: Reader) -> None:
    left = alone(reader.runtime, reader.read_later(COLD))
    assert left == len(COLD.prefix)
    _finish_background(reader)
    assert alone(reader.runtime, reader.read_later(COLD)) == 0
    assert not read_in_background(reader)
    for at in (len(COLD.prefix), len(COLD.prefix) // 2, 100):
        timings = _read(reader, replace(COLD, prefix=COLD.prefix[:at]))[1]
        assert timings.context_bytes == at
        assert timings.read_bytes < BLOCK


def test_what_somebody_asked_for_stays_though_an_older_text_was_opened(reader: Reader) -> None:
    edited = replace(COLD, prefix=b"// edited\n" + COLD.prefix)
    _read(reader, edited)
    alone(reader.runtime, reader.read_later(COLD))
    _finish_background(reader)
    assert _read(reader, edited)[1].context_bytes == len(edited.prefix)


def test_a_text_that_is_opened_again_is_read_on_though_its_project_changes(
    runtime: Runtime,
) -> None:
    workspaces = Workspaces(memory_orders(runtime.architecture))
    reader = _new(runtime, workspaces)
    for number in range(50):
        workspaces.remember("w", {f"{number}.java": LINE[::-1]})
        alone(runtime, reader.read_later(COLD))
        if not all(read_in_background(reader) for _ in range(4)):
            assert number  # before that, blocks were
            return
    pytest.fail("it is never read to the end")


def test_a_text_that_is_opened_while_another_of_its_name_is_read_still_waits(
    reader: Reader,
) -> None:
    short, other = (replace(COLD, prefix=text) for text in (LINE, LINE[::-1]))
    alone(reader.runtime, reader.read_later(short))
    assert read_in_background(reader)  # its path
    work = reader.background()
    assert work is not None
    read = reader.runtime.read_together([next(work)])
    alone(reader.runtime, reader.read_later(other))
    with pytest.raises(StopIteration):
        work.send(read[0])
    assert read_in_background(reader)
    assert alone(reader.runtime, reader.read_later(other)) == 0


def test_what_is_kept_of_one_text_keeps_nothing_of_what_was_read_beside_it(
    reader: Reader,
) -> None:
    documents = [replace(COLD, path=path, prefix=LINE) for path in ("One.java", "Two.java")]
    works = [reader.read(document, False, Timings()) for document in documents]
    pieces = [next(work) for work in works]  # the paths,
    pieces = [
        work.send(read)
        for work, read in zip(works, reader.runtime.read_together(pieces), strict=True)
    ]
    for work, read in zip(works, reader.runtime.read_together(pieces), strict=True):  # the texts
        with pytest.raises(StopIteration) as end:
            work.send(read)
        snapshot: Snapshot = end.value.value
        state = snapshot.state
        kept = (*state.tensors, state.context, state.recent[0].hidden, snapshot.log_probs)
        assert all(array is not None and array.base is None for array in kept)


def test_of_what_was_opened_no_more_is_read_than_leaves_room(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(name: str) -> Document:
        return replace(COLD, path=name)

    monkeypatch.setattr(reading, "MAX_OPENED", 2 * len(COLD.prefix))
    for name in ("One.java", "Two.java", "Three.java"):
        alone(reader.runtime, reader.read_later(opened(name)))
    monkeypatch.setattr(reading, "MAX_OPENED", len(COLD.prefix) - 1)
    alone(reader.runtime, reader.read_later(opened("Long.java")))
    _finish_background(reader)
    known = {
        name: alone(reader.runtime, reader.read_later(opened(name))) == 0
        for name in ("One.java", "Two.java", "Three.java", "Long.java")
    }
    assert known == {"One.java": False, "Two.java": True, "Three.java": True, "Long.java": False}


def test_who_asks_for_the_whole_text_waits_for_it(reader: Reader) -> None:
    timings = _read(reader, COLD, whole=True)[1]
    assert timings.read_bytes == timings.context_bytes == len(COLD.prefix)
    assert not read_in_background(reader)


def test_the_background_reads_the_newest_text_of_a_file_and_no_older_one(reader: Reader) -> None:
    edited = replace(COLD, prefix=b"// edited\n" + COLD.prefix)
    _read(reader, COLD)
    _read(reader, edited)
    _finish_background(reader)
    assert _read(reader, edited)[1].context_bytes == len(edited.prefix)
    assert _read(reader, COLD)[1].context_bytes < len(COLD.prefix)


def test_a_text_that_fails_in_the_background_holds_up_no_other(
    reader: Reader, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(COLD, path="Other.java")
    _read(reader, other)
    _read(reader, COLD)
    with monkeypatch.context() as broken:
        broken.setattr(runtime, "read_together", _fail)
        with pytest.raises(MemoryError):
            read_in_background(reader)
    _finish_background(reader)
    assert _read(reader, other)[1].context_bytes == len(other.prefix)
    assert _read(reader, COLD)[1].context_bytes < len(COLD.prefix)


def _fail(*_: object) -> None:
    raise MemoryError


def test_the_background_drops_a_text_that_is_no_longer_wanted(reader: Reader) -> None:
    _read(reader, COLD)
    _read(reader, replace(COLD, prefix=LINE))
    assert not read_in_background(reader)


def test_a_line_that_has_just_ended_is_no_reason_to_read_less(reader: Reader) -> None:
    document = replace(COLD, prefix=b"x" * (6 * NEAR - 1) + b"\n")
    assert _read(reader, document)[1].context_bytes >= NEAR // 2


def test_the_file_that_was_asked_for_last_is_read_first(reader: Reader) -> None:
    files = [replace(COLD, path=f"{n}.java") for n in range(MAX_WAITING + 1)]
    for file in files:
        _read(reader, file)
    while _read(reader, files[-1])[1].context_bytes < len(COLD.prefix):
        assert read_in_background(reader)
    assert _read(reader, files[-2])[1].context_bytes < len(COLD.prefix)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    unit=st.text(alphabet="ab é漢😀", min_size=1, max_size=12),
    line=st.integers(1, 2 * NEAR),
    bytes_more=st.integers(0, 2 * NEAR),
)
def test_the_end_that_is_read_is_never_short_nor_begins_inside_a_character(
    runtime: Runtime, unit: str, line: int, bytes_more: int
) -> None:
    """However long the lines are."""
    whole_line = unit * (line // len(unit.encode()) + 1) + "\n"
    text = whole_line * ((2 * NEAR + bytes_more) // len(whole_line.encode()) + 1)
    document = replace(COLD, prefix=text.encode())
    timings = _read(_new(runtime), document)[1]
    end = document.prefix[-timings.context_bytes :].decode()
    assert text.endswith(end)
    assert len(end.encode()) >= NEAR // 2


def test_a_text_is_read_with_what_its_project_knows(runtime: Runtime) -> None:
    workspaces = Workspaces(memory_orders(runtime.architecture))
    reader = _new(runtime, workspaces)
    document = replace(COLD, prefix=b"class Zebra { Savanna", suffix=b"")
    before, _ = _read(reader, document)
    workspaces.remember("w", {"Other.java": 3 * b"class Zebra { SavannaKeeper keeper; }\n"})
    after, timings = _read(reader, document, whole=True)
    assert timings.read_bytes == len(document.prefix)
    assert after.log_probs[ord("K")] > before.log_probs[ord("K")]
    assert _same(_read(reader, replace(document, workspace="v"))[0], before)


def test_while_a_new_memory_is_being_read_the_one_before_answers(runtime: Runtime) -> None:
    """A keystroke after a file of the project was saved waits for nothing."""
    workspaces = Workspaces(memory_orders(runtime.architecture))
    reader = _new(runtime, workspaces)
    before, _ = _read(reader, COLD, whole=True)
    workspaces.remember("w", {"Other.java": LINE})
    during, timings = _read(reader, COLD)
    assert (timings.read_bytes, timings.context_bytes) == (0, len(COLD.prefix))
    assert _same(during, before)
    _finish_background(reader)
    after, timings = _read(reader, COLD)
    assert timings.read_bytes == 0
    assert _same(after, _read(_new(runtime, workspaces), COLD, whole=True)[0])


def test_a_memory_that_changes_all_the_time_is_read_with_all_the_same(runtime: Runtime) -> None:
    """As where an editor saves after every second of typing."""
    workspaces = Workspaces(memory_orders(runtime.architecture))
    reader = _new(runtime, workspaces)
    _read(reader, COLD, whole=True)
    workspaces.remember("w", {"0.java": LINE})
    first, _ = _read(_new(runtime, workspaces), COLD, whole=True)
    for number in range(1, 200):
        _read(reader, COLD)
        for _ in range(4):
            read_in_background(reader)
        workspaces.remember("w", {f"{number}.java": LINE[::-1]})
        if _same(_read(reader, COLD)[0], first):
            return
    pytest.fail("the new memory is never read to the end")


def test_what_was_forgotten_answers_no_more(runtime: Runtime) -> None:
    workspaces = Workspaces(memory_orders(runtime.architecture))
    workspaces.remember("w", {"A.java": LINE, "B.java": 9 * b"secretName();\n"})
    reader = _new(runtime, workspaces)
    _read(reader, COLD, whole=True)
    workspaces.forget("w", ["B.java"])
    assert _read(reader, COLD)[1].context_bytes < len(COLD.prefix)
    workspaces.forget("w", None)
    assert _read(reader, COLD)[1].context_bytes < len(COLD.prefix)


def test_memories_before_are_held_for_few_texts_and_not_when_something_was_forgotten(
    runtime: Runtime,
) -> None:
    """However many texts are read and however often their project changes."""
    workspaces = Workspaces(memory_orders(runtime.architecture))
    reader = _new(runtime, workspaces)
    tables: list[weakref.ref[Table]] = []
    for number in range(10):
        workspaces.remember("w", {f"{number}.java": LINE})
        _read(reader, Document("w", f"New{number}.java", LINE, b""))
        tables.append(weakref.ref(workspaces._entries["w"].tables[-1]))  # pyright: ignore[reportPrivateUsage]
    gc.collect()
    assert 1 < sum(table() is not None for table in tables) <= 1 + MAX_HELD
    workspaces.forget("w", ["0.java"])
    reader.let_go()
    gc.collect()
    assert not any(table() is not None for table in tables)


def test_what_is_remembered_of_a_long_text_does_not_depend_on_how_it_was_read(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "SPAN", 1024)
    rng = np.random.default_rng(1)
    lines = [bytes(rng.integers(97, 123, 30).tolist()) + b"\n" for _ in range(60)]
    chosen: list[int] = rng.integers(0, 60, 200).tolist()
    text = b"".join(lines[number] for number in chosen)
    document = replace(COLD, prefix=text)
    at_once, _ = _read(_new(runtime), document, whole=True)
    reader = _new(runtime)
    for length in range(700, len(text), 700):
        _read(reader, replace(document, prefix=text[:length]), whole=True)
    in_parts, _ = _read(reader, document, whole=True)
    assert _same(at_once, in_parts)
    # What stands two spans before the end no longer counts.
    first = replace(document, prefix=text[: 2 * 1024])
    memories = _read(_new(runtime), document, whole=True)[0].memories
    assert memories.file is not None
    known = _read(_new(runtime), first, whole=True)[0].memories.file
    assert known is not None
    early = alphabet.encode(next(line for line in lines if text.rfind(line) in range(1100, 1900)))
    context = inputs.initial_context(runtime.architecture, 1)
    hashes = contexts.hashes(runtime.architecture.orders, context, early[:-1, None])
    assert known.look_up(hashes)[-1].all()
    assert not memories.file.look_up(hashes)[-1].any()


def test_when_a_suggestion_is_accepted_nothing_is_left_to_read(reader: Reader) -> None:
    document = replace(COLD, prefix=LINE)
    _read(reader, document)
    reader.expect(document, LINE)
    _finish_background(reader)
    accepted, timings = _read(reader, replace(COLD, prefix=LINE + LINE))
    assert timings.read_bytes == 0
    assert _same(accepted, _read(_new(reader.runtime), replace(COLD, prefix=LINE + LINE))[0])


def test_what_is_typed_otherwise_than_expected_is_read_as_if_nothing_had_been(
    reader: Reader,
) -> None:
    document = replace(COLD, prefix=LINE)
    _read(reader, document)
    reader.expect(document, LINE)
    _finish_background(reader)
    other = replace(COLD, prefix=LINE + LINE[:9] + b"x" + LINE)
    assert _same(_read(reader, other)[0], _read(_new(reader.runtime), other)[0])


def test_a_long_text_is_read_before_what_may_follow_it(reader: Reader) -> None:
    _read(reader, COLD)
    reader.expect(COLD, LINE)
    _finish_background(reader)
    assert _read(reader, COLD)[1].context_bytes == len(COLD.prefix)
    assert _read(reader, replace(COLD, prefix=COLD.prefix + LINE))[1].read_bytes == len(LINE)


def test_what_is_far_ahead_is_not_read_ahead(reader: Reader) -> None:
    document = replace(COLD, prefix=LINE)
    _read(reader, document)
    reader.expect(document, 20 * LINE)
    _finish_background(reader)
    accepted = replace(document, prefix=LINE + 20 * LINE)
    assert _read(reader, accepted)[1].read_bytes == 20 * len(LINE)


def test_a_read_that_is_given_up_forgets_no_memory_that_answers_may_rest_on(
    runtime: Runtime,
) -> None:
    workspaces = Workspaces(memory_orders(runtime.architecture))
    reader = _new(runtime, workspaces)
    _read(reader, COLD, whole=True)
    workspaces.remember("w", {"Other.java": LINE})
    given_up = reader.read(COLD, True, Timings())
    next(given_up)
    given_up.close()
    assert _read(reader, COLD)[1].context_bytes == len(COLD.prefix)
