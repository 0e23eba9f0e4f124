"""The page of an application under work: what went wrong, where, and in answer to which request.

It tells what a stranger must never see, so it goes to this machine only:

* The peer has a loopback address. A Unix socket is no witness: behind it stands a proxy, as a rule.
* `Host` names this machine, too. A page of another site can make a browser on this machine send us requests, under a
  name that its owner has pointed here (DNS rebinding, see `hosts`), and could read the response.
* No proxy has passed the request on: it would make every client of the world look like one from here. A proxy shows
  itself by a header, or by HTTP/1.0, which browsers do not speak and nginx did by default. One that does neither, and
  puts the name of this machine into `Host`, looks like a browser here. So never use `debug` behind a proxy.

The page shows the traceback with its lines of source, but no values of variables, and of the request neither the
body nor what looks like a secret. What an exception says of itself is shown as it is.
"""

from __future__ import annotations

import html
import re
import traceback

from ..messages import Request, Response
from .hosts import host_of, is_loopback, is_loopback_address

#: What a proxy adds; a request that bears one of these was not sent from this machine.
_PROXY_HEADERS = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
                            "x-real-ip"})
# Of the names of headers and parameters. A Referer is a URL, whose query may hold any of the others.
_SECRET = re.compile(r"auth|cookie|token|secret|passw|pwd|key|session|csrf|xsrf|signature|credential|referer",
                     re.IGNORECASE)
_HIDDEN = "(not shown)"

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{error}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 2rem }}
pre {{ overflow-x: auto; padding: 1rem; border: 1px solid }}
th {{ text-align: left; vertical-align: top; padding-right: 2rem; white-space: nowrap }}
td {{ overflow-wrap: anywhere }}
</style>
<h1>{error}</h1>
<p>The handler of <code>{line}</code> failed. This page is shown because the application was made with
<code>debug=True</code>, and only to browsers on this machine.</p>
<pre>{traceback}</pre>
<h2>Request</h2>
<table>
{rows}</table>
</html>
"""


def is_local(request: Request) -> bool:
    """Whether a request was sent on this machine, to this machine, and by no proxy."""
    if not is_loopback_address(request.client) or not is_loopback(host_of(request.host)):
        return False
    return request.version != "1.0" and not request.headers.has_any(_PROXY_HEADERS)


def page(request: Request, error: BaseException) -> Response:
    """The page for an exception."""
    title = "".join(traceback.format_exception_only(error)).strip().partition("\n")[0]
    shown = _PAGE.format(
        error=html.escape(title), line=html.escape(f"{request.method} {request.head.path}"),
        traceback=html.escape("".join(traceback.format_exception(error))),
        rows="".join([f"<tr><th>{html.escape(name)}<td>{html.escape(value)}\n" for name, value in _facts(request)]))
    # What no encoding can say (half of a surrogate pair in a message) must not cost the page.
    body = shown.encode("utf-8", "backslashreplace")
    return Response(body, 500, {"Cache-Control": "no-store"}, "text/html; charset=utf-8")


def _facts(request: Request) -> list[tuple[str, str]]:
    """What is shown of a request: names and values."""
    facts = [("path", request.head.path), ("client", request.client)]
    facts += [(f"parameter {name}", repr(_shown(name, value))) for name, value in request.params.items()]
    for name in request.query:
        facts += [(f"query {name}", str(_shown(name, value))) for value in request.query.get_all(name)]
    return facts + [(name, str(_shown(name, value))) for name, value in request.headers.pairs()]


def _shown(name: str, value: object) -> object:
    return _HIDDEN if _SECRET.search(name) else value
