"""A server of its own for a benchmark, and what it takes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from foretype.client import AsyncClient


@dataclass(frozen=True)
class Served:
    """A server process."""

    address: str
    pid: int

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    @property
    def seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def served(model: str, *options: str) -> AsyncGenerator[Served]:
    """Serves a model on a socket of its own; yields when it answers."""
    command = ("-m", "foretype", "serve", "--model", model, *options, "--listen")
    async with started(*command) as server:
        yield server


@asynccontextmanager
async def started(*command: str) -> AsyncGenerator[Served]:
    """A server that Python runs by this command, followed by an address; yields when it answers."""
    with TemporaryDirectory(prefix="foretype-") as folder:
        address = f"unix:{folder}/s"
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, address, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            async with AsyncClient(address) as client:
                await client.wait_until_serving()
            yield Served(address, process.pid)
        finally:
            process.terminate()
            await process.wait()
