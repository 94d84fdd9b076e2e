"""Settings -> guards."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from damda.answer.guard import Guards
from damda.errors import ConfigError
from damda.settings import Settings
from damda.types import Encoder, Generator, Guard, Place

NAMES = ("length", "language", "patterns", "personal", "injection", "classifier", "topics", "judge")
"""Of all guards."""
_MASKING = ("personal", "patterns")


def make_guards(
    settings: Settings,
    encoder: Callable[[], Encoder],
    judge: Callable[[], Generator],
    own: Mapping[Place, Sequence[Guard]] = MappingProxyType({}),
) -> Guards:
    """The guards that the settings name.

    Args:
        settings: of everything.
        encoder: gets it, for the classifier and topics; called where there is one of them.
        judge: gets the language model that the judge asks; called where there is one.
        own: more guards of each place, behind those. What they mask in answers is masked in the passages beside, too.

    Raises:
        ConfigError: no guard is called so, or it lacks what it needs, or a file of it can't be read.
    """
    guard = settings.guard
    known: dict[str, Sequence[Guard]] = {}

    def named(place: str, names: Sequence[str]) -> list[tuple[str, Guard]]:
        made: list[tuple[str, Guard]] = []
        for name in names:
            if name not in NAMES:
                raise ConfigError(f"guard.{place}: no guard is called {name!r}; there are: {', '.join(NAMES)}")
            if name not in known:
                known[name] = _make(name, settings, encoder, judge)
            made += [(name, one) for one in known[name]]
        return made

    question, passage, answer = (named(place, getattr(guard, place)) for place in ("question", "passage", "answer"))
    return Guards(
        [*(one for _, one in question), *own.get("question", ())],
        [*(one for _, one in passage), *own.get("passage", ())],
        [*(one for _, one in answer), *own.get("answer", ())],
        masking=[*(one for name, one in answer if name in _MASKING), *own.get("answer", ())],
        drop=guard.unsupported == "drop",
    )


def _make(
    name: str, settings: Settings, encoder: Callable[[], Encoder], judge: Callable[[], Generator]
) -> Sequence[Guard]:
    guard = settings.guard
    if name == "personal":
        from damda.answer.guards.personal import Personal

        return [Personal(redact=guard.redact, block=guard.block)]
    if name == "injection":
        from damda.answer.guards.injection import Injection

        return [Injection(guard.injection)]
    if name in ("length", "language", "patterns"):
        return [_rule(name, settings)]
    if name == "classifier":
        from damda.answer.guards.classifier import Classifier

        if not guard.classifiers:
            raise ConfigError("guard.classifiers is empty: give folders that `damda guard train` has made")
        return [Classifier.load(Path(one).expanduser(), encoder(), guard.classifier) for one in guard.classifiers]
    if name == "topics":
        from damda.answer.guards.topics import Topics

        if not guard.topics:
            raise ConfigError("guard.topics is not set: give a file of examples (docs/guards.md)")
        return [Topics(Path(guard.topics).expanduser(), encoder())]
    from damda.answer.guards.judge import Judge

    if not guard.judge:
        raise ConfigError("guard.judge is not set: say in words what is to be refused, or give a file that says it")
    return [Judge(judge(), _policy(guard.judge))]


def _rule(name: str, settings: Settings) -> Guard:
    from damda.answer.guards.rules import Language, Length, Patterns

    guard = settings.guard
    if name == "length":
        return Length(guard.max_chars)
    if name == "language":
        return Language(guard.languages)
    if not guard.patterns:
        raise ConfigError("guard.patterns is not set: give a file of regular expressions (docs/guards.md)")
    return Patterns(Path(guard.patterns).expanduser())


def _policy(given: str) -> str:
    """The text of a file, or the words themselves."""
    path = Path(given).expanduser()
    try:
        return path.read_text(encoding="utf-8-sig") if len(given) < 1000 and path.is_file() else given
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"guard.judge {given}: {error}") from error
