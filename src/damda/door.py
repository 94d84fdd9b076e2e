"""The door of a running `damda serve` for commands that are about the same home: where it is, and who may come.

Knows: Unix sockets, their owners. Does not know: what is said through them. Systems without Unix sockets have no door.

It stands in the home, so that whoever names the same documents finds it; names of sockets may have some hundred bytes
only, so that of a home far down stands in the user's own folder among the temporary files. Who may connect, the file's
mode says: its owner alone. A socket of another user is not trusted.
"""

import hashlib
import os
import socket
import stat
import struct
import tempfile
from pathlib import Path

_NAME = "serve.sock"
_PATIENCE = 1.0
"""Seconds until a connection is taken."""

_LONGEST = 100
"""Bytes: Linux takes 107, others 103."""


def opened(home: Path) -> socket.socket | None:
    """A connection to whoever serves this home; None: nobody does, or not this user."""
    place = _place(home)
    if place is None:
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(_PATIENCE)
    try:
        if os.lstat(place).st_uid == os.getuid():
            sock.connect(str(place))
            if _whose(sock) == os.getuid():
                return sock
    except OSError:  # it is not there, or whoever made it was killed, or does not take connections
        pass
    sock.close()
    return None


class Door:
    """A socket that listens, of the process that made it.

    Attributes:
        sock: hand it to whoever answers.
    """

    def __init__(self, place: Path, sock: socket.socket) -> None:
        self.sock, self._place = sock, place
        self._made = os.lstat(place).st_ino

    def close(self) -> None:
        """Nobody finds it any more. One that another process has made in its place stays."""
        self.sock.close()
        try:
            if os.lstat(self._place).st_ino == self._made:
                self._place.unlink()
        except OSError:
            pass  # it is gone already


def made(home: Path) -> Door | None:
    """The door of a home; None: another process serves it already, or the file system takes no sockets."""
    place = _place(home)
    if place is None or not _kept_private(place, home):
        return None
    if there := opened(home):
        there.close()
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        place.unlink(missing_ok=True)  # of one that was killed
        sock.bind(str(place))
        os.chmod(place, 0o600)  # before it listens: until then nobody gets in
        sock.listen(64)
        sock.set_inheritable(True)
        return Door(place, sock)
    except OSError:
        sock.close()
        return None


def _whose(sock: socket.socket) -> int:
    """User at the other end, where the system tells; else this one's: the file's owner was looked at."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()
    _, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(user)


def _place(home: Path) -> Path | None:
    if not hasattr(socket, "AF_UNIX") or not hasattr(os, "getuid"):
        return None
    whole = home.expanduser().resolve() / _NAME
    if len(os.fsencode(whole)) <= _LONGEST:
        return whole
    name = hashlib.sha256(os.fsencode(whole)).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"damda-{os.getuid()}" / f"{name}.sock"


def _kept_private(place: Path, home: Path) -> bool:
    """Whether the folder is there, and, among the temporary files, nobody else's."""
    try:
        if place.parent == home.expanduser().resolve():
            place.parent.mkdir(parents=True, exist_ok=True)
            return True
        place.parent.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(place.parent)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
