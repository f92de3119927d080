"""Whatever is typed and wherever the cursor jumps: what is known of the texts before changes
no answer by a bit.

    pytest tests/server/test_exactness.py --hypothesis-profile thorough

does it a hundred thousand times in each precision; in half an hour or so.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from foretype_models import bundle
from foretype_models.bundle import Precision
from foretype_models.runtime import Runtime
from foretype_server import recall, search
from foretype_server.candidates import Candidate, Cursor, Options
from foretype_server.compute import alone
from foretype_server.documents import Document, Timings
from foretype_server.drafts import Drafts
from foretype_server.engine import progress
from foretype_server.names import Names
from foretype_server.reading import Reader
from foretype_server.recall import memory_orders
from foretype_server.states import Snapshot
from foretype_server.workspaces import Workspaces
from tests.server.test_engine import TEXT
from tests.server.work import read_in_background

FILES = [("one", "Zoo.java"), ("one", "Cage.java"), ("two", "Zoo.java")]
OTHERS = {"Gorilla0.java": TEXT.encode(), "Keeper.java": b"class Keeper { int zoo; }\n"}
STEPS = 50
LONGEST = 1500  # bytes of a text

typed = st.text(alphabet="abc(){};\n é€", min_size=1, max_size=8)
pasted = st.integers(0, len(TEXT) - 1).map(lambda at: TEXT[at : at + 120])


class Editing(RuleBasedStateMachine):
    """Somebody edits three files of two workspaces, beside a reader that has room for little,
    so that much of what it knew is gone when it is wanted."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self._runtime = runtime
        self._workspaces = Workspaces(memory_orders(runtime.architecture))
        self._workspaces.remember("one", OTHERS)
        self._reader = Reader(runtime, self._workspaces, snapshot_bytes=30_000)
        self._drafts = Drafts(runtime.is_exact)
        self._texts = dict.fromkeys(FILES, TEXT)
        self._cursors = dict.fromkeys(FILES, len(TEXT))
        self._file = FILES[0]
        self._options = Options(candidates=1, length=6, confidence=0)

    def _edit(self, inserted: str, deleted: int = 0) -> None:
        text, cursor = self._texts[self._file], self._cursors[self._file]
        before = text[: max(0, cursor - deleted)] + inserted
        self._texts[self._file] = (before + text[cursor:])[-LONGEST:]
        self._cursors[self._file] = min(len(before), LONGEST)

    @rule(inserted=typed)
    def type(self, inserted: str) -> None:
        self._edit(inserted)

    @rule(inserted=pasted)
    def paste(self, inserted: str) -> None:
        self._edit(inserted)

    @rule(deleted=st.integers(1, 40))
    def delete(self, deleted: int) -> None:
        self._edit("", deleted)

    @rule(share=st.floats(0, 1))
    def jump(self, share: float) -> None:
        self._cursors[self._file] = round(share * len(self._texts[self._file]))

    @rule(file=st.sampled_from(FILES))
    def look_at(self, file: tuple[str, str]) -> None:
        self._file = file

    @rule(candidates=st.sampled_from([1, 1, 3]), confidence=st.sampled_from([0, 0.05, 0.3]))
    def ask_for(self, candidates: int, confidence: float) -> None:
        self._options = Options(candidates, 6, confidence)

    @rule(path=st.sampled_from([*OTHERS, "New.java"]), text=pasted)
    def save(self, path: str, text: str) -> None:
        self._workspaces.remember("one", {path: text.encode()})

    @rule(path=st.sampled_from([*OTHERS, "New.java"]))
    def remove(self, path: str) -> None:
        self._workspaces.forget("one", [path])

    @rule()
    def open(self) -> None:
        """All of it is left to the background."""
        document = Document(*self._file, self._texts[self._file].encode(), b"")
        alone(self._runtime, self._reader.read_later(document))

    @rule()
    def pause(self) -> None:
        """In which the background reads what it expects to be accepted."""
        document, _, found = self._asked(self._reader, self._drafts)
        if found:
            self._reader.expect(document, found[0].text.encode())
        while read_in_background(self._reader):
            pass

    @invariant()
    def it_answers_like_one_that_has_read_nothing_before(self) -> None:
        fresh = Reader(self._runtime, self._workspaces, snapshot_bytes=30_000)
        _, known, found = self._asked(self._reader, self._drafts)
        _, expected, wanted = self._asked(fresh)
        assert np.array_equal(known.log_probs, expected.log_probs)
        assert all(map(np.array_equal, known.state.tensors, expected.state.tensors))
        assert found == wanted

    def _asked(
        self, reader: Reader, drafts: Drafts | None = None
    ) -> tuple[Document, Snapshot, list[Candidate]]:
        text, cursor = self._texts[self._file], self._cursors[self._file]
        document = Document(*self._file, text[:cursor].encode(), text[cursor:].encode())
        snapshot = alone(self._runtime, reader.read(document, True, Timings()))
        elsewhere = partial(self._workspaces.knows_name, document.workspace)
        start = Cursor(
            snapshot,
            progress(document, "line"),
            Names(document.prefix, document.suffix, elsewhere),
            drafts and drafts.of(document),
        )
        found = alone(self._runtime, search.search(start, self._options))
        return document, snapshot, found


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("model", "precision"),
    # The other one reads contexts of all kinds.
    [("tiny_model", "fp32"), ("tiny_model", "int8"), ("other_model", "fp32")],
)
def test_edits_and_jumps_change_no_answer_by_a_bit(
    request: pytest.FixtureRequest,
    model: str,
    precision: Precision,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So that these texts have several spans, as files beyond 64 KB have.
    monkeypatch.setattr(recall, "SPAN", 256)
    folder: Path = request.getfixturevalue(model)
    runtime = Runtime(bundle.load(folder), precision)

    class Bound(Editing):
        def __init__(self) -> None:
            super().__init__(runtime)

    examples = settings.default.max_examples if settings.default else 100
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=examples // 10,
            stateful_step_count=STEPS,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
