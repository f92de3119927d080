"""Which documents of an editor come into the memory of their folder."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from foretype.v1.workspace_pb2 import WorkspaceMemory
from foretype_lsp.documents import Document
from foretype_lsp.positions import Encoding
from foretype_lsp.projects import Projects


@asynccontextmanager
async def _showing(_: str) -> AsyncGenerator[None]:
    yield


async def test_a_saved_file_that_git_ignores_or_that_is_for_secrets_is_not_remembered(
    tmp_path: Path,
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("Local.java\n")
    remembered: dict[str, str] = {}

    async def remember(folder: str, texts: Mapping[str, str]) -> WorkspaceMemory:
        remembered.update(texts)
        return WorkspaceMemory(documents=len(remembered))

    projects = Projects(remember, _showing, log=lambda _: None)
    folders = [tmp_path.as_uri()]
    documents = {
        name: Document((tmp_path / name).as_uri(), "java", 1, Encoding.Utf8, ["text"])
        for name in ("A.java", "Local.java", "server.pem")
    }
    for name, document in documents.items():
        (tmp_path / name).write_text("text")
        projects.opened(document, folders)
    for document in documents.values():
        projects.saved(document, folders)
    async with asyncio.timeout(30):
        while not remembered:
            await asyncio.sleep(0.01)
        await asyncio.gather(*projects._saving)  # pyright: ignore[reportPrivateUsage]
    assert remembered == {"A.java": "text"}
    projects.stop()
