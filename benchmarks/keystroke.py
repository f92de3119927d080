"""Time from a keystroke to its suggestion, at the gRPC server and through the language server.

Types a line into the middle of the last method of a Java file, one character at a time, as
an editor does: through gRPC with the whole text in every request, through the language
server with a didChange and an inlineCompletion request. For a file of 100 lines and one of
5,000 lines (the same class again and again).

    cold   the first suggestion after the file was opened: all of it has to be read
    warm   every keystroke after that

    python benchmarks/keystroke.py [--json] [--model NAME_OR_PATH] [--repeats N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Protocol

import numpy as np
from lsprotocol import types
from pygls.lsp.client import LanguageClient
from rich.console import Console
from rich.table import Table

from foretype.client import AsyncClient, Document

EXAMPLE = Path(__file__).parent / "example/src/main/java/org/example/text/Words.java"
PATH = "src/main/java/org/example/text/Words.java"
SIZES = (100, 5000)  # lines
TYPED = "        if (words == null) { return new String(start, end); }"


@dataclass(frozen=True)
class Row:
    """What one way of asking took for one size of file, in milliseconds."""

    through: str
    lines: int
    cold: float  # median over the repeats
    p50: float
    p95: float
    p99: float
    keystrokes: int


class Typist(Protocol):
    """Somebody with an open file who gets a suggestion for it as it stands."""

    async def suggestion(self, prefix: str, suffix: str) -> int:
        """Shows the text around the cursor; the number of suggestions for it."""
        ...


class OverGrpc:
    """Each request carries the whole document."""

    def __init__(self, client: AsyncClient, path: str) -> None:
        self._client = client
        self._path = path

    async def suggestion(self, prefix: str, suffix: str) -> int:
        document = Document(path=self._path, language="java", prefix=prefix, suffix=suffix)
        return len((await self._client.complete(document)).candidates)


class OverLsp:
    """The document is opened once; then an edit and a request for each keystroke."""

    def __init__(self, client: LanguageClient, path: str) -> None:
        self._client = client
        self._uri = f"file:///workspace/{path}"
        self._prefix = ""
        self._version = 0

    async def suggestion(self, prefix: str, suffix: str) -> int:
        line, column = prefix.count("\n"), len(prefix) - prefix.rfind("\n") - 1
        if not self._version:
            item = types.TextDocumentItem(self._uri, "java", 1, prefix + suffix)
            self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        else:
            before = types.Position(line, column - len(prefix) + len(self._prefix))
            change = types.TextDocumentContentChangePartial(
                text=prefix[len(self._prefix) :], range=types.Range(before, before)
            )
            changed = types.VersionedTextDocumentIdentifier(self._version + 1, self._uri)
            self._client.text_document_did_change(
                types.DidChangeTextDocumentParams(changed, [change])
            )
        self._version, self._prefix = self._version + 1, prefix
        answer = await self._client.text_document_inline_completion_async(
            types.InlineCompletionParams(
                context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
                text_document=types.TextDocumentIdentifier(self._uri),
                position=types.Position(line, column),
            )
        )
        return len(answer) if isinstance(answer, list) else 0


def text(lines: int) -> tuple[str, str]:
    """A Java file of about so many lines, before and after the place where is typed."""
    one = EXAMPLE.read_text()
    header, body = one[: one.index("/**")], one[one.index("/**") :]
    copies = max(1, (lines - header.count("\n")) // (body.count("\n") + 1))
    whole = header + "\n".join(
        body.replace("Words", f"Words{n}" if n else "Words") for n in range(copies)
    )
    at = whole.rindex("        final List<String> words")
    missing = lines - whole.count("\n") - 1
    return "// padding\n" * max(0, missing) + whole[:at], "\n" + whole[at:]


async def measure(typists: list[Typist], lines: int, through: str) -> Row:
    """A typist for each repeat: all of them have a file of their own to open."""
    prefix, suffix = text(lines)
    cold: list[float] = []
    warm: list[float] = []
    for typist in typists:
        for typed in range(1, len(TYPED) + 1):
            began = perf_counter()
            await typist.suggestion(prefix + TYPED[:typed], suffix)
            (warm if typed > 1 else cold).append((perf_counter() - began) * 1e3)
    p50, p95, p99 = (float(p) for p in np.percentile(warm, (50, 95, 99)))
    total = prefix.count("\n") + suffix.count("\n") + 1
    return Row(through, total, float(np.median(cold)), p50, p95, p99, len(warm))


@asynccontextmanager
async def grpc_client(model: str) -> AsyncGenerator[AsyncClient]:
    with TemporaryDirectory(prefix="foretype-") as folder:
        address = f"unix:{folder}/s"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "foretype", "serve", "--listen", address, "--model", model),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with AsyncClient(address) as client:
            await client.wait_until_serving()
            yield client
        process.terminate()
        await process.wait()


@asynccontextmanager
async def lsp_client(model: str) -> AsyncGenerator[LanguageClient]:
    client = LanguageClient("benchmark", "1")
    await client.start_io(sys.executable, "-m", "foretype", "lsp", "--model", model)
    await client.initialize_async(
        types.InitializeParams(
            capabilities=types.ClientCapabilities(),
            process_id=os.getpid(),
            root_uri="file:///workspace",
        )
    )
    client.initialized(types.InitializedParams())
    ready = OverLsp(client, "Ready.java")
    for tries in range(1, 200):  # until the engine has started
        if await ready.suggestion("public class " + "A" * tries, ""):
            break
        await asyncio.sleep(0.1)
    yield client
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()


async def run(model: str, repeats: int) -> list[Row]:
    rows: list[Row] = []
    async with grpc_client(model) as grpc:
        for lines in SIZES:
            names = [f"{lines}/{n}/{PATH}" for n in range(repeats)]
            rows.append(await measure([OverGrpc(grpc, name) for name in names], lines, "gRPC"))
    async with lsp_client(model) as lsp:
        for lines in SIZES:
            names = [f"{lines}/{n}/{PATH}" for n in range(repeats)]
            rows.append(await measure([OverLsp(lsp, name) for name in names], lines, "LSP"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--model", default="java", help="a model's name or path")
    parser.add_argument("--repeats", type=int, default=3, help="files opened of each size")
    options = parser.parse_args()
    logging.getLogger("pygls").setLevel(logging.ERROR)  # it would note every log message
    rows = asyncio.run(run(options.model, options.repeats))
    if options.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores"
        print(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2))
        return
    table = Table("through", "lines", "cold ms", "warm p50 ms", "p95", "p99", "keystrokes")
    for row in rows:
        times = (row.cold, row.p50, row.p95, row.p99)
        table.add_row(
            *(row.through, f"{row.lines:,}", *(f"{t:.1f}" for t in times), str(row.keystrokes))
        )
    Console().print(table)


if __name__ == "__main__":
    main()
