"""What a request ran into, as gRPC says it."""

from __future__ import annotations

import logging
from typing import NamedTuple

import grpc
from google.rpc.status_pb2 import Status as Details
from grpc_status import rpc_status

from foretype.v1.completion_pb2 import UnknownHead as UnknownHeadDetail
from foretype_server.errors import (
    InvalidRequest,
    NotFound,
    NotReady,
    OutOfTime,
    Overloaded,
    RequestError,
    SwitchedOff,
    UnknownHead,
)

_CODES: dict[type[RequestError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    UnknownHead: grpc.StatusCode.FAILED_PRECONDITION,
    NotReady: grpc.StatusCode.FAILED_PRECONDITION,
    SwitchedOff: grpc.StatusCode.UNIMPLEMENTED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    OutOfTime: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_log = logging.getLogger(__name__)


class Status(NamedTuple):
    """What `abort` of a call's context takes."""

    code: grpc.StatusCode
    message: str
    metadata: tuple[tuple[str, str | bytes], ...] = ()  # details that a program can read


def status_of(error: Exception) -> Status:
    """A refusal's own; anything else is a defect, and is logged as one."""
    if not isinstance(error, RequestError):
        _log.error("a request failed", exc_info=error)
        return Status(grpc.StatusCode.INTERNAL, f"a defect in foretype: {error!r}")
    code, message = _CODES[type(error)], str(error)
    if not isinstance(error, UnknownHead):
        return Status(code, message)
    details = Details(code=code.value[0], message=message)
    details.details.add().Pack(UnknownHeadDetail())
    return Status(code, message, rpc_status.to_status(details).trailing_metadata)
