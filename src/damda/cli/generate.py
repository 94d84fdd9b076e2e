"""`damda generate`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from damda.cli.app import ConfigFlag, GeneratorFlag, HomeFlag, JsonFlag, ModeFlag, QuietFlag, SetFlag, app, flags
from damda.cli.documents import refreshed

if TYPE_CHECKING:
    from damda.serve.batchfile import Request
    from damda.serve.offline import Models, Summary
    from damda.settings import Settings
    from damda.types import Encoder


@app.command(
    epilog="Examples: damda generate ./documents --in questions.jsonl --out answers.jsonl  |  "
    "damda generate --in requests.jsonl --out answers.jsonl -g llama --set llama.model=smollm2-135m "
    "--set llama.slots=4  |  "
    "damda generate --in requests.jsonl --out answers.jsonl --errors failed.jsonl -g remote "
    "--set remote.url=http://127.0.0.1:8000/v1"
)
def generate(
    requests: Annotated[Path, typer.Option("--in", help="Requests: an OpenAI batch file.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", help="Answers; what it has already is not asked again.", show_default=False)
    ],
    path: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Documents, for requests to the model damda.")
    ] = None,
    errors: Annotated[
        Path | None, typer.Option("--errors", help="Write failed requests here, not among the answers.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Ask this one whatever a chat or completion names: damda or llm.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many in this run.", min=1)] = None,
    generator: GeneratorFlag = None,
    mode: ModeFlag = None,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Answer many requests from a file, as many at once as the generator has slots. Run it again to go on after a kill.

    Requests: {"custom_id", "method": "POST", "url": "/v1/chat/completions", "body"} a line. Answers are in the order
    in which they are ready. Exits with 6 when requests failed; the next run tries those again.
    """
    from damda.assemble import models, root_of
    from damda.cli import show
    from damda.config import find
    from damda.serve import batchfile, offline

    _apart(requests, out, errors)
    asked = batchfile.read(requests)
    root = root_of(path) if path else None
    settings = find(config, flags(set_, home=home, answer__generator=generator, search__mode=mode), root)
    if root:
        answering = _with_folder(root, settings, silent=quiet or json)
    else:
        answering = _without_folder(settings, asked, silent=quiet or json)
    answering = replace(answering, always=model or "")
    with show.progress(quiet or json) as tell:
        done = offline.run(
            asked,
            answering,
            out.resolve(),
            errors.resolve() if errors else None,
            at_once=models.slots_of(settings),
            limit=limit,
            progress=tell,
        )
    if json:
        show.as_json(done)
    elif not quiet:
        _say(done, errors or out)
    if done.failed:
        raise typer.Exit(6)


def _apart(requests: Path, out: Path, errors: Path | None) -> None:
    """Three files, not fewer."""
    for one, other, names in ((requests, out, "--in and --out"), (requests, errors, "--in and --errors")):
        if other and one.resolve() == other.resolve():
            raise typer.BadParameter(f"{names} are the same file: the requests would be overwritten")
    if errors and errors.resolve() == out.resolve():
        raise typer.BadParameter("--out and --errors are the same file: leave --errors out to have both in one")


def _with_folder(root: Path, settings: "Settings", *, silent: bool) -> "Models":
    """What a server over this folder would answer with, the index brought up to date."""
    from damda.assemble.service import service
    from damda.cli import show
    from damda.serve.offline import Models

    with show.progress(silent) as tell:
        made = service(root, settings, tell)
    made.kb.warm()
    refreshed(made.kb, silent=silent, verbose=False)
    answer = settings.answer
    return Models(
        made.kb,
        made.llms,
        made.encoder,
        made.names["encoder"],
        max_tokens=answer.max_tokens,
        temperature=answer.temperature,
    )


def _without_folder(settings: "Settings", asked: "Sequence[Request]", *, silent: bool) -> "Models":
    """The bare language model; the encoder if anybody asks for it."""
    from damda.assemble import models
    from damda.assemble.llms import make_llms
    from damda.cli import show
    from damda.serve.offline import Models

    def encoder() -> "Encoder":
        with show.progress(silent) as tell:
            return models.make_encoder(settings.encoder, offline=settings.offline, progress=tell)

    wanted = any(request.url == "/v1/embeddings" for request in asked)
    writer, name = models.bare(settings)
    encoder_name, answer = models.encoder_name(settings.encoder), settings.answer
    # Without --home there is no place to remember anything in.
    home = Path(settings.home).expanduser() if settings.home else None
    llms = make_llms(writer, name, settings, home, encoder) if writer else None
    return Models(
        None,
        llms,
        encoder() if wanted else None,
        encoder_name,
        max_tokens=answer.max_tokens,
        temperature=answer.temperature,
    )


def _say(done: "Summary", failed_to: Path) -> None:
    from rich.markup import escape

    from damda.cli import show

    parts = [f"{done.answered} answered"]
    parts += [f"{done.before} answered before"] if done.before else []
    parts += [f"{done.failed} failed"] if done.failed else []
    parts += [f"{done.left} left"] if done.left else []
    show.err.print(f"{', '.join(parts)}; {done.seconds:.1f} s")
    for failure in done.failures:
        show.err.print(f"  failed   {escape(failure)}")
    if done.failed > len(done.failures):
        show.err.print(f"  all of them: {escape(str(failed_to))}")
    if done.foreign:
        show.err.print(f"  {done.foreign} answers are to requests that are not in the file of requests; they stay")
