"""The language server process, its editor, and a server whose answers the tests decide."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled

from foretype.v1 import completion_pb2 as pb
from tests.lsp.conftest import URI, Editor, EditorWith, FakeServer

pytestmark = pytest.mark.e2e

SHORT = "a.get"
OTHER = URI.replace("Gorilla0", "Gorilla1")


async def _waiting(
    editor: Editor, fake_server: FakeServer
) -> asyncio.Future[list[types.InlineCompletionItem]]:
    """A request that has reached the server, which keeps its answer back."""
    fake_server.may_answer.clear()
    asked = editor.open(SHORT).asking(0, 5)
    await fake_server.until_asked(1)
    return asked


async def test_both_kinds_of_completion_are_offered(editor: Editor) -> None:
    assert editor.capabilities.inline_completion_provider == types.InlineCompletionOptions()
    assert editor.capabilities.completion_provider is not None
    editor.open(SHORT)
    [item] = await editor.asking(0, 5)
    assert item.range == types.Range(types.Position(0, 2), types.Position(0, 5))
    assert (item.insert_text, item.filter_text) == ("getName()", "getName()")
    found = await editor.popup(0, 5)
    assert found.is_incomplete
    assert [popup.label for popup in found.items] == ["getName()"]


async def test_the_engine_gets_the_text_around_the_cursor(
    editor: Editor, fake_server: FakeServer
) -> None:
    await editor.open("é\r\na.get;\n\x0c\u2028").inline(1, 5)
    [request] = fake_server.requests
    assert request.document == pb.Document(
        path="src/Gorilla0.java",
        language="java",
        workspace="/work/zoo",
        prefix="é\r\na.get",
        suffix=";\n\x0c\u2028",
    )
    assert request.limits == pb.Limits(until=pb.BOUNDARY_LINE, candidates=1, confidence=0.3)


@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 10), ("utf-16", 8), ("utf-32", 7)])
async def test_columns_count_what_was_agreed(
    editor_with: EditorWith, fake_server: FakeServer, encoding: str, column: int
) -> None:
    async with editor_with("--server", fake_server.address, encoding=encoding) as editor:
        assert editor.capabilities.position_encoding == encoding
        [item] = await editor.open("😀 a.get;").asking(0, column)
        assert fake_server.requests[0].document.prefix == "😀 a.get"
        assert item.range is not None
        assert (item.range.start.character, item.range.end.character) == (column - 3, column)


async def test_a_file_that_is_opened_is_read_before_anybody_asks(
    editor: Editor, fake_server: FakeServer
) -> None:
    editor.open("class Gorilla0 {\n}\n")
    await fake_server.until_read()
    [document] = fake_server.read
    assert (document.path, document.prefix) == ("src/Gorilla0.java", "class Gorilla0 {\n}\n")
    assert document.workspace == "/work/zoo"


async def test_what_is_open_is_read_again_by_a_server_that_comes_later(
    editor_with: EditorWith, tmp_path: Path
) -> None:
    address = f"unix:{tmp_path}/s"
    async with editor_with("--server", address) as editor:
        async with FakeServer(address).running() as first:
            editor.open("class Gorilla0 {\n}\n")
            await first.until_read()
        assert await editor.inline(0, 6) == []
        async with FakeServer(address).running() as second:
            await second.until_read()
    assert second.read == first.read[:1]


async def test_a_file_that_is_closed_before_there_is_a_server_is_not_read(
    editor_with: EditorWith, tmp_path: Path
) -> None:
    address = f"unix:{tmp_path}/s"
    async with editor_with("--server", address) as editor:
        editor.open("class Gorilla0 {\n}\n").open("class Gorilla1 {\n}\n", uri=OTHER)
        closed = types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(URI))
        editor.client.text_document_did_close(closed)
        async with FakeServer(address).running() as server:
            await server.until_read()
            assert await editor.inline(0, 6, uri=OTHER)
    assert {document.path for document in server.read} == {"src/Gorilla1.java"}


async def test_a_selected_popup_item_is_extended(editor: Editor, fake_server: FakeServer) -> None:
    span = types.Range(types.Position(0, 2), types.Position(0, 5))
    selected = types.SelectedCompletionInfo(span, "getFirst")
    [item] = await editor.open(SHORT).asking(0, 5, selected)
    assert fake_server.requests[0].document.prefix == "a.getFirst"
    assert item.insert_text == "getFirstName()"
    assert item.range == span


async def test_typing_along_asks_nobody(editor: Editor, fake_server: FakeServer) -> None:
    assert await editor.open(SHORT).inline(0, 5) == ["getName()"]
    editor.type(0, 5, "Na")
    assert await editor.inline(0, 7) == ["getName()"]
    assert len(fake_server.requests) == 1
    editor.type(0, 7, "x")
    await editor.inline(0, 8)
    assert fake_server.requests[1].document.prefix == "a.getNax"


async def test_nothing_is_an_empty_list(editor: Editor, fake_server: FakeServer) -> None:
    fake_server.answers = []
    assert await editor.open("").inline(0, 0) == []
    assert (await editor.popup(0, 0)).items == ()
    fake_server.answers = ["  "]
    assert await editor.inline(0, 0) == []
    assert await editor.inline(0, 0, uri="file:///never/opened.java") == []


async def test_a_cancelled_request_is_cancelled_in_the_engine(
    editor: Editor, fake_server: FakeServer
) -> None:
    fake_server.may_answer.clear()
    asked = editor.open(SHORT).asking(0, 5, request_id="first")
    await fake_server.until_asked(1)
    editor.client.cancel_request(types.CancelParams(id="first"))
    async with asyncio.timeout(10):
        await fake_server.cancelled.acquire()
    with pytest.raises(JsonRpcRequestCancelled):
        await asked


async def test_the_latest_request_wins(editor: Editor, fake_server: FakeServer) -> None:
    earlier = await _waiting(editor, fake_server)
    editor.type(0, 5, "N")
    latest = editor.asking(0, 6)
    assert list(await earlier) == []
    await fake_server.until_asked(2)
    await fake_server.cancelled.acquire()
    fake_server.answers = ["ext()"]
    fake_server.may_answer.set()
    assert [item.insert_text for item in await latest] == ["getNext()"]


async def test_a_popup_and_an_inline_request_leave_each_other_alone(
    editor: Editor, fake_server: FakeServer
) -> None:
    fake_server.may_answer.clear()
    inline = editor.open(SHORT).asking(0, 5)
    popup = asyncio.ensure_future(editor.popup(0, 5))
    await fake_server.until_asked(2)
    fake_server.may_answer.set()
    assert len(await inline) == 1
    assert len((await popup).items) == 1


async def test_an_answer_for_an_older_text_is_dropped(
    editor: Editor, fake_server: FakeServer
) -> None:
    asked = await _waiting(editor, fake_server)
    editor.type(0, 5, "X")
    await editor.inline(9, 9, uri="file:///never/opened.java")  # so the change has arrived
    fake_server.may_answer.set()
    assert list(await asked) == []


async def test_an_answer_holds_when_what_it_suggests_was_typed_meanwhile(
    editor: Editor, fake_server: FakeServer
) -> None:
    asked = await _waiting(editor, fake_server)
    editor.type(0, 5, "Na")
    await editor.inline(9, 9, uri="file:///never/opened.java")
    fake_server.may_answer.set()
    [item] = await asked
    assert item.insert_text == "getName()"
    assert item.range == types.Range(types.Position(0, 2), types.Position(0, 7))


async def test_a_request_is_for_the_text_as_it_was_when_it_arrived(
    editor: Editor, fake_server: FakeServer
) -> None:
    """Both are written at once, so that the change lies in the pipe when the request is read."""
    asked = editor.open(SHORT).asking(0, 5)
    editor.type(0, 0, "\n\n")
    await asked
    assert fake_server.requests[0].document.prefix == SHORT


async def test_a_slow_engine_is_not_waited_for(editor: Editor, fake_server: FakeServer) -> None:
    fake_server.may_answer.clear()
    async with asyncio.timeout(20):
        assert (await editor.open(SHORT).popup(0, 5)).items == ()
        assert await editor.inline(0, 5) == []


async def test_what_was_found_in_a_memory_that_is_forgotten_meanwhile_is_not_shown_again(
    editor: Editor, fake_server: FakeServer
) -> None:
    asked = await _waiting(editor, fake_server)
    await editor.set(memory=False)
    await asyncio.wait_for(fake_server.forgot.wait(), 30)
    fake_server.may_answer.set()
    assert await asked
    assert await editor.inline(0, 5) == ["getName()"]
    assert len(fake_server.requests) == 2


async def test_what_is_to_be_forgotten_is_though_the_editor_leaves_at_once(
    editor_with: EditorWith, fake_server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "Own.java"
    path.write_text(SHORT)
    fake_server.may_forget.clear()
    async with editor_with("--server", fake_server.address, folder=tmp_path) as editor:
        editor.open(SHORT, uri=path.as_uri())
        await editor.until_logged("1 .java files of")
        await editor.set(memory=False)
        await asyncio.wait_for(fake_server.is_forgetting.wait(), 30)
        asyncio.get_running_loop().call_later(0.3, fake_server.may_forget.set)
    assert fake_server.forgot.is_set()


async def test_what_was_found_before_a_file_was_remembered_is_asked_for_again(
    editor_with: EditorWith, fake_server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "Own.java"
    path.write_text(SHORT)
    async with editor_with("--server", fake_server.address, folder=tmp_path) as editor:
        editor.open(SHORT, uri=path.as_uri())
        await editor.until_logged("1 .java files of")
        for _ in range(2):
            assert await editor.inline(0, 5, uri=path.as_uri()) == ["getName()"]
        assert len(fake_server.requests) == 1
        saved = types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(path.as_uri()))
        editor.client.text_document_did_save(saved)
        async with asyncio.timeout(30):
            while len(fake_server.requests) == 1:
                await editor.inline(0, 5, uri=path.as_uri())
    assert fake_server.remembered == [SHORT, SHORT]


async def test_what_is_not_saved_yet_counts_in_the_other_documents(
    editor_with: EditorWith, fake_server: FakeServer, tmp_path: Path
) -> None:
    own, other = (tmp_path / name for name in ("Own.java", "Other.java"))
    for path in (own, other):
        path.write_text(SHORT)
    async with editor_with("--server", fake_server.address, folder=tmp_path) as editor:
        editor.open("class Okapi {}", uri=other.as_uri()).open(SHORT, uri=own.as_uri())
        await editor.until_logged("2 .java files of")
        async with asyncio.timeout(30):
            while "class Okapi {}" not in fake_server.remembered:
                await editor.inline(0, 5, uri=own.as_uri())
            told = len(fake_server.remembered)
            edit = types.TextDocumentContentChangeWholeDocument("class Gnu {}")
            changed = types.VersionedTextDocumentIdentifier(2, other.as_uri())
            editor.client.text_document_did_change(
                types.DidChangeTextDocumentParams(changed, [edit])
            )
            for _ in range(3):  # it is being edited
                await editor.inline(0, 5, uri=own.as_uri())
            assert len(fake_server.remembered) == told
            while "class Gnu {}" not in fake_server.remembered:
                await editor.inline(0, 5, uri=own.as_uri())
                await asyncio.sleep(0.05)
    assert len(fake_server.remembered) == told + 1


async def test_closing_the_document_gives_its_requests_up(
    editor: Editor, fake_server: FakeServer
) -> None:
    asked = await _waiting(editor, fake_server)
    document = types.TextDocumentIdentifier(URI)
    editor.client.text_document_did_close(types.DidCloseTextDocumentParams(document))
    assert list(await asked) == []
    await fake_server.cancelled.acquire()


async def test_settings_are_asked_for_and_followed(editor: Editor, fake_server: FakeServer) -> None:
    editor.open(SHORT)
    await editor.set(until="block", candidates=3, confidence=0.5)
    await editor.inline(0, 5)
    await editor.popup(0, 5)
    inline, popup = [request.limits for request in fake_server.requests]
    assert inline == pb.Limits(until=pb.BOUNDARY_BLOCK, candidates=3, length=600, confidence=0.5)
    assert popup == pb.Limits(until=pb.BOUNDARY_LINE, candidates=3, confidence=0.5)
    await editor.set(enabled=False)
    assert await editor.inline(0, 5) == []
    await editor.set(languages={"java": False})
    assert await editor.inline(0, 5) == []
    assert (await editor.popup(0, 5)).items == ()
    assert len(fake_server.requests) == 2


async def test_a_bad_setting_is_told_once_and_replaced(
    editor: Editor, fake_server: FakeServer
) -> None:
    await editor.set(until="page", candidates=2)
    await editor.set(until="page", candidates=2)
    await editor.open(SHORT).inline(0, 5)
    assert editor.shown == [
        'foretype.until must be "token", "line" or "block"; the default is used'
    ]
    assert editor.client.messages[0].type == types.MessageType.Warning
    assert fake_server.requests[0].limits == pb.Limits(
        until=pb.BOUNDARY_LINE, candidates=2, confidence=0.3
    )


async def test_initialization_options_hold_until_the_editor_says_otherwise(
    editor_with: EditorWith, fake_server: FakeServer
) -> None:
    options, settings = {"candidates": 2, "until": "token"}, {"candidates": 4, "until": None}
    server = ("--server", fake_server.address)
    async with editor_with(*server, options=options, settings=settings) as editor:
        await editor.set(**settings)
        await editor.open(SHORT).inline(0, 5)
    assert fake_server.requests[0].limits == pb.Limits(
        until=pb.BOUNDARY_TOKEN, candidates=4, confidence=0.3
    )


async def test_an_automatic_request_waits_for_the_delay(
    editor: Editor, fake_server: FakeServer
) -> None:
    await editor.set(delay=300)
    first = editor.open(SHORT).asking(0, 5)
    editor.type(0, 5, "N")
    second = editor.asking(0, 6)
    assert list(await first) == []
    await second
    assert [request.document.prefix for request in fake_server.requests] == ["a.getN"]
    await editor.set(delay=10_000)
    async with asyncio.timeout(5):
        await editor.asking(0, 2, automatic=False)


async def test_a_server_that_does_not_answer_is_told_once_and_found_later(
    editor_with: EditorWith, tmp_path: Path
) -> None:
    server = FakeServer(f"unix:{tmp_path}/late")
    async with editor_with("--server", server.address) as editor:
        await editor.until_shown(f"no server answers at {server.address}")
        assert await editor.open(SHORT).inline(0, 5) == []
        async with server.running():
            await editor.until_logged("the engine is ready")
            assert await editor.inline(0, 5) == ["getName()"]
        editor.type(0, 0, "x")
        assert await editor.inline(0, 6) == []
        async with server.running():
            await editor.until_logged("the engine is ready", 2)
            assert await editor.inline(0, 6) == ["getName()"]
        assert len(editor.shown) == 1


@pytest.mark.parametrize("address", ["nonsense", "no host:1", ":", ""])
async def test_an_address_that_is_none_is_told(editor_with: EditorWith, address: str) -> None:
    async with editor_with("--server", address) as editor:
        await editor.until_shown("no server answers at")
        assert await editor.open(SHORT).inline(0, 5) == []


async def test_half_a_surrogate_pair_does_no_harm(editor: Editor, fake_server: FakeServer) -> None:
    assert await editor.open("a\ud83d.get").inline(0, 6) == ["getName()"]
    assert fake_server.requests[0].document.prefix == "a?.get"
