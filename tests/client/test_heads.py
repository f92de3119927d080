"""A long document is not sent twice, and no answer depends on that."""

from __future__ import annotations

import hashlib

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype.client import Client, Document, ForetypeError
from foretype.heads import LONG, MAX_SUFFIX, STEP, Heads, is_unknown_head
from foretype.v1 import completion_pb2 as pb
from foretype.v1 import completion_pb2_grpc
from foretype_server import heads as server
from foretype_server import names
from foretype_server.errors import UnknownHead

LINE = "    int größe = 0; // ∞\n"
TEXT = LINE * (2 * LONG // len(LINE))


def document(prefix: str, suffix: str = "", path: str = "A.java") -> Document:
    return Document(path=path, workspace="w", language="java", prefix=prefix, suffix=suffix)


def received(heads: server.Heads, message: Document) -> str:
    """The prefix that a server makes of it."""
    head = message.head
    named = server.Head(head.length, head.sha256) if message.HasField("head") else None
    return heads.whole(message.workspace, message.path, named, message.prefix.encode()).decode()


def test_a_short_document_is_sent_as_it_is() -> None:
    heads = Heads()
    short = document("class A {", "}")
    heads.note(short)
    assert heads.without(short) is short


def test_of_a_long_document_only_what_is_new_is_sent_again() -> None:
    heads = Heads()
    heads.note(document(TEXT))
    sent = heads.without(document(TEXT + "x"))
    assert 0 < len(sent.prefix) <= STEP + len(LINE)
    assert TEXT[: len(TEXT) + 1 - len(sent.prefix)] + sent.prefix == TEXT + "x"
    assert (sent.path, sent.workspace, sent.language) == ("A.java", "w", "java")


def test_after_an_edit_what_stands_before_it_is_left_out_still() -> None:
    heads = Heads()
    heads.note(document(TEXT))
    edited = TEXT[:LONG] + "changed" + TEXT[LONG:]
    sent = heads.without(document(edited))
    assert sent.head.length == len(edited[: -len(sent.prefix)].encode())
    assert LONG - STEP < len(edited) - len(sent.prefix) <= LONG


def test_other_documents_are_other_documents() -> None:
    heads = Heads()
    heads.note(document(TEXT))
    other = document(TEXT, path="B.java")
    assert heads.without(other) is other


def test_what_is_far_after_the_cursor_is_left_out() -> None:
    far = TEXT * 2
    assert len(Heads().without(document("class A {", far)).suffix) == MAX_SUFFIX < len(far)
    assert MAX_SUFFIX >= names.WITHIN  # what the server looks at for names is sent


EDITS = st.lists(
    st.tuples(st.integers(0, len(TEXT)), st.sampled_from(["", "x", "ß", LINE * 900]), st.booleans())
)


@given(EDITS)
def test_the_server_has_what_was_typed_whatever_is_left_out(
    edits: list[tuple[int, str, bool]],
) -> None:
    client, engine = Heads(), server.Heads()
    for at, inserted, is_jump in edits:
        prefix = TEXT[:at] + inserted + ("" if is_jump else TEXT[at:])
        whole = document(prefix)
        try:
            assert received(engine, client.without(whole)) == prefix
        except UnknownHead:
            assert received(engine, whole) == prefix
        client.note(whole)


def test_a_head_that_the_server_does_not_have_is_refused() -> None:
    heads = server.Heads()
    data = TEXT.encode()
    heads.whole("w", "A.java", None, data)
    digest = hashlib.sha256(data[:LONG]).digest()
    with pytest.raises(UnknownHead, match=r"'B\.java'"):
        heads.whole("w", "B.java", server.Head(LONG, digest), b"")
    with pytest.raises(UnknownHead):
        heads.whole("w", "A.java", server.Head(LONG + 1, digest), b"")
    with pytest.raises(UnknownHead):
        heads.whole("w", "A.java", server.Head(2 * len(data), digest), b"")
    assert heads.whole("w", "A.java", server.Head(LONG, digest), b"x") == data[:LONG] + b"x"


def test_a_head_ends_with_a_whole_character() -> None:
    heads = server.Heads()
    data = ("ß" * LONG).encode()
    heads.whole("w", "A.java", None, data)
    half = hashlib.sha256(data[: LONG + 1]).digest()
    with pytest.raises(UnknownHead):
        heads.whole("w", "A.java", server.Head(LONG + 1, half), b"x")


def test_the_oldest_prefixes_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_BYTES", 2 * LONG)
    heads = server.Heads()
    text = b"x" * LONG
    named = server.Head(LONG, hashlib.sha256(text).digest())
    for path in ("A.java", "B.java", "C.java"):
        heads.whole("w", path, None, text)
    assert heads.whole("w", "B.java", named, b"") == text
    with pytest.raises(UnknownHead):
        heads.whole("w", "A.java", named, b"")


@pytest.mark.e2e
def test_a_server_that_forgot_is_sent_the_whole(client: Client) -> None:
    """As one that was started anew: it has nothing of what the client sent another one."""
    whole = document(TEXT, path="Long.java")
    expected = client.complete(whole)
    assert client.complete(whole).candidates == expected.candidates
    another = Client(client.address)
    another._heads = client._heads  # pyright: ignore[reportPrivateUsage]
    for number in range(20):  # so many long documents that the first one leaves
        client.complete(document(TEXT * 8, path=f"{number}.java"))
    assert another.complete(whole).candidates == expected.candidates
    another.close()


@pytest.mark.e2e
def test_the_error_says_in_a_program_s_words_what_is_not_known(server_address: str) -> None:
    with grpc.insecure_channel(server_address) as channel:
        stub = completion_pb2_grpc.CompletionStub(channel)
        unknown = pb.Document(path="Nobody.java", head=pb.Head(length=LONG, sha256=b"?" * 32))
        with pytest.raises(grpc.RpcError) as raised:
            stub.Complete(pb.CompleteRequest(document=unknown))
    assert raised.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert is_unknown_head(raised.value)


@pytest.mark.e2e
def test_who_names_a_head_hears_that_it_is_not_known(client: Client) -> None:
    unknown = Document(path="Nobody.java", head=pb.Head(length=LONG, sha256=b"?" * 32))
    with pytest.raises(ForetypeError, match="send the whole prefix"):
        client.complete(unknown)
