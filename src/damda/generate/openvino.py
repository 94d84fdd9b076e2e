"""Text from a model that OpenVINO runs, in a process of its own.

Knows: the settings of it. Does not know: its pipeline (``paged``), what is asked (``local``).
"""

from functools import partial
from pathlib import Path

from damda import pretrained
from damda.errors import ConfigError, WeightsError
from damda.generate import gguf
from damda.generate.elsewhere import Elsewhere
from damda.generate.local import Local
from damda.generate.paged import Shape, Ways, apart, require
from damda.generate.shared import shared
from damda.settings import OpenvinoSettings


class Openvino(Local[Elsewhere]):
    """A Generator and Completer, ``settings.slots`` answers at a time.

    Args:
        path: a GGUF, or a folder of OpenVINO's own, where ``settings.model`` was found.
        draft: the smaller model, likewise.

    Raises:
        MissingExtra: openvino-genai is not installed.
        ConfigError: no model is set, or settings contradict one another.
        WeightsError: the file is missing or no model.
    """

    def __init__(self, settings: OpenvinoSettings, *, path: Path | None = None, draft: Path | None = None) -> None:
        require()
        if path is None and not settings.model:
            raise ConfigError("openvino.model is not set: give a GGUF file, or a name that `damda models` lists")
        path = path or Path(settings.model).expanduser()
        draft = draft or (Path(settings.draft).expanduser() if settings.draft else None)
        if (settings.speculation == "draft") != bool(draft):
            raise ConfigError('openvino.draft and openvino.speculation = "draft" go together: set both or neither')
        if draft and not (draft / "openvino_model.xml").is_file():
            raise ConfigError(f"openvino.draft: {draft} is no folder of OpenVINO (openvino_model.xml is missing)")
        name = f"openvino:{path.name}:{_fingerprint(path)}"
        quote = settings.mode == "quote"
        shape = Shape(settings.context, settings.slots, settings.batch, settings.threads)
        ways = Ways(settings.prefixes, settings.speculation, settings.guess, draft)
        key = (name, path.absolute(), shape, ways)
        said = ["paged cache", "continuous batches", f"{settings.slots} at once"]
        said += ["known prefixes"] if ways.prefixes else []
        said += [f"guesses {ways.guesses}, up to {ways.guessed} tokens"] if ways.guesses != "none" else []
        weights = shared(key, partial(apart, path, shape, ways))
        super().__init__(f"{name}:quote" if quote else name, weights, said, quote=quote)
        self._path = path

    @property
    def pid(self) -> int:
        """Of the process that the model is in, which is started now if it was not yet."""
        return self._weights.get().pid

    def __repr__(self) -> str:
        return f"Openvino({str(self._path)!r})"


def _fingerprint(path: Path) -> str:
    if path.is_dir():
        weights = path / "openvino_model.bin"
        if not weights.is_file():
            raise WeightsError(f"{path} is no folder of OpenVINO (openvino_model.bin is missing): give that, or a GGUF")
        return pretrained.edges([path / "openvino_model.xml", weights])
    return gguf.fingerprint(path)
