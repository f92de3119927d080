"""Time from a keystroke to its suggestion, at the gRPC server and through the language server.

Types two lines into the middle of the last method of a Java file, a character at a time, as
an editor does: through gRPC with a request for the whole text, of which the client sends
what the server has not had; through the language server with a didChange and an
inlineCompletion request. For files of 100, 5,000 and 20,000 lines (the same class again and
again), in a project of 200 other files, whose memory is read too.

    cold      the first suggestion right after the file was opened
    opened    the first suggestion in one that was opened so long ago that the language server has
              had it read
    reading   the rest of the first line, while a long file is read in the background
    whole     how long it then took until all of it was read
    p50, p95, p99
              every keystroke of the second line, of which each file gets one in turn; so many
              were typed
    jump      a keystroke somewhere else in the file, whose neighbourhood was read long ago; and
              where its time goes: to the server and back, reading so many bytes, and the search

    python benchmarks/keystroke.py [--json] [--model NAME_OR_PATH] [--repeats N]
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Protocol

import numpy as np
from lsprotocol import types
from pygls.lsp.client import LanguageClient
from rich.console import Console
from rich.table import Table

from foretype.client import AsyncClient, Document, Limits
from foretype.v1.completion_pb2 import CompleteResponse
from options import parser
from served import served

EXAMPLE = Path(__file__).parent / "example/src/main/java/org/example/text/Words.java"
PATH = "src/main/java/org/example/text/Words.java"
SIZES = (100, 5000, 20_000)  # lines
JUMPS = 5
WORKSPACE = "benchmark"
TYPED = "        if (words == null) { return new String(start, end); }"


@dataclass(frozen=True)
class Jump:
    """A keystroke somewhere else, in milliseconds."""

    whole: float
    reading: float
    read_bytes: float
    search: float
    rest: float  # on the way, and waiting until a thread of the server is free


@dataclass(frozen=True)
class Row:
    """What one way of asking took for one size of file, in milliseconds."""

    through: str
    lines: int
    cold: float  # median over the repeats
    opened: float | None  # likewise; through the language server alone
    reading: float  # median of the first line's other keystrokes
    whole: float | None  # median over the repeats; unseen through the language server
    p50: float
    p95: float
    p99: float
    jump: Jump | None  # medians over the repeats and JUMPS places; gRPC alone
    keystrokes: int


class Typist(Protocol):
    """Somebody with an open file who gets a suggestion for it as it stands."""

    async def suggestion(self, prefix: str, suffix: str) -> int:
        """Shows the text around the cursor; the number of suggestions for it."""
        ...

    async def wait_until_read(self, prefix: str) -> None:
        """Returns when all of the text has been read."""
        ...


class OverGrpc:
    """Each request is for the whole document."""

    def __init__(self, client: AsyncClient, path: str) -> None:
        self._client = client
        self._path = path

    async def suggestion(self, prefix: str, suffix: str) -> int:
        return len((await self.answer(prefix, suffix)).candidates)

    async def answer(self, prefix: str, suffix: str) -> CompleteResponse:
        document = Document(path=self._path, workspace=WORKSPACE, prefix=prefix, suffix=suffix)
        return await self._client.complete(document)

    async def wait_until_read(self, prefix: str) -> None:
        document = Document(path=self._path, workspace=WORKSPACE, prefix=prefix)
        await self._client.complete(document, Limits(whole_prefix=True), timeout=120)


class OverLsp:
    """The document is opened once; then an edit and a request for each keystroke.

    A language client cannot see when a file has been read, so it waits for `seconds`.
    """

    def __init__(self, client: LanguageClient, root: Path, path: str, seconds: float = 0.0) -> None:
        self._client = client
        self._seconds = seconds
        self._uri = (root / path).as_uri()
        self._prefix = ""
        self._version = 0

    def open(self, prefix: str, suffix: str) -> None:
        item = types.TextDocumentItem(self._uri, "java", 1, prefix + suffix)
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        self._version, self._prefix = 1, prefix

    async def suggestion(self, prefix: str, suffix: str) -> int:
        position = _end(prefix)
        if not self._version:
            self.open(prefix, suffix)
        else:
            before = _end(self._prefix)
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
                position=position,
            )
        )
        return len(answer) if isinstance(answer, list) else 0

    async def wait_until_read(self, prefix: str) -> None:
        await asyncio.sleep(self._seconds)


def _end(text: str) -> types.Position:
    return types.Position(text.count("\n"), len(text) - text.rfind("\n") - 1)


def project() -> dict[str, str]:
    """The other files, by path."""
    example = EXAMPLE.read_text()
    return {f"src/Texts{n}.java": example.replace("Words", f"Texts{n}") for n in range(200)}


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


@dataclass
class _Times:
    """What one size of file took, in milliseconds."""

    cold: list[float] = field(default_factory=list[float])
    reading: list[float] = field(default_factory=list[float])
    whole: list[float] = field(default_factory=list[float])
    warm: list[float] = field(default_factory=list[float])
    jumps: list[Jump] = field(default_factory=list[Jump])

    def row(self, through: str, lines: int) -> Row:
        p50, p95, p99 = (float(p) for p in np.percentile(self.warm, (50, 95, 99)))
        return Row(
            through=through,
            lines=lines,
            cold=_median(self.cold),
            opened=None,
            reading=_median(self.reading),
            whole=_median(self.whole),
            p50=p50,
            p95=p95,
            p99=p99,
            jump=_typical(self.jumps) if self.jumps else None,
            keystrokes=len(self.warm),
        )


async def measure(typists: Sequence[Sequence[Typist]], through: str) -> list[Row]:
    """For each repeat a typist for each size: all of them have a file of their own to open.
    When the files have been read they are typed into in turns, so that they can be compared."""
    texts, times = [text(lines) for lines in SIZES], [_Times() for _ in SIZES]
    for of_repeat in typists:
        files = list(zip(of_repeat, texts, times, strict=True))
        for typist, (prefix, suffix), took in files:
            took.cold.append(await _keystroke(typist, prefix, suffix, 1))
            for typed in range(2, len(TYPED) + 1):
                took.reading.append(await _keystroke(typist, prefix, suffix, typed))
            began = perf_counter()
            await typist.wait_until_read(prefix + TYPED)
            took.whole.append((perf_counter() - began) * 1e3)
            if isinstance(typist, OverGrpc):
                took.jumps += await _jump(typist, prefix, suffix)
        for typist, (prefix, suffix), _ in files:  # what was read since may have driven it out
            await _keystroke(typist, prefix + TYPED + "\n", suffix, 0)
        for typed in range(1, len(TYPED) + 1):
            for typist, (prefix, suffix), took in files:
                before = prefix + TYPED + "\n"
                took.warm.append(await _keystroke(typist, before, suffix, typed))
    lines = [prefix.count("\n") + suffix.count("\n") + 1 for prefix, suffix in texts]
    return [took.row(through, total) for took, total in zip(times, lines, strict=True)]


def _median(times: list[float]) -> float:
    return float(np.median(times))


def _typical(jumps: list[Jump]) -> Jump:
    """Of each part the median."""
    return Jump(*(_median(list(part)) for part in zip(*map(astuple, jumps), strict=True)))


async def _keystroke(typist: Typist, prefix: str, suffix: str, typed: int) -> float:
    """The milliseconds that a suggestion took when so much of a line was typed."""
    began = perf_counter()
    await typist.suggestion(prefix + TYPED[:typed], suffix)
    return (perf_counter() - began) * 1e3


async def _jump(typist: OverGrpc, prefix: str, suffix: str) -> list[Jump]:
    """Writes half of a new line at places all over the file; what each took."""
    jumps: list[Jump] = []
    for number in range(1, JUMPS + 1):
        at = prefix.index("\n", len(prefix) * number // (JUMPS + 1)) + 1
        before, after = prefix[:at] + TYPED[: len(TYPED) // 2], "\n" + prefix[at:] + suffix
        began = perf_counter()
        answer = await typist.answer(before, after)
        whole, parts = (perf_counter() - began) * 1e3, answer.timings
        rest = whole - parts.read_ms - parts.search_ms
        jumps.append(Jump(whole, parts.read_ms, parts.read_bytes, parts.search_ms, rest))
    return jumps


@asynccontextmanager
async def lsp_client(model: str, root: Path) -> AsyncGenerator[LanguageClient]:
    client = LanguageClient("benchmark", "1")
    await client.start_io(sys.executable, "-m", "foretype", "lsp", "--model", model)
    await client.initialize_async(
        types.InitializeParams(
            capabilities=types.ClientCapabilities(),
            process_id=os.getpid(),
            root_uri=root.as_uri(),
        )
    )
    client.initialized(types.InitializedParams())
    remembered = asyncio.Event()

    @client.feature(types.WINDOW_LOG_MESSAGE)  # pyright: ignore[reportUntypedFunctionDecorator]
    def logged(message: types.LogMessageParams) -> None:
        if "are remembered" in message.message:
            remembered.set()

    ready = OverLsp(client, root, "Ready.java")
    for tries in range(1, 200):  # until the engine has started
        if await ready.suggestion("public class " + "A" * tries, ""):
            break
        await asyncio.sleep(0.1)
    with suppress(TimeoutError):  # not all models read a memory
        await asyncio.wait_for(remembered.wait(), 30)
    yield client
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()


async def run(model: str, repeats: int) -> list[Row]:
    async with served(model) as server, AsyncClient(server.address) as grpc:
        await grpc.remember(WORKSPACE, project())
        typists = [[OverGrpc(grpc, _name(lines, n)) for lines in SIZES] for n in range(repeats)]
        rows = await measure(typists, "gRPC")
    with TemporaryDirectory() as folder:
        rows += await _through_lsp(model, repeats, Path(folder), rows)
    return rows


async def _through_lsp(model: str, repeats: int, root: Path, over_grpc: list[Row]) -> list[Row]:
    for path, content in project().items():
        file = root / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    enough = [0.5 + 2 * (row.whole or 0) / 1e3 for row in over_grpc]
    async with lsp_client(model, root) as lsp:

        def typists(folder: str, repeat: int) -> list[OverLsp]:
            return [
                OverLsp(lsp, root, f"{folder}/{_name(lines, repeat)}", seconds)
                for lines, seconds in zip(SIZES, enough, strict=True)
            ]

        rows = await measure([typists("typed", n) for n in range(repeats)], "LSP")
        opened = zip(*(typists("opened", n) for n in range(repeats)), strict=True)
        return [
            replace(
                row,
                whole=None,
                opened=_median([await _after_opening(typist, lines) for typist in of_size]),
            )
            for row, lines, of_size in zip(rows, SIZES, opened, strict=True)
        ]


def _name(lines: int, repeat: int) -> str:
    return f"{lines}/{repeat}/{PATH}"


async def _after_opening(typist: OverLsp, lines: int) -> float:
    """The milliseconds of the first suggestion in a file that was opened long enough ago."""
    prefix, suffix = text(lines)
    typist.open(prefix, suffix)
    await typist.wait_until_read(prefix)
    return await _keystroke(typist, prefix, suffix, 1)


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--repeats", type=int, default=3, help="files opened of each size")
    options = command.parse_args()
    logging.getLogger("pygls").setLevel(logging.ERROR)  # it would note every log message
    rows = asyncio.run(run(options.model, options.repeats))
    if options.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores"
        print(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2))
        return
    timed = ("cold", "opened", "reading", "whole", "p50", "p95", "p99", "jump")
    table = Table(box=None, pad_edge=False, collapse_padding=True)  # ten columns in 80
    table.add_column("through")
    for name in ("lines", *timed, "typed"):
        table.add_column(name, justify="right")
    for row in rows:
        jump = row.jump and row.jump.whole
        times = (row.cold, row.opened, row.reading, row.whole, row.p50, row.p95, row.p99, jump)
        shown = ("" if t is None else f"{t:,.1f}" for t in times)
        table.add_row(row.through, f"{row.lines:,}", *shown, str(row.keystrokes))
    Console().print(table)
    for row in rows:
        if jump := row.jump:
            print(
                f"a jump in {row.lines:,} lines: {jump.rest:.1f} ms on the way,"
                f" {jump.reading:.1f} ms reading {jump.read_bytes:.0f} bytes,"
                f" {jump.search:.1f} ms searching"
            )


if __name__ == "__main__":
    main()
