"""A made model -> a repository on a model hub.

Knows: which files a model consists of, and that nothing else leaves the machine. Does not know: where the token's
owner keeps it, how the model was made.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from damda import hub
from damda.embed.encoder import read_card
from damda.errors import ConfigError, WeightsError
from damda.manifest import CARD, MANIFEST, differing, read, told
from damda.runtime import model_file
from damda.tune.card import card

# All that a model consists of. Whatever else lies in the folder, such as the questions that it was trained on, may hold
# texts of somebody's documents.
_PARTS = re.compile(
    r"(onnx/)?model\.onnx([._]data)?"
    r"|model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json"
    r"|(config|modules|damda|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json"
    r"|(config_sentence_transformers|sentence_bert_config)\.json"
    r"|vocab\.txt|merges\.txt|tokenizer\.model|sentencepiece\.bpe\.model|spiece\.model"
    r"|\d_(Pooling|Normalize|Dense)/(config\.json|model\.safetensors)"
)
_KINDS = ("encoder", "reranker")


@dataclass(frozen=True, slots=True)
class Parcel:
    """What would be uploaded.

    Args:
        files: path in the repository -> file here; the card is not among them.
        left: files in the folder that stay here.
    """

    repo: str
    name: str
    card: str
    files: Mapping[str, Path]
    left: tuple[str, ...]

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, the card among them."""
        sizes = {name: path.stat().st_size for name, path in self.files.items()}
        return dict(sorted({**sizes, CARD: len(self.card.encode())}.items()))


@dataclass(frozen=True, slots=True)
class Published:
    """Where it is now."""

    repo: str
    url: str
    commit: str
    private: bool


def pack(folder: Path, repo: str) -> Parcel:
    """Check a folder and write its card; nothing is sent.

    Raises:
        ConfigError: ``repo`` is no OWNER/NAME.
        WeightsError: no folder, no manifest, a file that is not as described, or one that is no part of a model.
        EncoderError: the model's own description can't be read.
    """
    repo = hub.repository(repo)
    manifest = read(folder)
    if manifest.kind not in _KINDS:
        raise WeightsError(f"{folder} is of kind {manifest.kind!r}; published are {' and '.join(_KINDS)}")
    if foreign := sorted(name for name in manifest.files if not _PARTS.fullmatch(name)):
        raise WeightsError(
            f"{folder} has files that are no part of a model and may hold texts of documents: {', '.join(foreign)}; "
            "take them out and make its manifest again"
        )
    if wrong := differing(folder, manifest):
        raise WeightsError(f"{folder} is damaged and is not uploaded: {told(wrong)} (by its {MANIFEST}); make it again")
    model_file(folder)
    about = read_card(folder)
    files = {name: folder / name for name in [*sorted(manifest.files), MANIFEST]}
    there = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())
    left = tuple(name for name in there if name not in files and name != CARD)
    text = card(manifest, repo, (about.query_prefix, about.passage_prefix))
    return Parcel(repo, manifest.name, text, files, left)


def send(parcel: Parcel, token: str, *, public: bool = False, bars: bool = True) -> Published:
    """Upload in one commit; the repository is made if there is none. Parts of an older model that are gone are deleted.

    Args:
        token: of the hub, with the right to write.
        public: a new repository is for everybody to see.
        bars: show on stderr how far the upload is.

    Raises:
        ConfigError: the repository is public already and ``public`` is not given.
        MissingExtra: huggingface_hub is not installed.
        WeightsError: the hub refuses, or can't be reached.
    """
    with hub.talking(f"publishing to {parcel.repo}", bars=bars):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        api = HfApi(token=token)
        api.create_repo(parcel.repo, private=not public, exist_ok=True)
        about = api.model_info(parcel.repo)
        if not (about.private or public):
            raise ConfigError(f"{parcel.repo} exists and is public: give --public, or another name")
        before = {sibling.rfilename for sibling in about.siblings or ()}
        gone = sorted(name for name in before - parcel.files.keys() if _PARTS.fullmatch(name))
        done = api.create_commit(
            parcel.repo,
            [
                CommitOperationAdd(CARD, parcel.card.encode()),
                *(CommitOperationAdd(name, path) for name, path in parcel.files.items()),
                *(CommitOperationDelete(name) for name in gone),
            ],
            commit_message=f"{parcel.name or 'A model'}, by damda tune publish",
        )
        return Published(parcel.repo, f"{api.endpoint}/{parcel.repo}", str(done.oid), bool(about.private))
