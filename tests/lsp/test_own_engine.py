"""The language server with an engine of its own, and what is left when either ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled

from tests.lsp.conftest import (
    Editor,
    EditorWith,
    alive,
    engine_of,
    processes,
    until_gone,
)

pytestmark = pytest.mark.e2e

BEFORE, AFTER = "/**\n * A Gorilla0 that lives", "\n */\npublic class Gorilla0 {\n}\n"


def _children(pid: int) -> list[int]:
    return [process.pid for process in processes() if process.parent == pid]


@pytest.mark.parametrize(("encoding", "wide"), [("utf-8", 4), ("utf-16", 2), ("utf-32", 1)])
async def test_a_suggestion_inserts_at_the_right_place(
    editor_with: EditorWith, tiny_model: Path, encoding: str, wide: int
) -> None:
    async with editor_with("--model", tiny_model, encoding=encoding) as editor:
        line = " * A Gorilla0 that lives"
        [item] = await editor.open(f"/**\n😀{line}{AFTER}").asking(1, wide + len(line))
    assert item.insert_text == "lives in the zoo."
    assert item.range is not None
    assert item.range.start.character == wide + line.index("lives")
    assert item.range.end.character == wide + len(line)


async def test_it_starts_without_waiting_for_the_engine_and_answers_when_it_is_ready(
    editor_with: EditorWith, tiny_model: Path
) -> None:
    async with editor_with("--model", tiny_model) as editor:
        assert not any("ready" in message for message in editor.logged)
        assert await editor.open(BEFORE + AFTER).inline(1, 24) == ["lives in the zoo."]


async def test_shutdown_leaves_nothing_behind(editor_with: EditorWith, tiny_model: Path) -> None:
    async with editor_with("--model", tiny_model) as editor:
        await editor.until_logged("the engine is ready")
        adapter = editor.pid
        engine = engine_of(adapter)
        command = next(process.command for process in processes() if process.pid == engine)
        folder = Path(command.partition("unix:")[2].split()[0]).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        await editor.client.shutdown_session()
        assert not alive(adapter)
        assert not alive(engine)
        assert not folder.exists()


async def test_an_engine_that_is_still_starting_ends_before_the_language_server_does(
    editor_with: EditorWith, tiny_model: Path
) -> None:
    async with asyncio.timeout(20), editor_with("--model", tiny_model) as editor:
        while not _children(editor.pid):
            await asyncio.sleep(0.01)
        adapter, engine = editor.pid, engine_of(editor.pid)
        await editor.client.shutdown_session()
        assert not alive(adapter)
        assert not alive(engine)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_the_engine_ends_with_a_language_server_that_is_killed(
    editor_with: EditorWith, tiny_model: Path, number: signal.Signals
) -> None:
    async with editor_with("--model", tiny_model) as editor:
        await editor.until_logged("the engine is ready")
        adapter, engine = editor.pid, engine_of(editor.pid)
        os.kill(adapter, number)
        await until_gone(adapter, engine)


_EDITOR = """
import json, os, subprocess, sys, time
adapter = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
params = {"processId": os.getpid(), "rootUri": None, "capabilities": {}}
for message in (
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params},
    {"jsonrpc": "2.0", "method": "initialized", "params": {}},
):
    body = json.dumps(message).encode()
    adapter.stdin.write(b"Content-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
adapter.stdin.flush()
if sys.argv[1] == "shared":  # another process holds the pipe when this one is gone
    subprocess.Popen(["sleep", "60"], pass_fds=[adapter.stdin.fileno()])
print(adapter.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("pipe", ["own", "shared"])
async def test_nothing_is_left_when_the_editor_is_killed(tiny_model: Path, pipe: str) -> None:
    adapter = [sys.executable, "-m", "foretype", "lsp", "--model", str(tiny_model)]
    with subprocess.Popen(
        [sys.executable, "-c", _EDITOR, pipe, *adapter],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as editor:
        assert editor.stdout is not None
        pid = int(editor.stdout.readline())
        async with asyncio.timeout(60):
            while not _children(pid):
                await asyncio.sleep(0.05)
        engine = engine_of(pid)
        others = [child for child in _children(editor.pid) if child != pid]
        editor.kill()
    await until_gone(pid, engine)
    for other in others:
        os.kill(other, signal.SIGKILL)


async def test_an_engine_that_crashes_is_started_again(
    editor_with: EditorWith, tiny_model: Path
) -> None:
    async with editor_with("--model", tiny_model) as editor:
        assert await editor.open(BEFORE + AFTER).inline(1, 24) == ["lives in the zoo."]
        os.kill(engine_of(editor.pid), signal.SIGKILL)
        await editor.until_logged("the engine is ready", 2)
        assert sum("the engine ended (signal 9)" in message for message in editor.logged) == 1
        editor.type(1, 0, " ")
        assert await editor.inline(1, 25) != []


async def test_a_model_that_is_not_there_is_told_once(editor_with: EditorWith) -> None:
    async with editor_with("--model", "no-such-model") as editor:
        await editor.until_shown("no-such-model")
        assert await editor.open(BEFORE + AFTER).inline(1, 24) == []
        assert (await editor.popup(1, 24)).items == ()
        assert len(editor.shown) == 1
        assert "Traceback" not in "".join(editor.shown + editor.logged)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_cancelled_request_ends_and_the_engine_comes_to_rest(
    editor_with: EditorWith, tiny_model: Path
) -> None:
    """What the request left to the background is read, then the engine uses no more time."""
    async with editor_with("--model", tiny_model) as editor:
        await editor.until_logged("the engine is ready")
        engine = engine_of(editor.pid)
        line = "    private final String habitat = keeper.getHabitat();\n"
        editor.open(line * 4_000)
        before = _cpu_seconds(engine)
        asked = editor.asking(4_000, 0, automatic=False, request_id="much")
        editor.client.cancel_request(types.CancelParams(id="much"))
        with pytest.raises(JsonRpcRequestCancelled):
            await asked
        assert await editor.asking(4_000, 0, automatic=False)
        async with asyncio.timeout(60):
            used, last = 1.0, before
            while used > 0.1:
                await asyncio.sleep(1)
                used, last = _cpu_seconds(engine) - last, _cpu_seconds(engine)
        assert last > before


async def _suggested(editor: Editor, uri: str, text: str) -> str:
    return "".join(await editor.open(text, uri=uri).inline(0, len(text), uri=uri))


async def test_what_other_files_of_the_folder_say_is_known_and_so_is_what_is_saved(
    editor_with: EditorWith, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "Zoo.java").write_text(40 * "quokkaWombat.platypusEchidna();\n")
    own, other = ((tmp_path / name).as_uri() for name in ("Own.java", "Other.java"))
    certain = {"confidence": 0}
    async with editor_with("--model", tiny_model, folder=tmp_path, settings=certain) as editor:
        editor.open("", uri=own)
        await editor.until_logged("1 .java files of")
        assert "platypus" in await _suggested(editor, own, "quokkaWombat.")
        editor.open(40 * "bilbyNumbat.dingoBandicoot();\n", uri=other)
        saved = types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(other))
        editor.client.text_document_did_save(saved)
        async with asyncio.timeout(20):
            while "dingo" not in await _suggested(editor, own, "bilbyNumbat."):
                await asyncio.sleep(0.05)


async def test_what_happens_to_files_outside_the_editor_is_known(
    editor_with: EditorWith, tiny_model: Path, tmp_path: Path
) -> None:
    zoo, new = tmp_path / "Zoo.java", tmp_path / "New.java"
    zoo.write_text(40 * "quokkaWombat.platypusEchidna();\n")
    uri, watched = (tmp_path / "Own.java").as_uri(), list[str]()
    certain = {"confidence": 0}
    async with editor_with(
        "--model", tiny_model, folder=tmp_path, settings=certain, watched=watched
    ) as editor:
        editor.open("", uri=uri)
        await editor.until_logged("1 .java files of")
        assert watched == ["**/*.java", "**/*"]
        assert "platypus" in await _suggested(editor, uri, "quokkaWombat.")
        new.write_text(40 * "bilbyNumbat.dingoBandicoot();\n")
        zoo.unlink()
        kind = types.FileChangeType
        changes = [(new, kind.Created), (zoo, kind.Deleted)]
        events = [types.FileEvent(path.as_uri(), what) for path, what in changes]
        editor.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(events))
        async with asyncio.timeout(20):
            while "dingo" not in await _suggested(editor, uri, "bilbyNumbat."):
                await asyncio.sleep(0.05)
            while "platypus" in await _suggested(editor, uri, "quokkaWombat."):
                await asyncio.sleep(0.05)
        editor.open("", uri=(tmp_path / "Own.kt").as_uri())
        async with asyncio.timeout(20):
            while len(watched) < 3:
                await asyncio.sleep(0.05)
        assert watched == ["**/*.java", "**/*", "**/*.kt"], "deletions are told once"


async def test_the_memory_of_the_folder_can_be_switched_off_and_on(
    editor_with: EditorWith, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "Zoo.java").write_text(40 * "quokkaWombat.platypusEchidna();\n")
    uri = (tmp_path / "Own.java").as_uri()
    off = {"memory": False, "confidence": 0}
    async with editor_with("--model", tiny_model, folder=tmp_path, settings=off) as editor:
        editor.open("", uri=uri)
        await editor.until_logged("the engine is ready")
        await asyncio.sleep(1)  # it would have been read by then
        assert "platypus" not in await _suggested(editor, uri, "quokkaWombat.")
        assert not any("remembered" in message for message in editor.logged)
        await editor.set(memory=True, confidence=0)
        await editor.until_logged("1 .java files of")
        assert "platypus" in await _suggested(editor, uri, "quokkaWombat.")
        await editor.set(memory=False, confidence=0)
        async with asyncio.timeout(20):
            while "platypus" in await _suggested(editor, uri, "quokkaWombat."):
                await asyncio.sleep(0.05)
