"""Shows the shipped model at work: a Java file is completed while you watch.

Starts the real server, asks it over gRPC at several places of the example, and prints the
characters as they arrive. What the file itself says there is shown beside, right or wrong.

    python benchmarks/demo.py [--model NAME_OR_PATH] [--picture FILE.svg]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from foretype.client import Client, Document, Limits
from foretype.v1 import completion_pb2 as pb

ROOT = Path(__file__).parent / "example"
EXAMPLE = ROOT / "src/main/java/org/example/text/Words.java"
CURSORS = [
    "import java.util.A",
    "     * @param sep",
    "        this.",
    "     * @param words the words to join, m",
    "        if (words == n",
    "        final StringBuilder builder = ",
    "        for (int i = 0; ",
    "        return builder",
    "        final List<String> words = ",
    "            words.add(text.sub",
]
"""The beginning of each line that is completed, up to the cursor."""
# With the reader's own monospaced font, where rich's would fetch one from the network.
_SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code", "DejaVu Sans Mono"
)


@dataclass(frozen=True)
class Completed:
    """One line, and how long it took in seconds."""

    text: str
    first: float  # until the first character
    last: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="java", help="a model's name or path")
    parser.add_argument("--picture", type=Path, help="keep what was shown, as SVG")
    options = parser.parse_args()
    wide = 116 if options.picture else None
    console = Console(highlight=False, record=options.picture is not None, width=wide)
    _show_all(console, options.model)
    if options.picture is not None:
        console.save_svg(str(options.picture), title="make run", code_format=_SVG)


def _show_all(console: Console, model: str) -> None:
    began = time.perf_counter()
    with server(model) as address, Client(address) as client:
        client.wait_until_serving()
        started = time.perf_counter() - began
        served = next(m for m in client.models() if m.serving)
        console.print(
            f"The model [bold]{served.name}[/] ({served.parameters:,} parameters) answers on"
            f" a Unix socket, {started:.1f} s after the start.\nIt completes"
            f" {EXAMPLE.relative_to(ROOT).as_posix()}; [green]green[/] is what it writes.\n",
            soft_wrap=True,
        )
        for cursor in CURSORS:
            _show(console, client, cursor)
    console.print(
        "\nIn your editor: let it start [bold]foretype lsp[/] for Java files;"
        " docs/editors.md has the lines for yours.\nOn your own code:"
        " [bold]foretype train PATH --out RUN[/], see docs/training.md.\nFrom your own tools:"
        " [bold]foretype serve[/], see the README."
    )


@contextmanager
def server(model: str) -> Generator[str]:
    """A server process on a private socket; its address."""
    with tempfile.TemporaryDirectory(prefix="foretype-") as folder:
        address = f"unix:{folder}/s"
        command = [sys.executable, "-m", "foretype", "serve", "--listen", address]
        process = subprocess.Popen([*command, "--model", model], stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            if not process.stdout.readline():  # it has said why
                sys.exit(process.wait())
            yield address
        finally:
            process.terminate()
            process.wait()


def _show(console: Console, client: Client, cursor: str) -> None:
    before, _, rest = EXAMPLE.read_text().partition("\n" + cursor)
    expected, _, after = rest.partition("\n")
    prefix = f"{before}\n{cursor}"
    console.print(Text(f"{prefix.count(chr(10)) + 1:3} {cursor}"), end="")
    done = _complete(console, client, prefix, "\n" + after)
    seen = "" if done.text == expected else f"\n    (the file says: {cursor.lstrip()}{expected})"
    times = f"first {done.first * 1e3:.1f} ms, all {done.last * 1e3:.1f} ms"
    console.print(Text(f"   {times}{seen}", style="dim"), soft_wrap=True)


def _complete(console: Console, client: Client, prefix: str, suffix: str) -> Completed:
    path = EXAMPLE.relative_to(ROOT).as_posix()
    document = Document(path=path, language="java", prefix=prefix, suffix=suffix)
    began = time.perf_counter()
    first, text = 0.0, ""
    for response in client.stream(document, Limits(until=pb.BOUNDARY_LINE)):
        if response.WhichOneof("event") == "character":
            first = first or time.perf_counter() - began
            text += response.character.text
            console.print(Text(response.character.text, style="green"), end="")
    return Completed(text, first, time.perf_counter() - began)


if __name__ == "__main__":
    main()
