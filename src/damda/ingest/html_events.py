"""HTML -> a balanced list of events, and where in it the main content is.

Knows: which elements are the page's frame (navigation, banners, footers, buttons), which tags end which others.
Does not know: how any of it is written down.
"""

from collections import Counter
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser

VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_DROP = frozenset(
    "script style noscript template svg math nav footer aside iframe object dialog button select textarea audio video "
    "canvas map title".split()
)
_DROP_ROLES = frozenset("navigation banner contentinfo search complementary dialog alert menu toolbar".split())
_DROP_CLASSES = frozenset(
    "headerlink anchor-link hash-link breadcrumb breadcrumbs sidebar toctree-wrapper toc skip-link cookie-banner "
    "cookie-banner-wrapper prev-next-area prev-next-footer pagination sr-only visually-hidden edit-link editsection "
    "mw-editsection navbox noprint rating header-article-items".split()
)
HEADINGS = {f"h{i}": i for i in range(1, 7)}
BLOCKS = frozenset(
    "address article blockquote body caption center dd details div dl dt fieldset figcaption figure form footer header "
    "html legend li main ol p section summary table tbody td tfoot th thead tr ul option".split()
) | frozenset(HEADINGS)
# A start tag of the first kind ends an open element of the second, within the nearest of the third.
_CLOSES = {
    "li": ({"li", "p"}, {"ul", "ol"}),
    "dt": ({"dt", "dd", "p"}, {"dl"}),
    "dd": ({"dt", "dd", "p"}, {"dl"}),
    "tr": ({"tr", "td", "th", "p"}, {"table"}),
    "td": ({"td", "th", "p"}, {"table"}),
    "th": ({"td", "th", "p"}, {"table"}),
    "tbody": ({"tr", "td", "th", "thead", "tbody", "p"}, {"table"}),
    "option": ({"option"}, {"select"}),
} | {tag: ({"p"}, BLOCKS - {"p"}) for tag in ("p", "div", "ul", "ol", "table", "section", "blockquote", *HEADINGS)}
Attrs = dict[str, str]


@dataclass(slots=True)
class Event:
    kind: str  # "start", "end" or "text"
    value: str
    attrs: Attrs = field(default_factory=dict)


class Events(HTMLParser):
    """A balanced, flat list of events: what was left open is closed, what was never opened is not closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.events: list[Event] = []
        self.title = ""
        self.layout_tables: set[int] = set()
        self._open: list[tuple[str, int]] = []
        self._count: Counter[str] = Counter()
        self._tables: list[int] = []
        self._dropping = 0
        self._chars = 0
        self._started: dict[int, int] = {}
        self._candidates: list[tuple[int, int, int, int]] = []  # rank, start, end, characters

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        if tag in VOID:
            self.events.append(Event("start", tag, found))
            return
        if tag in _CLOSES:
            self._close_open(*_CLOSES[tag])
        self._note_layout(tag)
        index = len(self.events)
        self.events.append(Event("start", tag, found))
        self._open.append((tag, index))
        self._count[tag] += 1
        self._started[index] = self._chars
        self._dropping += dropped(tag, found)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag in ("svg", "math"):  # elsewhere "/" means nothing in HTML: <div/> opens a div
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._count[tag]:
            if self._pop() == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "title" and not self._count["svg"]:
            self.title += data
        self.events.append(Event("text", data))
        if not self._dropping:
            self._chars += len(data.strip())

    def finish(self) -> None:
        """Like ``close``, which takes minutes for 100 kB of ``<a``: it looks for an end after every unfinished tag."""
        if not self.rawdata.startswith(("<!", "<?")):
            self.handle_data(unescape(self.rawdata))
        while self._open:
            self._pop()

    def main_range(self) -> tuple[int, int]:
        worthy = [c for c in self._candidates if c[3] * 4 >= self._chars and c[3]]
        if not worthy:
            return 0, len(self.events)
        rank, start, end, chars = min(worthy, key=lambda c: (c[0], -c[3]))
        inner = [c for c in worthy if c[0] > rank and start < c[1] and c[2] < end and c[3] >= 0.75 * chars]
        return min(inner, key=lambda c: c[3])[1:3] if inner else (start, end)

    def _pop(self) -> str:
        tag, start = self._open.pop()
        self._count[tag] -= 1
        attrs = self.events[start].attrs
        self._dropping -= dropped(tag, attrs)
        self.events.append(Event("end", tag, attrs))
        if self._tables and self._tables[-1] == start:
            self._tables.pop()
        rank = 0 if tag == "main" or attrs.get("role") == "main" else 1 if tag == "article" else 2
        if rank < 2 and not self._dropping:
            self._candidates.append((rank, start, len(self.events), self._chars - self._started[start]))
        return tag

    def _close_open(self, ends: "set[str] | frozenset[str]", within: "set[str] | frozenset[str]") -> None:
        while self._open and self._open[-1][0] not in within and any(self._count[tag] for tag in ends):
            for tag, _ in reversed(self._open[-8:]):
                if tag in within:
                    return
                if tag in ends:
                    break
            else:
                return
            self._pop()

    def _note_layout(self, tag: str) -> None:
        """A table that holds a table or a heading lays out a page; its cells are not data."""
        if self._tables and (tag == "table" or tag in HEADINGS):
            self.layout_tables.add(self._tables[-1])
        if tag == "table":
            self._tables.append(len(self.events))


def dropped(tag: str, attrs: Attrs) -> bool:
    if tag in _DROP or attrs.get("role", "") in _DROP_ROLES:
        return True
    if "hidden" in attrs or attrs.get("aria-hidden") == "true":
        return True
    if tag in ("html", "body", "main", "article"):  # a class there tells of the layout
        return False
    return not _DROP_CLASSES.isdisjoint(attrs.get("class", "").lower().split())
