"""Which licence a model's card may name.

Knows: the names that the hub has for licences, and which of them give way to which. Does not know: law: where the parts
don't agree, or one of them is silent, nothing is claimed.
"""

from damda.manifest import Manifest

# From the one that asks least: under a later one, parts under an earlier one may be passed on.
_PERMISSIVE = ("cc0-1.0", "unlicense", "mit", "bsd-2-clause", "bsd-3-clause", "apache-2.0", "cc-by-4.0")
# They want the whole under their own terms, so two of them don't go together.
_DEMANDING = (
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0",
    "cc-by-nc-nd-4.0",
    "gpl-3.0",
    "agpl-3.0",
    "gemma",
)
_EVALUATION = "evaluation"


def parts(manifest: Manifest) -> list[tuple[str, str]]:
    """(what, its licence) of all that is in the model's weights; "" where none is stated."""
    models = [(f"the model {parent.name}", parent.licence) for parent in manifest.parents]
    return models + [(f"the data {data.name}", data.licence) for data in manifest.data if data.use != _EVALUATION]


def licence(manifest: Manifest) -> tuple[str, str]:
    """The licence as the hub names it, and why it is that; "" with the reason where none can be named."""
    given = parts(manifest)
    if not given:
        return "", "Neither the model that this one was made from nor the data that it was trained on is recorded."
    if silent := [what for what, name in given if not name.strip()]:
        return "", f"No licence is stated of {', '.join(silent)}."
    named = {_as_the_hub_has_it(name) for _, name in given}
    if unknown := sorted(named.difference(_PERMISSIVE, _DEMANDING)):
        return "", f"How {', '.join(unknown)} goes with other licences is not known to damda."
    demanding = sorted(named.intersection(_DEMANDING))
    if len(demanding) > 1:
        return "", f"{' and '.join(demanding)} don't go together."
    if len(named) == 1:
        return named.pop(), "All that it was made from is under this licence."
    strictest = demanding[0] if demanding else max(named, key=_PERMISSIVE.index)
    return strictest, "It is the most demanding of the licences of what it was made from; the others ask for less."


def _as_the_hub_has_it(name: str) -> str:
    return "-".join(name.strip().lower().split())
