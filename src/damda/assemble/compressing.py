"""Names -> a model's files, for planning and for making it lighter; paths -> texts to learn from."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from damda import pretrained, weights
from damda.config import Settings
from damda.errors import ConfigError, ReadError
from damda.ingest.read import read
from damda.ingest.walk import walk
from damda.manifest import Data, Parent
from damda.types import Progress

LICENCES = {"smollm2-135m": "Apache-2.0", "gemma3-270m": "Gemma Terms of Use"}
"""Of the models that `damda models` knows."""

_FILES = ("*.json", "*.safetensors", "tokenizer.model", "*.txt", "*.jinja")


def model_files(name: str, *, offline: bool, whole: bool = False) -> Path:
    """A file or folder that says what a model is: of one on the hub, its config alone is fetched.

    Args:
        name: one that ``damda models`` knows, a .gguf, a folder or config.json, or hub:OWNER/NAME.
        whole: with its weights.

    Raises:
        ConfigError: there is no such file.
        WeightsError: the known model was not pulled yet, or the hub can't be reached.
    """
    if name.startswith("hub:"):
        files = _FILES if whole else ("config.json",)
        return weights.hub_folder(name.removeprefix("hub:"), offline=offline, files=files)
    path = Path(weights.gguf(name)).expanduser()
    if not path.exists() or (whole and path.is_file() and path.suffix != ".gguf"):
        known = ", ".join(weights.GGUFS)
        config = "" if whole else "a config.json "
        raise ConfigError(f"{name!r} is no model: give {known}, a .gguf, a folder, {config}or hub:OWNER/NAME")
    return path


def parent_of(name: str, path: Path) -> Parent:
    """How a manifest names the model that another was made of."""
    known = name in LICENCES or name.startswith("hub:")
    if path.is_file():
        return Parent(name if known else path.name, sha256=weights.sha256(path), licence=LICENCES.get(name, ""))
    files = list(path.glob("*.safetensors"))
    sha256 = weights.sha256(files[0]) if len(files) == 1 else ""
    return Parent(name if known else path.resolve().name, pretrained.fingerprint(path), sha256)


def texts_of(paths: Sequence[Path], settings: Settings, progress: Progress) -> tuple[list[str], list[Data], int]:
    """The texts of documents, how a manifest names them (each path with a hash of all that was read below it), and how
    many files could not be read.

    Raises:
        ConfigError: a path has no document that can be read.
    """
    texts: list[str] = []
    described: list[Data] = []
    unread = 0
    for path in paths:
        found, _ = walk(path.expanduser(), settings.read)
        of_path: list[str] = []
        for n, one in enumerate(found):
            progress("reading texts", n, len(found))
            try:
                of_path += [document.text for document in read(one, settings.read)]
            except ReadError:
                unread += 1  # what is read here is a sample; `damda index` tells which and why
        progress("reading texts", len(found), len(found))
        if not of_path:
            raise ConfigError(f"{path} has no document that can be read")
        texts += of_path
        described.append(Data(path.resolve().name, _digest(of_path), len(of_path)))
    return texts, described, unread


def _digest(texts: Sequence[str]) -> str:
    whole = sha256()
    for text in texts:
        whole.update(text.encode())
    return whole.hexdigest()
