"""The engine answers as if it had read every text from its start, whatever it remembers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretype_models import alphabet, bundle
from foretype_models.contexts import Contexts
from foretype_models.inputs import NO_MEMORIES, Found, Memories
from foretype_models.memory import Answers, answers
from foretype_models.runtime import Piece, Read, Runtime
from foretype_server import compute as compute_module
from foretype_server.candidates import Candidate, Options
from foretype_server.compute import (
    Compute,
    _Job,  # pyright: ignore[reportPrivateUsage]
)
from foretype_server.documents import Document, Limits, Timings
from foretype_server.engine import Engine
from foretype_server.errors import Overloaded
from foretype_server.search import Character
from foretype_server.states import BLOCK

PATH = "src/main/java/org/example/zoo/Gorilla0.java"
TEXT = """package org.example.zoo;

import java.util.List;

/**
 * A Gorilla0 that lives in the zoo.
 */
public class Gorilla0 {

    private final String habitat;

    public Gorilla0(final String habitat) {
        this.habitat = habitat;
    }
"""
Running = AbstractContextManager[None]
LIMITS = Limits("line", Options(candidates=2, length=24, confidence=0.0))


def _document(prefix: str, suffix: str = "", workspace: str = "") -> Document:
    return Document(workspace, PATH, prefix.encode(), suffix.encode())


def _complete(engine: Engine, document: Document) -> tuple[list[Candidate], Timings]:
    timings = Timings()
    return asyncio.run(engine.complete(document, LIMITS, timings)), timings


@pytest.fixture
def engine(runtime: Runtime) -> Generator[Engine]:
    engine = Engine(runtime)
    yield engine
    engine.close()


@pytest.fixture(scope="module", params=["fp32", "int8"])
def long_lived(tiny_model: Path, request: pytest.FixtureRequest) -> Generator[Engine]:
    """Keeps what it has read from one example to the next, and not for long."""
    engine = Engine(Runtime(bundle.load(tiny_model), request.param), snapshot_bytes=100_000)
    yield engine
    engine.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    cursor=st.integers(0, 3 * len(TEXT)),
    start=st.integers(0, 3 * len(TEXT)),
    deleted=st.integers(0, 40),
    inserted=st.text(alphabet="abc(){};\n é€", max_size=8),
)
def test_edits_and_jumps_change_no_answer(
    long_lived: Engine, cursor: int, start: int, deleted: int, inserted: str
) -> None:
    """Bit for bit: as a fresh engine answers, so does one that has read other things."""
    text = 3 * TEXT
    edited = text[:start] + inserted + text[start + deleted :]
    document = _document(edited[:cursor], edited[cursor:])
    fresh = Engine(long_lived.runtime)
    try:
        assert _complete(long_lived, document)[0] == _complete(fresh, document)[0]
    finally:
        fresh.close()


async def test_what_others_ask_meanwhile_changes_no_answer(long_lived: Engine) -> None:
    """Nor how many they are, what they write, and when their steps are taken along."""
    documents = [
        _document(TEXT[: 20 * number] + f"int other{number} = {number}", workspace=f"w{number % 3}")
        for number in range(16)
    ]
    together = await asyncio.gather(
        *(long_lived.complete(document, LIMITS, Timings()) for document in documents)
    )
    for document, found in zip(documents, together, strict=True):
        fresh = Engine(long_lived.runtime)
        assert await fresh.complete(document, LIMITS, Timings()) == found
        fresh.close()


def test_a_keystroke_reads_one_character_and_an_edit_less_than_a_block_too_much(
    engine: Engine,
) -> None:
    text = 3 * TEXT
    assert _complete(engine, _document(text))[1].read_bytes == len(text)
    assert _complete(engine, _document(text))[1].read_bytes == 0
    assert _complete(engine, _document(text + "x"))[1].read_bytes == 1
    jumped = _complete(engine, _document(text[: 2 * BLOCK + 7]))[1]
    assert jumped.read_bytes == 7


def test_a_long_file_is_read_while_nobody_asks(engine: Engine) -> None:
    long = _document(40 * TEXT)
    near = context = _complete(engine, long)[1].context_bytes
    assert near < len(long.prefix)
    tries = 0
    while context == near and (tries := tries + 1) < 600:
        time.sleep(0.05)
        context = _complete(engine, long)[1].context_bytes
    assert context == len(long.prefix)


def test_nothing_is_shared_between_workspaces(engine: Engine) -> None:
    _complete(engine, _document(TEXT, workspace="a"))
    assert _complete(engine, _document(TEXT, workspace="b"))[1].read_bytes == len(TEXT)


def test_what_stands_after_the_cursor_is_not_written_again(engine: Engine) -> None:
    prefix = TEXT[: TEXT.index(" habitat;\n    }")]
    [plain, *_], _ = _complete(engine, _document(prefix))
    [fitted, *_], _ = _complete(engine, _document(prefix, ";\n"))
    assert plain.text.endswith(";")
    assert plain.stop == "boundary"
    assert fitted.text == plain.text.removesuffix(";")
    assert fitted.stop == "suffix"


def test_a_stream_says_what_complete_says(engine: Engine) -> None:
    before = TEXT[: TEXT.index(" in the zoo")]

    async def streamed() -> tuple[str, str]:
        document, text, stop = _document(before), "", ""
        limits = Limits("line", Options(1, 200, 0.0))
        async for item in engine.stream(document, limits, Timings()):
            if isinstance(item, Character):
                text += item.text
            else:
                stop = item
        return text, stop

    async def completed() -> Candidate:
        limits = Limits("line", Options(1, 200, 0.0))
        [found] = await engine.complete(_document(before), limits, Timings())
        return found

    found = asyncio.run(completed())
    assert found.stop == "boundary"
    assert asyncio.run(streamed()) == (found.text, found.stop)


def test_what_was_streamed_is_read_ahead(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected: list[bytes] = []

    def expect(document: Document, suggested: bytes) -> None:
        expected.append(suggested)

    monkeypatch.setattr(engine._reader, "expect", expect)  # pyright: ignore[reportPrivateUsage]
    document = _document(TEXT[: TEXT.index(" in the zoo")])
    limits = Limits("line", Options(1, 200, 0.0))

    async def streamed() -> str:
        items = [item async for item in engine.stream(document, limits, Timings())]
        return "".join(item.text for item in items if isinstance(item, Character))

    text = asyncio.run(streamed())
    assert text
    assert expected == [text.encode()]


def test_names_are_known_from_the_document_and_its_workspace(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network writes one of the animals' names, and is sure of none."""
    prefix = "package org.example.zoo;\n\nimport java.util.List;\n\nclass "

    def found(confidence: float, suffix: str = "", workspace: str = "zoo") -> str:
        limits = Limits("line", Options(1, 200, confidence))
        document = _document(prefix, suffix, workspace)
        candidates = asyncio.run(engine.complete(document, limits, Timings()))
        return candidates[0].text if candidates else ""

    [name, *_] = found(0.0).split()
    assert not found(0.001).startswith(name)
    assert found(0.001, f"\n{name} x;").startswith(name)

    def knows(workspace: str, asked: bytes) -> bool:
        return (workspace, asked.decode()) == ("zoo", name)

    # What is remembered would change what the network writes, too.
    monkeypatch.setattr(engine.workspaces, "knows_name", knows)
    assert found(0.001).startswith(name)
    assert not found(0.001, workspace="farm").startswith(name)


def test_scores_are_those_of_the_network(engine: Engine, runtime: Runtime) -> None:
    text = "String größe = null; // 漢字\n"
    scores = asyncio.run(engine.score(PATH, text, Timings()))
    assert "".join(score.text for score in scores) == text
    symbols = np.concatenate((alphabet.encode_path(PATH), alphabet.encode(text.encode())))
    own = Memories(file=Answers(answers(runtime.architecture.orders, symbols)[:-1, None]))
    log_probs, _ = runtime.read(symbols[:-1, None], runtime.initial_state(), own)
    nats = -log_probs[np.arange(len(symbols) - 1), 0, symbols[1:]][len(PATH) + 1 :].sum()
    assert sum(score.bits for score in scores) == pytest.approx(nats / np.log(2), abs=1e-3)


async def test_scores_keep_nobody_waiting_and_are_refused_like_all_else(
    runtime: Runtime,
) -> None:
    engine = Engine(runtime, capacity=2)
    try:
        text = "int größe = 0; // 漢字\n" * 400
        scoring = [asyncio.create_task(engine.score(PATH, text, Timings())) for _ in range(2)]
        await asyncio.sleep(0)
        assert engine.under_way == 2
        with pytest.raises(Overloaded):
            await engine.score(PATH, text, Timings())
        for scores in await asyncio.gather(*scoring):
            assert "".join(score.text for score in scores) == text
    finally:
        engine.close()


class _Endless:
    """A job that goes on until it is given up."""

    def __init__(self, runtime: Runtime) -> None:
        self.started, self.given_up = threading.Event(), threading.Event()
        self._piece = Piece(np.zeros((1, 1), np.int64), runtime.initial_state())

    def work(self) -> Generator[Piece, Read, None]:
        try:
            while True:
                self.started.set()
                yield self._piece
        finally:
            self.given_up.set()


async def _until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 30)


async def test_cancelling_frees_the_compute_thread(runtime: Runtime) -> None:
    compute, endless = Compute(runtime, capacity=1), _Endless(runtime)
    task = asyncio.create_task(compute.run(endless.work(), object()))
    await _until(endless.started)
    task.cancel()
    await _until(endless.given_up)
    compute.close()


async def test_more_than_its_capacity_is_refused_at_once(runtime: Runtime) -> None:
    compute, endless = Compute(runtime, capacity=1), _Endless(runtime)
    task = asyncio.create_task(compute.run(endless.work(), object()))
    await _until(endless.started)
    with pytest.raises(Overloaded, match="1 requests are under way; try again"):
        await compute.run(_Endless(runtime).work(), object())
    task.cancel()
    await _until(endless.given_up)
    compute.close()


async def test_who_has_an_answer_may_ask_again_at_once(runtime: Runtime) -> None:
    def short() -> Generator[Piece, Read, None]:
        yield Piece(np.zeros((1, 1), np.int64), runtime.initial_state())

    compute = Compute(runtime, capacity=8)

    async def ask() -> None:
        for _ in range(40):
            await compute.run(short(), object())

    await asyncio.gather(*(ask() for _ in range(8)))
    await asyncio.to_thread(compute.close)


def _closed(runtime: Runtime) -> Compute:
    """Whose turn it is, is asked of it by hand."""
    compute = Compute(runtime, capacity=8)
    compute.close()
    compute._closed = False  # pyright: ignore[reportPrivateUsage]
    return compute


def _waiting(compute: Compute, runtime: Runtime, session: str) -> _Job[None]:
    """Work that has been taken on for a session."""

    def work() -> Generator[Piece, Read, None]:
        yield Piece(np.zeros((1, 1), np.int64), runtime.initial_state())

    job = _Job(work(), session)
    compute._submit(job)  # pyright: ignore[reportPrivateUsage]
    return job


def _next(compute: Compute) -> _Job[None]:
    [job] = compute._next()  # pyright: ignore[reportPrivateUsage]
    job.taken = False
    return job


def _has_used(compute: Compute, job: _Job[None], seconds: float) -> None:
    job.seconds += seconds
    compute._seconds[job.session] += seconds  # pyright: ignore[reportPrivateUsage]


def test_long_work_is_done_however_much_short_work_comes(runtime: Runtime) -> None:
    """What is new does not go before what has waited since it last ran."""
    compute = _closed(runtime)
    long = _waiting(compute, runtime, "long")
    _has_used(compute, long, 5)
    early = _waiting(compute, runtime, "early")
    assert _next(compute) is early
    _has_used(compute, early, 6)
    assert _next(compute) is long
    _has_used(compute, _waiting(compute, runtime, "late"), 0.1)
    assert _next(compute) is long


def test_long_work_is_done_however_much_short_work_its_own_session_asks_for(
    runtime: Runtime,
) -> None:
    compute = _closed(runtime)
    long = _waiting(compute, runtime, "one")
    _has_used(compute, long, 5)
    _has_used(compute, _waiting(compute, runtime, "one"), 1)
    assert _next(compute) is long


def test_who_asks_for_much_at_once_gets_no_more_than_who_asks_for_little(
    runtime: Runtime,
) -> None:
    compute = _closed(runtime)
    many = [_waiting(compute, runtime, "many") for _ in range(5)]
    one = _waiting(compute, runtime, "one")
    turns: list[_Job[None]] = []
    for _ in range(20):
        turns.append(_next(compute))
        _has_used(compute, turns[-1], 1)
    assert turns.count(one) == 10
    assert [turns.count(job) for job in many] == [2] * 5


async def test_short_work_is_done_while_long_work_is_under_way(runtime: Runtime) -> None:
    def short() -> Generator[Piece, Read, str]:
        yield Piece(np.zeros((9, 1), np.int64), runtime.initial_state())
        return "done"

    compute, endless = Compute(runtime, capacity=2), _Endless(runtime)
    task = asyncio.create_task(compute.run(endless.work(), object()))
    await _until(endless.started)
    assert await compute.run(short(), object()) == "done"
    task.cancel()
    await _until(endless.given_up)
    compute.close()


async def test_steps_of_all_work_are_taken_together(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    read_together = runtime.read_together

    def counting(pieces: Sequence[Piece], running: Running) -> list[Read]:
        batches.append(len(pieces))
        return read_together(pieces, running)

    monkeypatch.setattr(runtime, "read_together", counting)
    monkeypatch.setattr(compute_module, "THREADS", 1)
    compute, works = Compute(runtime, capacity=5), [_Endless(runtime) for _ in range(5)]
    tasks = [asyncio.create_task(compute.run(work.work(), object())) for work in works]
    for work in works:
        await _until(work.started)
    seen = len(batches)
    while max(batches[seen:], default=0) < 5:
        await asyncio.sleep(0.01)
    tasks[0].cancel()
    await _until(works[0].given_up)
    seen = len(batches) + 1
    while len(batches) < seen + 5:
        await asyncio.sleep(0.01)
    assert set(batches[seen:]) == {4}
    await asyncio.to_thread(compute.close)


async def test_while_the_network_runs_for_some_it_runs_for_others_too(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But nothing else is done for two at once: what jobs work with is not safe for threads."""
    both, computing, batches = threading.Barrier(2), threading.Lock(), set[int]()
    read_together = runtime.read_together

    def compute_alone() -> None:
        assert computing.acquire(blocking=False)
        time.sleep(0.001)
        computing.release()

    def read(pieces: Sequence[Piece], running: Running) -> list[Read]:
        compute_alone()
        batches.add(len(pieces))
        with running:
            if (thread := threading.get_ident()) not in met:
                met.add(thread)
                both.wait(30)
        return read_together(pieces, running)

    def reads() -> Generator[Piece, Read, str]:
        for _ in range(20):
            compute_alone()
            yield Piece(np.zeros((1, 1), np.int64), runtime.initial_state())
        return "done"

    met = set[int]()
    monkeypatch.setattr(compute_module, "THREADS", 2)
    monkeypatch.setattr(runtime, "read_together", read)
    compute = Compute(runtime, capacity=4)
    done = await asyncio.gather(*(compute.run(reads(), object()) for _ in range(4)))
    assert done == ["done"] * 4
    assert len(met) == 2
    assert max(batches) == 2  # a thread's share of four
    await asyncio.to_thread(compute.close)


async def test_who_cannot_be_read_fails_alone(runtime: Runtime) -> None:
    class Broken:
        def look_up(self, contexts: Contexts) -> Found:
            raise MemoryError("of one alone")

    def reads(memories: Memories) -> Generator[Piece, Read, str]:
        for _ in range(50):
            yield Piece(np.zeros((1, 1), np.int64), runtime.initial_state(), memories)
        return "done"

    compute = Compute(runtime, capacity=2)
    well, ill = await asyncio.gather(
        compute.run(reads(NO_MEMORIES), object()),
        compute.run(reads(Memories(file=Broken())), object()),
        return_exceptions=True,
    )
    assert well == "done"
    assert isinstance(ill, MemoryError)
    compute.close()


async def test_no_session_takes_all_places(runtime: Runtime) -> None:
    compute, works = Compute(runtime, capacity=8), [_Endless(runtime) for _ in range(8)]
    tasks = [asyncio.create_task(compute.run(work.work(), "one")) for work in works[:6]]
    for work in works[:6]:
        await _until(work.started)
    with pytest.raises(Overloaded, match="6 requests of this workspace are under way"):
        await compute.run(works[6].work(), "one")
    tasks.append(asyncio.create_task(compute.run(works[7].work(), "another")))
    await _until(works[7].started)
    for task in tasks:
        task.cancel()
    await asyncio.to_thread(compute.close)


async def test_the_background_has_its_share_however_much_there_is_to_do(runtime: Runtime) -> None:
    left, done = 40, threading.Event()

    def background() -> Generator[Piece, Read, None] | None:
        return reads() if left else None

    def reads() -> Generator[Piece, Read, None]:
        nonlocal left
        yield Piece(np.zeros((1, 1), np.int64), runtime.initial_state())
        left -= 1
        if not left:
            done.set()

    compute, works = Compute(runtime, 8, background), [_Endless(runtime) for _ in range(4)]
    tasks = [asyncio.create_task(compute.run(work.work(), work)) for work in works]
    await _until(done)
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.to_thread(compute.close)


async def test_the_background_goes_on_when_there_is_no_job_and_fails_for_none(
    runtime: Runtime,
) -> None:
    turns, read = list[str](), threading.Event()

    def fails() -> Generator[Piece, Read, None]:
        turns.append("fails")
        yield Piece(np.zeros((1, 1), np.int64), runtime.initial_state())
        raise MemoryError("which ends no thread")

    def reads() -> Generator[Piece, Read, None]:
        yield Piece(np.zeros((1, 1), np.int64), runtime.initial_state())
        turns.append("read")
        read.set()

    left = [reads(), fails()]
    compute, endless = Compute(runtime, 1, lambda: left.pop() if left else None), _Endless(runtime)
    task = asyncio.create_task(compute.run(endless.work(), object()))
    await _until(endless.started)
    task.cancel()
    await _until(read)
    assert turns == ["fails", "read"]
    await asyncio.to_thread(compute.close)


async def test_closing_does_not_wait_for_the_background(runtime: Runtime) -> None:
    started = threading.Event()

    def background() -> Generator[Piece, Read, None]:
        started.set()
        yield Piece(np.zeros((1, 1), np.int64), runtime.initial_state())

    def short() -> Generator[Piece, Read, None]:
        yield Piece(np.zeros((1, 1), np.int64), runtime.initial_state())

    compute = Compute(runtime, 1, background)
    await compute.run(short(), object())
    await _until(started)
    await asyncio.to_thread(compute.close)


async def test_closing_gives_up_what_is_under_way(runtime: Runtime) -> None:
    compute, endless = Compute(runtime, capacity=1), _Endless(runtime)
    task = asyncio.create_task(compute.run(endless.work(), object()))
    await _until(endless.started)
    await asyncio.to_thread(compute.close)
    with pytest.raises(asyncio.CancelledError):
        await task
