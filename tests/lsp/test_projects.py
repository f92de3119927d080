"""Which documents of an editor come into the memory of their folder."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from foretype.v1.workspace_pb2 import WorkspaceMemory
from foretype_lsp.documents import Document
from foretype_lsp.positions import Encoding
from foretype_lsp.projects import SETTLED, Projects


@asynccontextmanager
async def _showing(_: str) -> AsyncGenerator[None]:
    yield


class Engine:
    """What is remembered, by path."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.told = 0  # times that something was to be remembered
        self.watched: list[str] = []
        self.projects = Projects(
            self._remember, self._forget, self.watched.append, _showing, log=lambda _: None
        )

    async def _remember(self, folder: str, texts: Mapping[str, str]) -> WorkspaceMemory:
        self.told += 1
        self.texts.update(texts)
        return WorkspaceMemory(documents=len(self.texts))

    async def _forget(self, folder: str, paths: Sequence[str]) -> WorkspaceMemory:
        for path in paths:
            self.texts.pop(path, None)
        return WorkspaceMemory(documents=len(self.texts))

    async def until(self, texts: Mapping[str, str]) -> None:
        async with asyncio.timeout(30):
            while self.texts != texts:
                await asyncio.sleep(0.01)

    async def at_rest(self) -> None:
        async with asyncio.timeout(30):
            await asyncio.gather(*self.projects._updating)  # pyright: ignore[reportPrivateUsage]


def _document(path: Path, text: str) -> Document:
    return Document(path.as_uri(), "java", 1, Encoding.Utf8, [text])


async def test_a_saved_file_that_git_ignores_or_that_is_for_secrets_is_not_remembered(
    tmp_path: Path,
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("Local.java\n")
    engine, folders = Engine(), [tmp_path.as_uri()]
    documents = {n: _document(tmp_path / n, "text") for n in ("A.java", "Local.java", "server.pem")}
    for name, document in documents.items():
        (tmp_path / name).write_text("text")
        engine.projects.opened(document, folders)
    for document in documents.values():
        engine.projects.saved(document, folders)
    await engine.until({"A.java": "text"})
    await engine.at_rest()
    assert engine.texts == {"A.java": "text"}
    engine.projects.stop()


async def test_what_waits_for_an_engine_is_not_read_again_for_it(tmp_path: Path) -> None:
    (tmp_path / "A.java").write_text("class A {}")
    is_there, asked = asyncio.Event(), list[Mapping[str, str]]()

    async def remember(folder: str, texts: Mapping[str, str]) -> WorkspaceMemory:
        asked.append(texts)
        await is_there.wait()
        return WorkspaceMemory(documents=len(texts))

    async def forget(folder: str, paths: Sequence[str]) -> None:
        raise AssertionError

    projects = Projects(remember, forget, lambda _: None, _showing, log=lambda _: None)
    folders, document = [tmp_path.as_uri()], _document(tmp_path / "A.java", "class A {}")
    projects.opened(document, folders)
    async with asyncio.timeout(30):
        while not asked:
            await asyncio.sleep(0.01)
        projects.start_again(only_ended=True)
        is_there.set()
        await projects.remembered(document.uri, folders)
        assert len(asked) == 1
        projects.start_again(only_ended=True)
        await projects.remembered(document.uri, folders)
    assert len(asked) == 2


async def test_what_others_make_change_and_delete_is_followed(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("Local.java\n")
    for name in ("A.java", "B.java", "C.java"):
        (tmp_path / name).write_text(f"old {name}")
    engine, folders = Engine(), [tmp_path.as_uri()]
    engine.projects.opened(_document(tmp_path / "A.java", ""), folders)
    await engine.until({name: f"old {name}" for name in ("A.java", "B.java", "C.java")})
    (tmp_path / "B.java").write_text("new")
    (tmp_path / "C.java").rename(tmp_path / "D.java")
    (tmp_path / "Local.java").write_text("secret")
    (tmp_path / "notes.txt").write_text("text")
    names = ("B.java", "C.java", "D.java", "Local.java", "notes.txt", "gone/E.java")
    for name in names:  # editors tell of them in as many messages as they like
        engine.projects.changed([(tmp_path / name).as_uri()], folders)
    await engine.at_rest()
    assert engine.texts == {"A.java": "old A.java", "B.java": "new", "D.java": "old C.java"}
    engine.projects.stop()


async def test_many_changes_are_one(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.java" for number in range(20)]
    engine, folders = Engine(), [tmp_path.as_uri()]
    engine.projects.opened(_document(tmp_path / "A.java", ""), folders)
    async with asyncio.timeout(30):
        while not engine.told:
            await asyncio.sleep(0.01)
    for path in paths:
        path.write_text("text")
        engine.projects.changed([path.as_uri()], folders)
        await asyncio.sleep(0.01)
    await engine.at_rest()
    assert (len(engine.texts), engine.told) == (20, 2)
    engine.projects.stop()


async def test_of_a_folder_that_is_gone_nothing_is_remembered(tmp_path: Path) -> None:
    """Editors tell of it alone, and not of what was in it."""
    for name in ("A.java", "zoo/B.java", "zoo/cage/C.java", "zoos/D.java"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    engine, folders = Engine(), [tmp_path.as_uri()]
    engine.projects.opened(_document(tmp_path / "A.java", ""), folders)
    await engine.until(
        dict.fromkeys(["A.java", "zoo/B.java", "zoo/cage/C.java", "zoos/D.java"], "text")
    )
    shutil.rmtree(tmp_path / "zoo")
    engine.projects.changed([(tmp_path / "zoo").as_uri()], folders)
    await engine.at_rest()
    assert engine.texts == {"A.java": "text", "zoos/D.java": "text"}
    engine.projects.stop()


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_server_that_has_lost_what_it_knew_is_told_all_again(
    tmp_path: Path, deleted: bool
) -> None:
    names = ("A.java", "B.java", "C.java")
    for name in names:
        (tmp_path / name).write_text("text")
    engine, folders = Engine(), [tmp_path.as_uri()]
    engine.projects.opened(_document(tmp_path / "A.java", ""), folders)
    await engine.until(dict.fromkeys(names, "text"))
    engine.texts.clear()
    if deleted:
        (tmp_path / "C.java").unlink()
    engine.projects.changed([(tmp_path / "C.java").as_uri()], folders)
    await engine.until(dict.fromkeys(names[:2] if deleted else names, "text"))
    engine.projects.stop()


async def test_what_changed_is_not_looked_at_once_all_is_to_be_forgotten(tmp_path: Path) -> None:
    engine, folders = Engine(), [tmp_path.as_uri()]
    engine.projects.opened(_document(tmp_path / "A.java", ""), folders)
    (tmp_path / "A.java").write_text("text")
    engine.projects.changed([(tmp_path / "A.java").as_uri()], folders)
    await asyncio.sleep(0)
    engine.projects.stop()
    await asyncio.sleep(2 * SETTLED)
    assert not engine.told


async def test_a_folder_that_nothing_was_opened_in_is_of_no_interest(tmp_path: Path) -> None:
    (tmp_path / "A.java").write_text("text")
    engine = Engine()
    engine.projects.changed([(tmp_path / "A.java").as_uri()], [tmp_path.as_uri()])
    await engine.at_rest()
    assert not engine.texts


async def test_the_editor_is_asked_once_for_the_changes_of_files_with_an_ending(
    tmp_path: Path,
) -> None:
    engine, folders = Engine(), [(tmp_path / name).as_uri() for name in ("one", "two")]
    for name in ("one/A.java", "one/B.java", "two/A.java", "two/A.kt"):
        engine.projects.opened(_document(tmp_path / name, ""), folders)
    assert engine.watched == [".java", ".kt"]
    engine.projects.stop()
