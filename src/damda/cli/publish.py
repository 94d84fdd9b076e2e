"""`damda tune publish`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, flags
from damda.cli.tune import tune

if TYPE_CHECKING:
    from damda.tune.publish import Parcel


@tune.command(
    epilog="Examples: damda tune publish ./my-encoder --repo me/my-encoder --dry-run  |  "
    "HF_TOKEN=... damda tune publish ./my-encoder --repo me/my-encoder"
)
def publish(
    artifact: Annotated[Path, typer.Argument(help="A folder that `damda tune` made.", show_default=False)],
    repo: Annotated[str, typer.Option("--repo", help="OWNER/NAME on the model hub; made if there is none.")],
    public: Annotated[bool, typer.Option("--public", help="For everybody to see. Default: private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing: list the files, print the card.")] = False,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Upload a model with its card to a model hub. The token is read from HF_TOKEN, the hub's address from HF_ENDPOINT.

    Only the model's own files are sent, after a check against its manifest. `damda models pull hub:OWNER/NAME` gets it
    back.
    """
    from damda import hub
    from damda.cli import show
    from damda.config import find
    from damda.errors import ConfigError
    from damda.tune.publish import pack, send

    settings = find(config, flags(set_))
    parcel = pack(artifact, repo)
    if dry_run:
        _dry(parcel, public=public, json=json)
        return
    if settings.offline:
        raise ConfigError("offline = true forbids asking a model hub; --dry-run shows what would be sent")
    if parcel.left:
        show.note(f"not sent: {', '.join(parcel.left)}", silent=quiet or json)
    done = send(parcel, hub.token(), public=public, bars=show.err.is_terminal and not (quiet or json))
    if json:
        show.as_json(done)
        return
    show.out.print(done.url, markup=False)
    seen = "private" if done.private else "public"
    if public and done.private:
        seen += ", as it was before; change it on its page"
    show.note(f"{seen}; commit {done.commit[:12]}; back with: damda models pull hub:{done.repo}", silent=quiet)


def _dry(parcel: "Parcel", *, public: bool, json: bool) -> None:
    from damda.cli import show

    sizes = parcel.sizes()
    if json:
        content = {"repo": parcel.repo, "private": not public, "files": sizes, "left": parcel.left, "card": parcel.card}
        show.as_json(content)
        return
    show.err.print(f"would be sent to {parcel.repo}, {'public' if public else 'private'}:")
    for name, size in sizes.items():
        show.err.print(f"  {size / 1e6:9.3f} MB  {name}", markup=False)
    for name in parcel.left:
        show.err.print(f"  stays here    {name}", markup=False)
    show.out.print(parcel.card, markup=False, end="")
