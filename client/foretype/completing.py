"""`foretype complete`: the continuation of a file at a position."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretype import project
from foretype.client import Client, Document, ForetypeError, Limits
from foretype.v1 import completion_pb2 as pb

_UNTIL = {
    "token": pb.BOUNDARY_TOKEN,
    "line": pb.BOUNDARY_LINE,
    "block": pb.BOUNDARY_BLOCK,
}
_MAX_BYTES = 2000
_REMEMBER_SECONDS = _ANSWER_SECONDS = 120.0
MAX_FILE_BYTES = 16 * 2**20
NEAR = 2**16
"""Code points before the cursor that are read of a long file, in a few seconds, and after it."""


class InputError(ForetypeError):
    """The file or the position cannot be used."""

    exit_code = 2


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    file: Path
    line: int | None  # 1-based, as is the column
    column: int | None  # in code points
    until: str
    lines: int  # how many lines, each completed after the one before
    candidates: int
    confidence: float
    stream: bool
    json: bool
    server: str | None
    model: str
    project: bool  # whether the other files of its project are remembered


def run(options: Options) -> None:
    """Prints the continuation. Raises InputError, or what the server says."""
    if options.stream and (options.json or options.candidates > 1):
        raise InputError("--stream prints one candidate as text: leave --json and --candidates out")
    if options.lines > 1 and options.until != "line":
        raise InputError("--lines goes on line by line: leave --until out")
    if options.lines > 1 and options.candidates > 1:
        raise InputError("--lines goes on from the best candidate: leave --candidates out")
    wanted = options.project and options.file.suffix
    root = project.around(options.file, Path.cwd()) if wanted else None
    document = read_document(options.file, options.line, options.column, root)
    with connection(options.server, options.model) as client:
        if root is not None:
            remember(client, document, options.file.resolve(), root)
        if options.stream:
            _stream(client, document, options)
        else:
            _complete(client, document, options)


@contextmanager
def connection(server: str | None, model: str) -> Generator[Client]:
    """A client of the server at this address, or of an engine of our own."""
    if server is not None:
        with Client(server) as client:
            yield client
        return
    from foretype_server import serving

    with serving.embedded(model) as address, Client(address) as client:
        yield client


def remember(client: Client, document: Document, file: Path, root: Path) -> None:
    """Has the files of a document's project remembered, those of the same language. Says where
    some are not."""
    files = project.read(root, file.suffix, without=file)
    if files.problem:
        _note(f"no other file of {root} is remembered: {files.problem}")
    memory = client.remember(document.workspace, files.texts, timeout=_REMEMBER_SECONDS)
    if left_out := files.left_out + memory.left_out:
        _note(
            f"{left_out} {file.suffix} files of {root} are not remembered: links, binary or"
            " too large, or beyond what one memory holds"
        )


def _note(text: str) -> None:
    print(f"foretype: {text}", file=sys.stderr)


def read_document(
    file: Path, line: int | None, column: int | None, root: Path | None = None
) -> Document:
    """The file as a document with its cursor at a position, in the project at `root` if in
    any. Raises InputError."""
    try:
        if file.exists() and not file.is_file():
            raise InputError(f"{file} is not a file")
        if (size := file.stat().st_size) > MAX_FILE_BYTES:
            raise InputError(f"{file} has {size} bytes; at most {MAX_FILE_BYTES} are allowed")
        text = file.read_bytes().decode()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: see byte {error.start}") from error
    cursor = _offset(text, line, column)
    return Document(
        path=_path(file, root or Path.cwd()),
        workspace=str(root or ""),
        prefix=_end_of(text[:cursor]),
        suffix=text[cursor : cursor + NEAR],
    )


def _end_of(prefix: str) -> str:
    """The last of its lines that are near, or as much of a longer one."""
    near = prefix[-NEAR:]
    return near if near == prefix else near[near.find("\n") + 1 :]


def _path(file: Path, root: Path) -> str:
    """As the model reads it: relative to a folder where the file is below it."""
    absolute, here = file.resolve(), root.resolve()
    return absolute.relative_to(here).as_posix() if absolute.is_relative_to(here) else file.name


def _offset(text: str, line: int | None, column: int | None) -> int:
    """The offset, in code points, of a position. Raises InputError if it is not in the text."""
    lines = text.split("\n")
    line = len(lines) if line is None else line
    if not 1 <= line <= len(lines):
        raise InputError(f"--line must be from 1 to {len(lines)}, not {line}")
    length = len(lines[line - 1].removesuffix("\r"))
    column = length + 1 if column is None else column
    if not 1 <= column <= length + 1:
        raise InputError(f"--column must be from 1 to {length + 1} on line {line}, not {column}")
    return sum(len(before) + 1 for before in lines[: line - 1]) + column - 1


def _limits(options: Options) -> Limits:
    return Limits(
        until=_UNTIL[options.until],
        candidates=options.candidates,
        confidence=options.confidence,
        whole_prefix=True,
    )


def _complete(client: Client, document: Document, options: Options) -> None:
    began = time.perf_counter()
    response = client.complete(document, _limits(options), _ANSWER_SECONDS)
    candidates = [_as_json(candidate) for candidate in response.candidates]
    for _ in range(options.lines - 1):
        if not candidates or candidates[0]["stop"] != "boundary":
            break
        _lengthen(client, document, candidates[0], options)
    if not options.json:
        print("\n".join(candidate["text"] for candidate in candidates))
        return
    total = round((time.perf_counter() - began) * 1e3, 3)
    answer = {
        "candidates": candidates,
        "model": response.model.name,
        "model_version": response.model.version,
        "timings_ms": {"total": total},
    }
    print(json.dumps(answer, ensure_ascii=False, indent=2))


def _as_json(candidate: pb.Candidate) -> dict[str, Any]:
    return {
        "text": candidate.text,
        "log_prob": candidate.log_prob,
        "confidences": list(candidate.confidences),
        "stop": stop_name(candidate.stop),
    }


def _lengthen(
    client: Client, document: Document, candidate: dict[str, Any], options: Options
) -> None:
    """Adds the next line to a candidate that ends at the end of one."""
    prefix = document.prefix + candidate["text"] + "\n"
    after = Document(
        path=document.path, workspace=document.workspace, prefix=prefix, suffix=document.suffix
    )
    found = client.complete(after, _limits(options), _ANSWER_SECONDS).candidates
    # A line that the model leaves empty is no candidate, and a line all the same.
    following = found[0] if found else pb.Candidate(stop=pb.STOP_BOUNDARY)
    if len((candidate["text"] + following.text).encode()) > _MAX_BYTES:
        candidate["stop"] = "length"
        return
    # Its log-probability is that of its text and of the end of the line, which is now text.
    known = math.fsum(math.log(max(c, 1e-38)) for c in candidate["confidences"])
    end_of_line = math.exp(min(0.0, candidate["log_prob"] - known))
    candidate["text"] += "\n" + following.text
    candidate["log_prob"] += following.log_prob
    candidate["confidences"] += [end_of_line, *following.confidences]
    candidate["stop"] = stop_name(following.stop)


def stop_name(stop: pb.Stop.ValueType) -> str:
    """`boundary`, `length`, `confidence`, `end_of_file`, `suffix` or `repetition`."""
    return pb.Stop.Name(stop).removeprefix("STOP_").lower()


def _stream(client: Client, document: Document, options: Options) -> None:
    """Prints the best continuation character by character, for so many lines."""
    for number in range(options.lines):
        if number:
            print(flush=True)
            document.prefix += "\n"
        ended_at_boundary = False
        for response in client.stream(document, _limits(options), _ANSWER_SECONDS):
            document.prefix += response.character.text
            sys.stdout.write(response.character.text)
            sys.stdout.flush()
            ended_at_boundary = response.end.stop == pb.STOP_BOUNDARY
        if not ended_at_boundary:
            break
    print()
