"""Names -> a model's files, for planning and for making it lighter."""

from pathlib import Path

from damda import weights
from damda.errors import ConfigError


def model_files(name: str, *, offline: bool) -> Path:
    """A file or folder that says what a model is: of one on the hub, its config alone is fetched.

    Args:
        name: one that ``damda models`` knows, a .gguf, a folder or config.json, or hub:OWNER/NAME.

    Raises:
        ConfigError: there is no such file.
        WeightsError: the known model was not pulled yet, or the hub can't be reached.
    """
    if name.startswith("hub:"):
        return weights.hub_folder(name.removeprefix("hub:"), offline=offline, files=("config.json",))
    path = Path(weights.gguf(name)).expanduser()
    if not path.exists():
        known = ", ".join(weights.GGUFS)
        raise ConfigError(f"{name!r} is no model: give {known}, a .gguf, a folder, a config.json or hub:OWNER/NAME")
    return path
