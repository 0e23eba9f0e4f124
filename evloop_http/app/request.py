"""What a handler sees: the request of the wire, and what can be read out of its headers and body.

Everything here is worked out when it is first asked for and kept. What the client sent wrongly
becomes an `HTTPError` that says so, at the line of the handler that wanted it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from .. import messages
from ..messages import HTTPError, MultiDict, Pipe
from ..messages.bodies import Incoming
from ..messages.cached import cached_property
from . import accept, forms
from .json import decode_json

if TYPE_CHECKING:
    from .routing.router import Found, Route

#: Characters of `User-Agent` in which the browser's name is looked for.
_LONGEST_AGENT = 256


class Request(messages.Request):
    """A request, as the handlers of an `App` get it.

    Of the wire: `method target path query headers version client scheme host url body`.
    Of the router: `params`, and below a mount `path` is what is left of it (`head.path` is all).
    """

    #: the route that was found
    route: Route
    #: the name of this request in logs and for other servers; set by the middleware `request_id`
    id: str = ""
    #: what `incoming` reads from, perhaps through others, if the body arrives while it is read
    pipe: Pipe | None = None
    #: what `App.prepare` found out, for each `App` on the way
    found: tuple[Found, ...] = ()

    def receive(self, incoming: Incoming | Iterator[bytes]) -> None:
        super().receive(incoming)
        if isinstance(incoming, Pipe):
            self.pipe = incoming

    @cached_property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case; empty if there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def text(self) -> str:
        """The body as text, by the charset of its content type or UTF-8.

        Raises:
            HTTPError: 415 for an unknown charset, 400 where the body does not fit it.
        """
        return self._decoded(self.headers.get("content-type", ""))

    def _decoded(self, content_type: str) -> str:
        charset = forms.parameter(content_type, "charset") if ";" in content_type else None
        return forms.decode(self.body, charset or "utf-8")

    def json(self, *, limit: int | None = None) -> Any:
        """What the JSON in the body says.

        Args:
            limit: bytes that the body may have, where the server's own limit is more than this one needs.

        Raises:
            HTTPError: 415 for another content type, 413 beyond the limit, 400 for malformed JSON.
        """
        content_type = self.headers.get("content-type", "")
        if content_type != "application/json" and not self._is_json():
            raise HTTPError(415, "The body is expected to be JSON.")
        if limit is not None and len(self.body) > limit:
            raise HTTPError(413, "The JSON in the body is too large.")
        try:
            return decode_json(self._decoded(content_type))
        except (ValueError, RecursionError):
            raise HTTPError(400, "The body is not well-formed JSON.") from None

    def _is_json(self) -> bool:
        return self.media_type == "application/json" or self.media_type.endswith("+json")

    @cached_property
    def _form(self) -> forms.Form:
        content_type = self.headers.get("content-type", "")
        if self.incoming is not None:
            try:
                return forms.parse_stream(self.media_type, content_type, self.incoming)
            except HTTPError as error:
                # Another form must not be read from what is left.
                self.incoming = _Refusing(error)
                raise
        form = forms.parse(self.media_type, content_type, self.body)
        if form.is_spooled:
            self.body = b""  # it would be kept twice
        return form

    @property
    def form(self) -> MultiDict[str]:
        """The text fields of the form in the body, urlencoded or multipart; empty if there is no body.

        Where a file went to the disk, the body is let go and is empty: whoever wants both takes the body
        first. With `stream=True` it is read out of what comes, and there is no body beside it.

        Raises:
            HTTPError: 415 for another content type, 400 for a malformed body, 413 for too many
                fields or too much in them.
        """
        return self._form.fields

    @property
    def files(self) -> MultiDict[forms.Upload]:
        """The files of the form in the body; errors as for `form`."""
        return self._form.files

    @cached_property
    def cookies(self) -> dict[str, str]:
        """Cookies by name; of several of one name the first. Those without a name are dropped (CVE-2023-23934).

        Quotes around a value are no part of it if there are two (RFC 6265 §4.1.1). What a script put into
        `document.cookie` comes in UTF-8; a cookie whose bytes are not UTF-8 is read as Latin-1.
        """
        cookies: dict[str, str] = {}
        for pair in self.headers.get("cookie", "").split(";"):
            name, equals, value = (pair if pair.isascii() else _as_utf8(pair)).partition("=")
            name = name.strip(" \t")
            if name and equals:
                cookies.setdefault(name, _unquoted(value.strip(" \t")))
        return cookies

    def accepts(self, media_type: str) -> bool:
        """Whether the client takes an answer of this type (RFC 9110 §12.5.1); without `Accept` it takes any."""
        return accept.quality(self.headers.get("accept"), media_type) > 0

    def prefers(self, *media_types: str) -> str | None:
        """The one of `media_types` that the client likes best, the first of equals; None if it takes none."""
        return accept.prefers(self.headers.get("accept"), media_types)

    @property
    def user_agent(self) -> str:
        """The `User-Agent` header, or nothing."""
        return self.headers.get("user-agent", "")

    @cached_property
    def browser(self) -> str:
        """The browser's name, such as `Firefox`; `your browser` if it is not known.

        Only the first 256 characters of `User-Agent` are looked at, which name it in practice: the library's
        regular expressions take time that grows with the square of the length.

        Raises:
            RuntimeError: the extra `browser` is not installed.
        """
        try:
            from ua_parser import parse_user_agent
        except ImportError:
            raise RuntimeError("request.browser needs a library: pip install 'evloop-http[browser]'") from None
        found = parse_user_agent(self.user_agent[:_LONGEST_AGENT])
        return found.family if found is not None else "your browser"


def _as_utf8(text: str) -> str:
    """Return text of a header, which was read as Latin-1, as UTF-8 if it is that."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _unquoted(value: str) -> str:
    is_quoted = len(value) >= 2 and value[0] == value[-1] == '"'
    return value[1:-1] if is_quoted else value


class _Refusing(Iterator[bytes]):
    """What is left of a body that was no form: nobody reads it. (It does not keep the error, which keeps frames.)"""

    def __init__(self, error: HTTPError) -> None:
        self._error = (error.status, error.message, error.headers)

    def __next__(self) -> bytes:
        raise HTTPError(*self._error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return next(self)
