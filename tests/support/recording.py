"""An owner of a transport that writes down what it is told."""

from __future__ import annotations

from collections.abc import Callable


class Recorder:
    """An owner that writes down what it is told, and does what the test wants done then."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.pieces: list[bytes] = []
        self.then: dict[str, Callable[[], object]] = {}

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def _note(self, what: str) -> None:
        self.told.append(what)
        self.then.get(what, bool)()

    def on_open(self) -> None:
        self._note("open")

    def on_data(self, data: bytes) -> None:
        self.pieces.append(data)
        self._note("data")

    def on_eof(self) -> None:
        self._note("eof")

    def on_writable(self) -> None:
        self._note("writable")

    def on_progress(self) -> None:
        self._note("progress")

    def on_lost(self) -> None:
        self._note("lost")

    def on_plaintext(self) -> None:
        self._note("plaintext")

    def update(self) -> None:
        """Every wake ends with this: nothing to write down."""
