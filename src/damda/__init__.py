"""damda (담다): a folder of documents becomes a question-answering service that its owner runs.

    import damda

    kb = damda.open("./documents")
    kb.refresh()
    answer = kb.ask("재택근무는 일주일에 며칠까지 할 수 있나요?")

Names load when they are first used: importing damda imports nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damda.assemble import open as open
    from damda.assemble.llms import llm as llm
    from damda.errors import DamdaError as DamdaError
    from damda.ingest.sync import Report as Report
    from damda.knowledge import KnowledgeBase as KnowledgeBase
    from damda.knowledge import Status as Status
    from damda.types import Answer as Answer
    from damda.types import Chunk as Chunk
    from damda.types import Delta as Delta
    from damda.types import Document as Document
    from damda.types import Hit as Hit
    from damda.types import Message as Message
    from damda.types import Quote as Quote
    from damda.types import Where as Where

__version__ = "0.1.0"

_HOME_OF = {
    "Answer": "types",
    "Chunk": "types",
    "DamdaError": "errors",
    "Delta": "types",
    "Document": "types",
    "Hit": "types",
    "KnowledgeBase": "knowledge",
    "Message": "types",
    "Quote": "types",
    "Report": "ingest.sync",
    "Status": "knowledge",
    "Where": "types",
    "llm": "assemble.llms",
    "open": "assemble",
}

__all__ = sorted([*_HOME_OF, "__version__"])


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'damda' has no attribute {name!r}")
    return getattr(import_module(f"damda.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
