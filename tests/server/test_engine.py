"""The engine answers as if it had read every text from its start, whatever it remembers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretype_models import alphabet
from foretype_models.inputs import Memories
from foretype_models.memory import Answers, answers
from foretype_models.runtime import Runtime
from foretype_server.compute import Compute
from foretype_server.documents import Document, Limits, Timings
from foretype_server.engine import Engine
from foretype_server.errors import Overloaded
from foretype_server.search import Candidate, Character, Options
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


@pytest.fixture(scope="module")
def long_lived(runtime: Runtime) -> Generator[Engine]:
    """Keeps what it has read from one example to the next, and not for long."""
    engine = Engine(runtime, snapshot_bytes=100_000)
    yield engine
    engine.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    cursor=st.integers(0, 3 * len(TEXT)),
    start=st.integers(0, 3 * len(TEXT)),
    deleted=st.integers(0, 40),
    inserted=st.text(alphabet="abc(){};\n é€", max_size=8),
)
def test_edits_and_jumps_change_no_answer(
    runtime: Runtime, long_lived: Engine, cursor: int, start: int, deleted: int, inserted: str
) -> None:
    """Bit for bit in fp32: as a fresh engine answers, so does one that has read other things."""
    text = 3 * TEXT
    edited = text[:start] + inserted + text[start + deleted :]
    document = _document(edited[:cursor], edited[cursor:])
    fresh = Engine(runtime)
    try:
        assert _complete(long_lived, document)[0] == _complete(fresh, document)[0]
    finally:
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
    async def streamed() -> tuple[str, str]:
        document, text, stop = _document(TEXT[:-20]), "", ""
        limits = Limits("line", Options(1, 200, 0.0))
        async for item in engine.stream(document, limits, Timings()):
            if isinstance(item, Character):
                text += item.text
            else:
                stop = item
        return text, stop

    async def completed() -> Candidate:
        limits = Limits("line", Options(1, 200, 0.0))
        [found] = await engine.complete(_document(TEXT[:-20]), limits, Timings())
        return found

    found = asyncio.run(completed())
    assert asyncio.run(streamed()) == (found.text, found.stop)


def test_scores_are_those_of_the_network(engine: Engine, runtime: Runtime) -> None:
    text = "String größe = null; // 漢字\n"
    scores = asyncio.run(engine.score(PATH, text, Timings()))
    assert "".join(score.text for score in scores) == text
    symbols = np.concatenate((alphabet.encode_path(PATH), alphabet.encode(text.encode())))
    own = Memories(file=Answers(answers(runtime.architecture.ngrams, symbols)[:-1, None]))
    log_probs, _ = runtime.read(symbols[:-1, None], runtime.initial_state(), own)
    nats = -log_probs[np.arange(len(symbols) - 1), 0, symbols[1:]][len(PATH) + 1 :].sum()
    assert sum(score.bits for score in scores) == pytest.approx(nats / np.log(2), abs=1e-3)


class _Endless:
    """A job that goes on until it is given up."""

    def __init__(self) -> None:
        self.started, self.given_up = threading.Event(), threading.Event()

    def work(self) -> Generator[None, None, None]:
        try:
            while True:
                self.started.set()
                yield
        finally:
            self.given_up.set()


async def _until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 30)


async def test_cancelling_frees_the_compute_thread() -> None:
    compute, endless = Compute(capacity=1), _Endless()
    task = asyncio.create_task(compute.run(endless.work()))
    await _until(endless.started)
    task.cancel()
    await _until(endless.given_up)
    compute.close()


async def test_more_than_its_capacity_is_refused_at_once() -> None:
    compute, endless = Compute(capacity=1), _Endless()
    task = asyncio.create_task(compute.run(endless.work()))
    await _until(endless.started)
    with pytest.raises(Overloaded, match="1 requests are under way; try again"):
        await compute.run(_Endless().work())
    task.cancel()
    await _until(endless.given_up)
    compute.close()


async def test_short_work_is_done_while_long_work_is_under_way() -> None:
    def short() -> Generator[None, None, str]:
        yield
        return "done"

    compute, endless = Compute(capacity=2), _Endless()
    task = asyncio.create_task(compute.run(endless.work()))
    await _until(endless.started)
    assert await compute.run(short()) == "done"
    task.cancel()
    await _until(endless.given_up)
    compute.close()


async def test_the_background_has_its_turn_when_there_is_no_job() -> None:
    left, read = 3, threading.Event()

    def background() -> bool:
        nonlocal left
        left -= 1
        if left == 2:
            raise MemoryError("which ends no thread")
        if left == 0:
            read.set()
        return left > 0

    compute, endless = Compute(capacity=1, background=background), _Endless()
    task = asyncio.create_task(compute.run(endless.work()))
    await _until(endless.started)
    assert left == 3
    task.cancel()
    await _until(read)
    await asyncio.to_thread(compute.close)


async def test_closing_does_not_wait_for_the_background() -> None:
    started = threading.Event()

    def background() -> bool:
        started.set()
        return True

    def short() -> Generator[None, None, None]:
        yield

    compute = Compute(capacity=1, background=background)
    await compute.run(short())
    await _until(started)
    await asyncio.to_thread(compute.close)


async def test_closing_gives_up_what_is_under_way() -> None:
    compute, endless = Compute(capacity=1), _Endless()
    task = asyncio.create_task(compute.run(endless.work()))
    await _until(endless.started)
    await asyncio.to_thread(compute.close)
    with pytest.raises(asyncio.CancelledError):
        await task
