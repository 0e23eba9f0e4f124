"""From the path of a request to a file, without ever leaving the directory that is served.

The path is decoded already; it is cut at slashes. A segment is refused before the file system is
asked if it is `..`, hidden (a leading dot), or holds what could mean something else somewhere: a
backslash, a colon, a control character, or a byte that is no UTF-8. Then all symbolic links are
followed, and what is found must lie in the real directory, compared with the separator behind it:
`static_evil` is not inside of `static` (CVE-2023-29159).

On Windows a name may also be a device (`CON`, `NUL.txt`), stand for another name (a dot or a space
at its end falls off), or be a short form of a hidden one (`GIT~1`). Elsewhere these are mere names.

What is not checked: that whoever can write into the directory does not put a link in the place of a
directory between our look and our opening. Who can do that can as well put a copy there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ...messages import HTTPError

# Separators and drives of other systems, control characters, and what stands in Python for bytes that are not UTF-8.
_FORBIDDEN = re.compile("[/\\\\:\0-\x1f\x7f\ud800-\udfff]")
_WINDOWS = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\xb9\xb2\xb3])(?:[ .].*)?|.*[ .]|.*~[0-9].*",
                      re.IGNORECASE | re.DOTALL)


class Missing(HTTPError):
    """404, the answer to whatever is not served, whatever the reason; the peer need not know what is outside."""

    def __init__(self) -> None:
        super().__init__(404, "There is no such file.")

    def __reduce__(self) -> tuple[type[Missing], tuple[()]]:
        # From another process it comes pickled, and would be made again with the arguments of `HTTPError`.
        return Missing, ()


def is_innocent(name: str, windows: bool = os.name == "nt") -> bool:
    """Whether the name of a file can mean nothing but that file, on Windows too if that is where we are."""
    if _FORBIDDEN.search(name) or name in ("", ".", ".."):
        return False
    return not (windows and _WINDOWS.fullmatch(name))


class Root:
    """A directory, and what of it is shown.

    Args:
        dotfiles: the hidden names that are shown all the same.
        follow_symlinks: whether a link may lead out.

    Raises:
        ValueError: there is no such directory; an item of `dotfiles` is no hidden name.
    """

    __slots__ = ("_dotfiles", "_follow", "_prefix", "path")

    def __init__(self, directory: str | os.PathLike[str], dotfiles: str | Iterable[str] = (),
                 follow_symlinks: bool = False) -> None:
        #: the real directory
        self.path = str(Path(directory).resolve())
        if not os.path.isdir(self.path):
            raise ValueError(f"there is no directory {os.fspath(directory)}")
        self._prefix = self.path.rstrip(os.sep) + os.sep
        self._dotfiles = frozenset([dotfiles] if isinstance(dotfiles, str) else dotfiles)
        self._follow = follow_symlinks
        for name in self._dotfiles:
            if not name.startswith(".") or "/" in name or not is_innocent(name):
                raise ValueError(f"dotfiles are names of files or directories that begin with a dot, not {name!r}")

    def shows(self, name: str) -> bool:
        """Whether a file of this name is served at all."""
        return is_innocent(name) and (name[0] != "." or name in self._dotfiles)

    def segments(self, path: str) -> list[str]:
        """The names in a path.

        Raises:
            Missing: one of them is not shown.
        """
        names = [name for name in path.split("/") if name]
        if not all(map(self.shows, names)):
            raise Missing
        return names

    def location(self, names: Iterable[str]) -> str:
        """Where these names lead, links not yet followed."""
        return os.path.join(self.path, *names)

    def real(self, location: str) -> str:
        """A location with all links followed.

        Raises:
            Missing: it is not there, or not inside.
        """
        try:
            real = os.path.realpath(location, strict=True)
        except (OSError, ValueError):  # not there; links in a circle; a name too long or not encodable
            raise Missing from None
        if not self._follow and real != self.path and not real.startswith(self._prefix):
            raise Missing
        return real
