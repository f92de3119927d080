"""Checks the messages of the protocol, once, and turns them into what the engine takes."""

from __future__ import annotations

from foretype.v1 import completion_pb2 as pb
from foretype.v1 import workspace_pb2
from foretype_server.boundaries import Until
from foretype_server.candidates import Options
from foretype_server.documents import Document, Limits
from foretype_server.errors import InvalidRequest
from foretype_server.heads import Head, Heads

MAX_PATH = 1024  # bytes, as the lengths below
MAX_TEXT = 4 * 2**20
MAX_REMEMBERED = 2**20
MAX_SCORED = 2**18  # what is read well within the time of a call
MAX_DOCUMENTS = 10_000
MAX_CANDIDATES, MAX_LENGTH, MAX_TOP = 10, 2000, 100
DEFAULT_LENGTH, DEFAULT_TOP = 200, 10

_UNTIL: dict[int, Until] = {
    pb.BOUNDARY_UNSPECIFIED: "line",
    pb.BOUNDARY_TOKEN: "token",
    pb.BOUNDARY_LINE: "line",
    pb.BOUNDARY_BLOCK: "block",
}


def document(message: pb.Document, heads: Heads) -> Document:
    """Raises InvalidRequest and UnknownHead."""
    _at_most("path", message.path, MAX_PATH)
    _at_most("workspace", message.workspace, MAX_PATH)
    before = _within("length of the head", message.head.length, MAX_TEXT, 0)
    head = Head(before, message.head.sha256) if message.HasField("head") else None
    rest = _at_most("prefix", message.prefix, MAX_TEXT - before)
    return Document(
        workspace=message.workspace,
        path=message.path,
        prefix=heads.whole(message.workspace, message.path, head, rest),
        suffix=_at_most("suffix", message.suffix, MAX_TEXT),
    )


def limits(message: pb.Limits, max_candidates: int = MAX_CANDIDATES) -> Limits:
    """Raises InvalidRequest."""
    if message.until not in _UNTIL:
        raise InvalidRequest(f"until must be one of the named boundaries, not {message.until}")
    if not 0 <= message.confidence <= 1:  # also refuses what is not a number
        raise InvalidRequest(f"confidence must be from 0 to 1, not {message.confidence}")
    options = Options(
        candidates=_within("candidates", message.candidates, max_candidates, 1),
        length=_within("length", message.length, MAX_LENGTH, DEFAULT_LENGTH),
        confidence=message.confidence,
    )
    return Limits(_UNTIL[message.until], options, message.whole_prefix)


def top(message: pb.PredictRequest) -> int:
    """Raises InvalidRequest."""
    return _within("top", message.top, MAX_TOP, DEFAULT_TOP)


def scored(message: pb.ScoreRequest) -> tuple[str, str]:
    """Path and text. Raises InvalidRequest."""
    _at_most("path", message.path, MAX_PATH)
    _at_most("text", message.text, MAX_SCORED)
    return message.path, message.text


def remembered(message: workspace_pb2.RememberRequest) -> dict[str, bytes]:
    """Texts by path. Raises InvalidRequest."""
    number = len(message.documents)
    if number > MAX_DOCUMENTS:
        raise InvalidRequest(f"{number} documents; at most {MAX_DOCUMENTS} are allowed")
    texts: dict[str, bytes] = {}
    for document in message.documents:
        _at_most("path", document.path, MAX_PATH)
        texts[document.path] = _at_most(f"text of {document.path}", document.text, MAX_REMEMBERED)
    return texts


def workspace(name: str) -> str:
    """Raises InvalidRequest."""
    _at_most("workspace", name, MAX_PATH)
    if not name:
        raise InvalidRequest("workspace must be named: without a name there is no memory")
    return name


def _at_most(name: str, text: str, limit: int) -> bytes:
    data = text.encode()
    if len(data) > limit:
        raise InvalidRequest(f"{name} has {len(data)} bytes; at most {limit} are allowed")
    return data


def _within(name: str, value: int, limit: int, default: int) -> int:
    if value > limit:
        raise InvalidRequest(f"{name} must be at most {limit}, not {value}")
    return value or default
