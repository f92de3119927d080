"""Each folder is answered by the model that it asks for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from foretype.client import Client, Document, Limits
from tests.conftest import Serving
from tests.lsp.conftest import Editor, EditorWith, processes

pytestmark = pytest.mark.e2e

TEXT = "public class Gorilla0 {\n\n    private final Str"
KNOWN = 40 * "quokkaWombat.platypusEchidna();\n"
BARE: dict[str, Any] = {"memory": False, "confidence": 0}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "one", tmp_path / "two"
    for folder in found:
        folder.mkdir()
        (folder / "Zoo.java").write_text(KNOWN)
    return found


def _alone(serving: Serving, model: Path, listen: str) -> str:
    """What the model says after the text."""
    with serving(model, listen) as address, Client(address) as client:
        client.wait_until_serving()
        document = Document(path="Own.java", prefix=TEXT, language="java")
        return client.complete(document, Limits(candidates=1)).candidates[0].text


async def _suggested(editor: Editor, folder: Path, text: str = TEXT) -> str:
    """What is suggested at the end of a text that lies in a folder, as it is at once."""
    uri = (folder / "Own.java").as_uri()
    line, column = text.count("\n"), len(text.rpartition("\n")[2])
    editor.open(text, uri=uri)
    found = await editor.inline(line, column, uri=uri, automatic=False)
    return "".join(found)


def _models(editor: Editor) -> set[str]:
    """Those of the engines that run."""
    commands = [process.command.split() for process in processes() if process.parent == editor.pid]
    # One that is only forked looks like the adapter, one that is ending like nothing.
    serving = [command for command in commands if "serve" in command]
    return {command[command.index("--model") + 1] for command in serving}


async def _until_models(editor: Editor, *models: Path | str) -> None:
    async with asyncio.timeout(30):
        while _models(editor) != set(map(str, models)):
            await asyncio.sleep(0.05)


async def test_two_folders_are_answered_by_two_models(
    editor_with: EditorWith,
    serving: Serving,
    tiny_model: Path,
    other_model: Path,
    folders: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    one, two = folders
    right = [
        _alone(serving, model, f"unix:{tmp_path}/{model.parents[1].name}")
        for model in (tiny_model, other_model)
    ]
    assert right[0] != right[1]
    asked = {one: str(tiny_model), two: str(other_model)}
    settings = {**BARE, "model": "java"}
    async with editor_with("--model", tiny_model, models=asked, settings=settings) as editor:
        for folder, text in zip(folders, right, strict=True):
            assert await _suggested(editor, folder) == f"Str{text}"
        assert _models(editor) == {str(tiny_model), str(other_model)}
        await _suggested(editor, tmp_path)  # in neither folder
        assert _models(editor) == {str(tiny_model), str(other_model), "java"}
        gone = types.WorkspaceFolder(two.as_uri(), two.name)
        change = types.WorkspaceFoldersChangeEvent(added=[], removed=[gone])
        editor.client.workspace_did_change_workspace_folders(
            types.DidChangeWorkspaceFoldersParams(change)
        )
        await _until_models(editor, tiny_model)
    assert not editor.shown


@pytest.mark.parametrize("broken", [False, True])
async def test_a_model_that_cannot_be_used_is_told_once_and_the_default_answers(
    editor_with: EditorWith, tiny_model: Path, folders: tuple[Path, Path], broken: bool
) -> None:
    one, two = folders
    asked = "nonesuch"
    if broken:
        (one / "model.json").write_text("{}")
        asked = str(one)
    settings = {"confidence": 0}
    models = {one: asked, two: ""}
    async with editor_with("--model", tiny_model, models=models, settings=settings) as editor:
        await editor.until_shown(f"the model '{tiny_model}' answers in place of '{asked}'")
        assert ("cannot be used" if broken else "there is no model") in editor.shown[0]
        await _suggested(editor, one)
        await editor.until_logged("1 .java files of one")  # which the default remembers
        assert "platypus" in await _suggested(editor, one, "quokkaWombat.")
        await editor.set_in(one, model=asked, confidence=0)
        await _suggested(editor, two)
        assert len(editor.shown) == 1
        assert _models(editor) == {str(tiny_model)}


async def test_a_changed_setting_takes_effect_at_once_and_the_memory_follows(
    editor_with: EditorWith, tiny_model: Path, other_model: Path, folders: tuple[Path, Path]
) -> None:
    one, _ = folders
    certain = {"confidence": 0}
    async with editor_with(
        "--model", tiny_model, models={one: str(other_model)}, settings=certain
    ) as editor:
        await _suggested(editor, one)
        await editor.until_logged("1 .java files of one")
        assert _models(editor) == {str(other_model)}
        before = sum("1 .java files of one" in message for message in editor.logged)
        await editor.set_in(one, model="", confidence=0)
        await _until_models(editor, tiny_model)
        await editor.until_logged("1 .java files of one", before + 1)
        assert "platypus" in await _suggested(editor, one, "quokkaWombat.")
    assert not editor.shown


async def test_a_server_answers_with_its_own_model_and_who_asks_for_another_is_told_once(
    editor_with: EditorWith, server_address: str, folders: tuple[Path, Path]
) -> None:
    one, two = folders
    models = {one: "another", two: "tiny"}
    async with editor_with("--server", server_address, models=models, settings=BARE) as editor:
        await editor.until_shown("one asks for the model 'another', but the server at")
        await editor.set_in(one, model="another", **BARE)
        assert await _suggested(editor, one)
        assert await _suggested(editor, two)
        [message] = editor.shown
        assert message.endswith(f"the server at {server_address} answers with its own, 'tiny'")
