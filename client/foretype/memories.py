"""`foretype memory`: what a server remembers of a workspace, and how it is emptied."""

from __future__ import annotations

import json
from collections.abc import Sequence

from foretype.client import Client
from foretype.v1.workspace_pb2 import WorkspaceMemory


def status(workspace: str, server: str, as_json: bool) -> None:
    """Raises ForetypeError."""
    with Client(server) as client:
        _show(workspace, client.workspace_memory(workspace), as_json)


def forget(workspace: str, paths: Sequence[str], server: str, as_json: bool) -> None:
    """Takes files out, all where none is named. Raises ForetypeError."""
    with Client(server) as client:
        _show(workspace, client.forget(workspace, paths), as_json)


def _show(workspace: str, memory: WorkspaceMemory, as_json: bool) -> None:
    if as_json:
        counts = {field.name: getattr(memory, field.name) for field in memory.DESCRIPTOR.fields}
        print(json.dumps({"workspace": workspace, **counts}, indent=2))
        return
    left_out = f", {memory.left_out:,} left out" if memory.left_out else ""
    unread = "" if memory.is_read else "; the model that serves reads no memory"
    print(
        f"{workspace}: {memory.documents:,} files remembered, {memory.text_bytes:,} bytes of at"
        f" most {memory.text_bytes_limit:,}{left_out}; {memory.contexts:,} contexts{unread}"
    )
