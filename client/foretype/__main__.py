"""The `foretype` command. Each subcommand imports what it needs, and nothing else, when it runs.

Errors that are the user's to mend carry an `exit_code`: 2 for bad input or usage, 1 for what
failed. They are printed as one sentence; anything else is a defect and shows its traceback.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="foretype",
    help="Local code completion by a character LSTM that knows your code.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(
    help="Lists, shows, packs, installs and removes models; has a server load one.",
    no_args_is_help=True,
)
app.add_typer(models_app, name="models")
memory_app = typer.Typer(
    help="Says what a server remembers of a workspace, and empties that.", no_args_is_help=True
)
app.add_typer(memory_app, name="memory")


class Precision(StrEnum):
    """Of the network's arithmetic."""

    AUTO = "auto"
    FP32 = "fp32"
    INT8 = "int8"


class Memory(StrEnum):
    """What is remembered while a text is measured."""

    NONE = "none"
    FILE = "file"
    PROJECT = "project"


class Protocol(StrEnum):
    """Of token accuracy."""

    SOURCE = "source"
    CODEXGLUE = "codexglue"


class Until(StrEnum):
    """Where a completion ends."""

    TOKEN = "token"
    LINE = "line"
    BLOCK = "block"


Model = Annotated[str, typer.Option(help="A model's name or path.")]
Server = Annotated[
    str | None,
    typer.Option(help="Ask the server at this address, unix:PATH or HOST:PORT, and its model."),
]
LoadingServer = Annotated[
    str | None, typer.Option("--server", help="Have the server at this address load it too.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PrecisionOption = Annotated[Precision, typer.Option(help="auto takes int8 where there is one.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"foretype {version('foretype')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Local code completion by a character LSTM that knows your code."""


@app.command()
def complete(
    file: Annotated[Path, typer.Argument(help="The file to complete.")],
    line: Annotated[int | None, typer.Option(help="1-based; the last if left out.")] = None,
    column: Annotated[int | None, typer.Option(help="1-based; the line's end if left out.")] = None,
    until: Annotated[Until, typer.Option(help="Where a completion ends.")] = Until.LINE,
    lines: Annotated[int, typer.Option(min=1, max=50, help="How many lines.")] = 1,
    candidates: Annotated[int, typer.Option(min=1, max=10, help="How many continuations.")] = 1,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Cut before it is less probable than this.")
    ] = 0.0,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print characters as they come.")
    ] = False,
    json: Json = False,
    project: Annotated[
        bool, typer.Option(help="Read the like files of its repository, or of this folder, too.")
    ] = True,
    server: Server = None,
    model: Model = "java",
) -> None:
    """Completes a file at a position; at its end if none is given."""
    from foretype import completing

    completing.run(
        completing.Options(
            file=file,
            line=line,
            column=column,
            until=until.value,
            lines=lines,
            candidates=candidates,
            confidence=confidence,
            stream=stream,
            json=json,
            server=server,
            model=model,
            project=project,
        )
    )


@app.command()
def serve(
    listen: Annotated[
        str, typer.Option(help="unix:PATH or HOST:PORT; port 0 takes a free one.")
    ] = "127.0.0.1:50551",
    model: Model = "java",
    precision: PrecisionOption = Precision.AUTO,
    reflection: Annotated[bool, typer.Option(help="Let clients list the services.")] = True,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve metrics there, for Prometheus."),
    ] = None,
    load: Annotated[
        bool, typer.Option(help="Load another model when a client asks for that.")
    ] = True,
    log: Annotated[
        bool, typer.Option("--log", help="Write a line of JSON for each call to standard error.")
    ] = False,
    until_stdin_closes: Annotated[
        bool,
        typer.Option("--until-stdin-closes", help="End with the process that started this one."),
    ] = False,
) -> None:
    """Serves completions over gRPC until it is interrupted."""
    from foretype_server import serving

    serving.run(
        listen,
        model=model,
        precision=precision.value,
        reflection=reflection,
        metrics=metrics,
        load=load,
        log=log,
        until_stdin_closes=until_stdin_closes,
    )


@app.command()
def lsp(server: Server = None, model: Model = "java") -> None:
    """Speaks the Language Server Protocol on standard input and output."""
    from foretype_lsp import server as language_server

    language_server.run(server, model)


@app.command()
def train(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders or git repositories.")],
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the run; runs/NAME if left out.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(help="Take only files that match, such as '*.java'.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Go on from this model, or from none; if left out, from java where most of the"
            " characters are Java."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings, as TOML.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the model; the folder's if left out.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Of the model, as in LSP; the files' if left out.")
    ] = None,
    holdout_since: Annotated[
        str | None,
        typer.Option(
            metavar="YYYY-MM-DD[THH:MM:SS]",
            help="Hold out the files that the git history added since then.",
        ),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Install the model if it is better than its base.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where --out stopped.")] = False,
) -> None:
    """Trains a model on your code; ends with a bundle and a report in --out."""
    from foretype_training import training

    training.run(
        training.Options(
            paths=paths,
            out=out,
            include=include or [],
            base=base,
            config=config,
            name=name,
            language=language,
            holdout_since=holdout_since,
            install=install,
            resume=resume,
        )
    )


@app.command()
def evaluate(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders or git repositories.")],
    model: Model = "java",
    memory: Annotated[Memory, typer.Option(help="What is remembered.")] = Memory.NONE,
    include: Annotated[
        list[str] | None, typer.Option(help="Take only files that match, such as '*.java'.")
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Measure only the tenth that training holds out.")
    ] = False,
    precision: PrecisionOption = Precision.AUTO,
    measures: Annotated[
        str,
        typer.Option(
            help="With commas between: bpc, bits per character; token_accuracy;"
            " by_kind, both by what stands there;"
            " next_token, whether the right one is among ten candidates, at every token of"
            " --sample; line, the rest of each line of code from one place in it;"
            " keystrokes that suggestions save."
        ),
    ] = "bpc,token_accuracy,by_kind",
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="Of token_accuracy: on the source as it stands, or on the stream of tokens of"
            " the published benchmark CodeXGLUE, lexed by our own lexer."
        ),
    ] = Protocol.SOURCE,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="How sure suggestions are, for keystrokes.")
    ] = 0.0,
    sample: Annotated[
        int,
        typer.Option(
            min=1,
            help="Characters, in whole files, that next_token, line and keystrokes look at.",
        ),
    ] = 100_000,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Draw bits by kind and by file, and keystrokes, into this .svg or .png;"
            " needs what foretype train needs."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measures how well a model predicts code: bits, tokens, keystrokes saved."""
    from foretype_training import evaluation

    evaluation.run(
        evaluation.Options(
            paths=paths,
            model=model,
            memory=memory.value,
            include=include or [],
            held_out=held_out,
            precision=precision.value,
            measures=[name.strip() for name in measures.split(",")],
            protocol=protocol.value,
            confidence=confidence,
            sample=sample,
            picture=picture,
            json=json,
        )
    )


@app.command()
def doctor(model: Model = "java", json: Json = False) -> None:
    """Says whether everything works here, and how fast."""
    from foretype import examination

    examination.run(model, json)


@models_app.command("list")
def models_list(json: Json = False) -> None:
    """Lists the models that are there."""
    from foretype import bundles

    bundles.show_all(json)


@models_app.command("show")
def models_show(name: Annotated[str, typer.Argument(help="A model's name or path.")]) -> None:
    """Prints a model's description, as JSON."""
    from foretype import bundles

    bundles.show(name)


@models_app.command("pack")
def models_pack(
    name: Annotated[str, typer.Argument(help="A model's name or path.")],
    path: Annotated[Path, typer.Argument(help="The zip file to write.")],
) -> None:
    """Writes a model as one zip file, to pass it on."""
    from foretype import bundles

    bundles.pack(name, path)


@models_app.command("install")
def models_install(
    path: Annotated[Path, typer.Argument(help="A bundle: a folder or a zip file.")],
    name: Annotated[str | None, typer.Option(help="Install it under this name.")] = None,
    server: LoadingServer = None,
) -> None:
    """Checks a bundle and makes it available by its name; one that it replaces is kept."""
    from foretype import bundles

    bundles.install(path, name, server)


@models_app.command("restore")
def models_restore(
    name: Annotated[str, typer.Argument(help="An installed model.")],
    server: LoadingServer = None,
) -> None:
    """Brings back what was installed under a name before; done twice, changes nothing."""
    from foretype import bundles

    bundles.restore(name, server)


@models_app.command("load")
def models_load(
    name: Annotated[str, typer.Argument(help="A model that the server lists.")],
    server: Annotated[str, typer.Option(help="The server's address, unix:PATH or HOST:PORT.")],
) -> None:
    """Has a running server answer with another model; no request is lost."""
    from foretype import bundles

    bundles.load(name, server)


@models_app.command("remove")
def models_remove(name: Annotated[str, typer.Argument(help="An installed model.")]) -> None:
    """Removes an installed model, and what it replaced."""
    from foretype import bundles

    bundles.remove(name)


Workspace = Annotated[
    str, typer.Argument(help="As it was named to the server; by the language server, its folder.")
]
Remembering = Annotated[str, typer.Option("--server", help="Its address, unix:PATH or HOST:PORT.")]


@memory_app.command("status")
def memory_status(workspace: Workspace, server: Remembering, json: Json = False) -> None:
    """Says how much a server remembers of a workspace."""
    from foretype import memories

    memories.status(workspace, server, json)


@memory_app.command("forget")
def memory_forget(
    workspace: Workspace,
    server: Remembering,
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files, relative to the workspace; all if left out.")
    ] = None,
    json: Json = False,
) -> None:
    """Has a server forget files of a workspace, or all of it."""
    from foretype import memories

    memories.forget(workspace, paths or [], server, json)


def main() -> None:
    # gRPC would log what it also raises; it looks here when it is first imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        app()
    except Exception as error:
        exit_code: int | None = getattr(error, "exit_code", None)
        if exit_code is None:
            raise
        print(f"foretype: {error}", file=sys.stderr)
        sys.exit(exit_code)


if __name__ == "__main__":
    main()
