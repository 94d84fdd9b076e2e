"""What docx and pptx share: parts of a package, its relations, its properties.

Knows: Open Packaging Conventions (ECMA-376 part 2). Does not know: what is in a part.
"""

import posixpath
import re
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from damda.errors import ReadError
from damda.ingest.containers import read_part

_DAMAGED = "its XML is damaged; open it in its program and save it again"


def local(element: Element) -> str:
    """The element's name without its namespace: strict and transitional OOXML differ in nothing else here."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attr(element: Element, name: str, default: str = "") -> str:
    """The attribute of that name, in whichever namespace."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == name:
            return value
    return default


def child(element: Element | None, *path: str) -> Element | None:
    for name in path:
        element = next((e for e in element if local(e) == name), None) if element is not None else None
    return element


def children(element: Element | None, name: str) -> Iterator[Element]:
    return (e for e in (element if element is not None else ()) if local(e) == name)


def part(archive: zipfile.ZipFile, name: str) -> Element | None:
    """A part, parsed; None if the package has no such part.

    Raises:
        ReadError: it isn't well-formed, or declares entities, which no office program writes.
    """
    if name not in archive.namelist():
        return None
    data = read_part(archive, name)
    if re.search(rb"<!(?:DOCTYPE|ENTITY)", data[:4096]):
        raise ReadError(_DAMAGED)
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ReadError(_DAMAGED) from error


def relations(archive: zipfile.ZipFile, name: str) -> list[tuple[str, str, str]]:
    """(id, last word of the type, target part) of each relation of a part, in order; "" is the package itself."""
    folder, base = posixpath.split(name)
    root = part(archive, posixpath.join(folder, "_rels", f"{base}.rels"))
    found = []
    for relation in root if root is not None else ():
        target = posixpath.normpath(posixpath.join("/" + folder, attr(relation, "Target"))).lstrip("/")
        found.append((attr(relation, "Id"), attr(relation, "Type").rpartition("/")[2], target))
    return found


def related(archive: zipfile.ZipFile, name: str, kind: str) -> Element | None:
    """The first related part of that kind, parsed."""
    target = next((target for _, found, target in relations(archive, name) if found == kind), "")
    return part(archive, target) if target else None


def main_part(archive: zipfile.ZipFile, usual: str) -> str:
    return next((target for _, kind, target in relations(archive, "") if kind == "officeDocument"), usual)


def title(archive: zipfile.ZipFile) -> str:
    """The title in the document's properties."""
    core = part(archive, "docProps/core.xml")
    found = child(core, "title")
    return (found.text or "").strip() if found is not None else ""
