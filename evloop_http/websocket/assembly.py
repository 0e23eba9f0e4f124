"""A message that arrives in fragments (RFC 6455 §5.4)."""

from __future__ import annotations

import codecs


class Assembly:
    """Puts the frames of a message together. Text is decoded as it arrives, to fail at the first bad byte (§8.1)."""

    __slots__ = ("_decoder", "_left", "_parts")

    def __init__(self, is_text: bool, most: int) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self._parts: list[str] | list[bytes] = []
        self._left = most

    def add(self, data: bytes, is_last: bool) -> bool:
        """Add a fragment. Return False if these are too many.

        Raises:
            UnicodeDecodeError: it is no UTF-8.
        """
        self._left -= 1
        part: str | bytes = self._decoder.decode(data, is_last) if self._decoder is not None else data
        if part:
            self._parts.append(part)  # type: ignore[arg-type]
        return self._left >= 0

    def message(self) -> str | bytes:
        """Return the whole."""
        return "".join(self._parts) if self._decoder is not None else b"".join(self._parts)  # type: ignore[arg-type]
