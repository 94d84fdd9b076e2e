"""The card of a published model: README.md as model hubs and sentence-transformers understand it.

Knows: the manifest, and what readers of a card ask: is it better, what is in it, how is it used. Does not know: how it
gets to the hub.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from damda.manifest import Data, Manifest, Parent
from damda.tune.licences import licence, parts

_TASKS = {"encoder": "sentence-similarity", "reranker": "text-ranking"}
_TAGS = {
    "encoder": ("sentence-transformers", "sentence-similarity", "feature-extraction", "onnx", "damda"),
    "reranker": ("sentence-transformers", "cross-encoder", "reranker", "onnx", "damda"),
}
# The hub's names of the models that damda brings along.
_KNOWN = {"e5-small": "intfloat/multilingual-e5-small", "e5-small-koen": "intfloat/multilingual-e5-small"}


def card(manifest: Manifest, repo: str, prefixes: tuple[str, str] = ("", "")) -> str:
    """The card as Markdown.

    Args:
        repo: OWNER/NAME, as users will call the model.
        prefixes: what is put before questions, and before passages.
    """
    sections = [
        _front(manifest),
        f"# {_cell(manifest.name) or repo}\n\n{_what(manifest)}",
        "## Results\n\n" + _results(manifest.metrics),
        "## Use\n\n" + _use(manifest, repo, prefixes),
        "## What it was made from\n\n" + _sources(manifest),
        "## Licence\n\n" + _licence(manifest),
        "## How it was made\n\n" + _making(manifest),
    ]
    if unknown := list(_unknown(manifest)):
        sections.append("## What is not known\n\n" + "\n".join(f"- {line}" for line in unknown))
    return "\n\n".join(sections) + "\n"


def for_sentence_transformers(manifest: Manifest) -> bool:
    """Whether sentence-transformers can load the folder: it has its layout, and weights that it reads."""
    weights = any(name.endswith(".safetensors") for name in manifest.files)
    return (
        weights and "config.json" in manifest.files and (manifest.kind != "encoder" or "modules.json" in manifest.files)
    )


def _front(manifest: Manifest) -> str:
    """What machines read: YAML, whose strings may be JSON's."""
    name, _ = licence(manifest)
    bases = list(dict.fromkeys(base for parent in manifest.parents if (base := _on_the_hub(parent))))
    fields: dict[str, object] = {
        "language": ["ko", "en"],
        "library_name": "sentence-transformers" if for_sentence_transformers(manifest) else "damda",
        "pipeline_tag": _TASKS[manifest.kind],
        "tags": list(_TAGS[manifest.kind]),
    }
    if name:
        fields["license"] = name
    if bases:
        fields["base_model"] = bases
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in fields.items()), "---"])


def _on_the_hub(parent: Parent) -> str:
    """A parent's name on the hub; a name with a slash may as well be a folder, so only ``hub:`` counts."""
    return _KNOWN.get(parent.name, parent.name.removeprefix("hub:") if parent.name.startswith("hub:") else "")


def _what(manifest: Manifest) -> str:
    kind = "A sentence encoder" if manifest.kind == "encoder" else "A cross-encoder, which puts passages into order"
    return f"{kind}, made by `damda tune` {manifest.damda} on {manifest.made[:10]}. {_size(manifest)}".strip()


def _size(manifest: Manifest) -> str:
    onnx = any(name.endswith(".onnx") for name in manifest.files)
    return "`model.onnx` runs without torch." if onnx else ""


def _results(metrics: Mapping[str, Any]) -> str:
    rows = list(_rows(metrics))
    if not rows:
        return "None were recorded."
    if any(before for _, before, _ in rows):
        return _table(("measure", "before", "after"), rows)
    return _table(("measure", "value"), [(name, after) for name, _, after in rows])


def _rows(metrics: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, str, str]]:
    """(name, before, after) of each figure; one that was measured once has nothing before."""
    for name, value in metrics.items():
        called = f"{under} · {name}" if under else name
        stem, _, when = name.rpartition("_")
        if isinstance(value, Mapping):
            yield from _rows(value, called)
        elif when == "before" and f"{stem}_after" in metrics:
            yield (f"{under} · {stem}" if under else stem), _figure(value), _figure(metrics[f"{stem}_after"])
        elif not (when == "after" and f"{stem}_before" in metrics):
            yield called, "", _figure(value)


def _figure(value: object) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if isinstance(value, str | int) else json.dumps(value, ensure_ascii=False)


def _use(manifest: Manifest, repo: str, prefixes: tuple[str, str]) -> str:
    setting = '[encoder]\nname = "hub:{}"' if manifest.kind == "encoder" else '[rerank]\nmodel = "hub:{}"'
    text = (
        f"In damda: `pip install 'damda[hub]'`, `damda models pull hub:{repo}`, which "
        f"checks every file, and in `damda.toml`\n\n```toml\n{setting.format(repo)}\n```"
    )
    if not for_sentence_transformers(manifest):
        return text + "\n\nsentence-transformers can't load it: the weights are there as ONNX only."
    if manifest.kind == "reranker":
        lines = [
            "from sentence_transformers import CrossEncoder",
            "",
            f'model = CrossEncoder("{repo}")',
            'model.predict([("a question", "a passage")])',
        ]
    else:
        lines = [
            "from sentence_transformers import SentenceTransformer",
            "",
            f'model = SentenceTransformer("{repo}")',
            'questions = model.encode_query(["a question"])',
            'passages = model.encode_document(["a passage"])',
            "model.similarity(questions, passages)",
        ]
    text += "\n\nIn sentence-transformers:\n\n```python\n" + "\n".join(lines) + "\n```"
    query, passage = prefixes
    if query or passage:
        text += f"\n\nBoth put `{query}` before questions and `{passage}` before passages by themselves."
    return text


def _sources(manifest: Manifest) -> str:
    models = [(p.name, p.licence or "not stated", p.id or p.sha256) for p in manifest.parents]
    data = [(d.name, d.use, f"{d.count:,}", d.licence or "not stated", d.sha256[:16]) for d in manifest.data]
    text = _table(("model", "licence", "id"), models) if models else "Of which model is not recorded."
    text += "\n\n"
    return text + (_table(("data", "used for", "count", "licence", "sha256"), data) if data else "No data is recorded.")


def _licence(manifest: Manifest) -> str:
    name, why = licence(manifest)
    if name:
        return f"`{name}`. {why}"
    stated = dict.fromkeys(given for _, given in parts(manifest) if given)
    text = f"This card names none. {why} Whoever passes the model on has to settle it."
    return text + (f" Stated are: {', '.join(map(_cell, stated))}." if stated else "")


def _making(manifest: Manifest) -> str:
    lines = [f"```sh\n{_fenced(manifest.command)}\n```"] if manifest.command else []
    where = f" on {_cell(manifest.machine)}" if manifest.machine else ""
    if manifest.seconds:
        lines.append(f"It took {_time(manifest.seconds)}{where}.")
    elif manifest.machine:
        lines.append(f"Made{where}.")
    if manifest.settings:
        rows = [(name, _figure(value)) for name, value in manifest.settings.items()]
        lines.append(_table(("setting", "value"), rows))
    lines.append("The sha256 of each file stands in `manifest.json`.")
    return "\n\n".join(lines)


def _unknown(manifest: Manifest) -> Iterator[str]:
    """What a reader would want to know and the manifest does not say."""
    if not manifest.metrics:
        yield "Whether it is better than the model that it was made from: no figures were recorded."
    elif not any(before for _, before, _ in _rows(manifest.metrics)):
        yield "What the model that it was made from reaches on the same data."
    for what in [what for what, given in parts(manifest) if not given]:
        yield f"The licence of {_cell(what)}."
    for data in manifest.data:
        yield from _unknown_of(data)
    for name, there in (("command", manifest.command), ("machine", manifest.machine), ("time", manifest.seconds)):
        if not there:
            yield f"The {name} of its making."
    yield "How it does on other texts than those above, and in other languages than Korean and English."


def _unknown_of(data: Data) -> Iterator[str]:
    if not data.sha256:
        yield f"Which version of the data {_cell(data.name)} was used."


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """Text that stays in its cell and is no markup."""
    return re.sub(r"([|<>`])", r"\\\1", " ".join(text.split()))


def _fenced(text: str) -> str:
    return text.replace("```", "'''").strip()
