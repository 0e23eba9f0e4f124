"""What a server would have sent, read back as a client reads it."""

from __future__ import annotations

import json
from email.message import Message
from functools import cached_property
from typing import Any

from ..http1 import ResponseHead
from ..messages import Headers


class Reply:
    """What a server would have sent, and a client read."""

    def __init__(self, head: ResponseHead, body: bytes, trailers: Headers, url: str) -> None:
        self.status = head.status
        self.reason = head.reason
        self.headers = head.headers
        self.keep_alive = head.keep_alive
        self.body = body
        self.trailers = trailers
        self.url = url
        #: the replies that led here, the first one first
        self.history: list[Reply] = []

    @cached_property
    def text(self) -> str:
        """The body as text, by the charset of its content type or UTF-8."""
        message = Message()
        message["Content-Type"] = self.headers.get("content-type", "")
        return self.body.decode(str(message.get_param("charset", "utf-8")))

    def json(self) -> Any:
        """What the JSON in the body says."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<Reply {self.status} {len(self.body)} bytes>"
