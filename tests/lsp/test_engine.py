"""Keeping the engine up, where it cannot be kept up."""

from __future__ import annotations

import pytest

from foretype.client import Document, Limits
from foretype_lsp import engine
from foretype_lsp.engine import MAX_FAILURES, Engine


class Messages:
    def __init__(self) -> None:
        self.logged: list[str] = []
        self.shown: list[str] = []

    def log(self, message: str) -> None:
        self.logged.append(message)

    def show_error(self, message: str) -> None:
        self.shown.append(message)


async def _keep_up(monkeypatch: pytest.MonkeyPatch, executable: str) -> Messages:
    monkeypatch.setattr(engine, "FIRST_DELAY", 0.001)
    monkeypatch.setattr("sys.executable", executable)
    messages = Messages()
    unusable = Engine(None, "java", messages)
    await unusable.keep_up()
    assert await unusable.complete(Document(), Limits(), 30) == []
    return messages


async def test_an_engine_that_always_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = await _keep_up(monkeypatch, "/bin/false")
    assert len(messages.logged) == MAX_FAILURES - 1
    assert "the engine ended (exit code 1); it is started again in 0.001 s" in messages.logged[0]
    assert messages.shown == ["foretype: no suggestions until the editor is restarted: exit code 1"]


async def test_a_process_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = await _keep_up(monkeypatch, "/no/such/python")
    [message] = messages.shown
    assert "/no/such/python" in message
