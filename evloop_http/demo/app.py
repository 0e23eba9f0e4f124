"""The routes of the demo site.

It knows requests and responses, and no socket: what is written here would run under any server
that keeps the application contract. `create_app` makes a fresh application each time, because an
application owns worker threads, and importing a module should start none.

Three rules keep a public demo harmless, and each is worth copying:

*What a visitor sent is never a document.* `/welcome` puts the visitor's words into a page through
Jinja2's autoescape. `/echo` returns them with the type they came with, except where a browser
would render that type and run what is inside it; those come back as plain text.

*Pages need nothing from elsewhere.* One style sheet, no script. The Content-Security-Policy says
so to the browser, which then refuses whatever slipped in all the same.

*Nothing is kept.* No session, no cookie, no store: there is nothing to forge and nothing to leak.
"""

from __future__ import annotations

import hmac
import json
import re
from pathlib import Path
from typing import Any

from evloop_http import App, HTTPError, Response
from evloop_http.app.request import Request
from evloop_http.app.static import StaticFiles
from evloop_http.app.templates import Templates

HERE = Path(__file__).parent

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
                               "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Pages show the request that asked for them: they are of no use to a later one.
    "Cache-Control": "no-store",
}

# With these a browser runs nothing of the answer even if it takes it for a document.
INERT_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff"}

# Parts of the names of media types that browsers render, or take apart into types that they render:
# text/html, image/svg+xml, text/xsl, multipart/x-mixed-replace, ...
_RENDERED = re.compile(r"html|xml|xsl|multipart", re.IGNORECASE)

# Fields that the home page names but whose values it does not show.
_PRIVATE = {"authorization", "cookie", "proxy-authorization"}

_USERNAME, _PASSWORD = b"admin", b"secret"


class Pages:
    """Renders the templates, with the headers that every page of this site carries."""

    def __init__(self, tls_port: int | None) -> None:
        self._templates = Templates(HERE / "templates")
        self._tls_port = tls_port

    def __call__(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        response = self._templates.render(template, request=request, status=status, tls_port=self._tls_port,
                                          host_name=without_port(request.host) or "localhost", **context)
        response.headers.update(PAGE_HEADERS)
        return response


def create_app(tls_port: int | None = None) -> App:
    """A fresh demo application.

    Args:
        tls_port: where the same site answers over HTTPS, if it does: the pages that came over
            plain HTTP then link there.
    """
    app = App()
    page = Pages(tls_port)
    add_pages(app, page)
    add_login(app, page)
    add_api(app)
    add_errors(app, page)
    app.mount("/static", StaticFiles(HERE / "pages"))
    return app


def add_pages(app: App, page: Pages) -> None:
    """What is read: the home page and the greeting."""

    @app.get("/")
    def home(request: Request) -> Response:
        return page(request, "home.html", fields=shown_fields(request), browser=browser_of(request))

    @app.get("/welcome")
    def welcome(request: Request) -> Response:
        return page(request, "welcome.html", guest=request.query.get("name", "").strip() or "stranger")

    @app.get("/favicon.ico")
    def icon(request: Request) -> Response:
        # Where browsers look by themselves when what they show (`pong`, say) names no icon.
        return Response(status=301, headers={"Location": "/static/favicon.svg"})


def add_login(app: App, page: Pages) -> None:
    """The form, and what becomes of it."""

    @app.get("/login")
    def login_form(request: Request) -> Response:
        return page(request, "login.html", refused=False)

    @app.post("/login")
    def login(request: Request) -> Response:
        if is_admin(request.form.get("username", ""), request.form.get("password", "")):
            return page(request, "logged_in.html", browser=browser_of(request))
        refusal = page(request, "login.html", status=401, refused=True)
        # RFC 9110 §15.5.2: a 401 must carry a challenge. Browsers know no scheme of this name, and
        # so show the page with its form instead of a dialog of their own.
        refusal.headers["WWW-Authenticate"] = 'Form realm="demo"'
        return refusal


def add_api(app: App) -> None:
    """What programs ask for."""

    @app.get("/ping")
    def ping(request: Request) -> str:
        return "pong"

    @app.get("/users/{id:int}")
    def user(request: Request, id: int) -> dict[str, Any]:
        return {"id": id, "name": f"User {id}"}

    @app.get("/data")
    def data(request: Request) -> dict[str, Any]:
        if "id" not in request.query:
            raise HTTPError(400, "Which one? Ask for /data?id=42, say.")
        return {"id": request.query["id"]}

    @app.post("/api/create")
    def create(request: Request) -> Response:
        made = json.dumps({"created": sent_object(request)})
        return Response(made, status=201, content_type="application/json")

    @app.post("/echo")
    def echo(request: Request) -> Response:
        return Response(request.body, headers=INERT_HEADERS, content_type=echoed_type(request))

    @app.get("/panic")
    def panic(request: Request) -> None:
        raise RuntimeError("the handler of /panic raises, which is what it is for")


def add_errors(app: App, page: Pages) -> None:
    """The pages for what went wrong. They repeat nothing that was sent."""

    @app.error(404)
    def missing(request: Request, error: Exception) -> Response:
        return page(request, "404.html", status=404)

    @app.error(500)
    def broken(request: Request, error: Exception) -> Response:
        return page(request, "500.html", status=500)


def browser_of(request: Request) -> str:
    """The browser's name, as far as the library that knows them is installed."""
    try:
        return request.browser
    except RuntimeError:
        return "your browser"


def is_admin(username: str, password: str) -> bool:
    """Whether these are the demo's credentials; how long the answer takes says nothing about them."""
    right_name = hmac.compare_digest(username.encode("utf-8", "replace"), _USERNAME)
    right_password = hmac.compare_digest(password.encode("utf-8", "replace"), _PASSWORD)
    return right_name and right_password


def sent_object(request: Request) -> dict[str, Any]:
    """The fields of a form or of a JSON object, whichever was sent.

    Raises:
        HTTPError: 400 for JSON that is broken or no object, 415 for a body of another type.
    """
    if request.media_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return dict(request.form)
    sent = request.json()
    if not isinstance(sent, dict):
        raise HTTPError(400, "Send a JSON object, such as {\"name\": \"Ada\"}.")
    return sent


def echoed_type(request: Request) -> str:
    """The type that the body came with, made harmless."""
    media_type = request.headers.get("Content-Type", "application/octet-stream")
    return "text/plain; charset=utf-8" if _RENDERED.search(media_type) else media_type


def shown_fields(request: Request) -> list[tuple[str, str]]:
    """The header fields as they came, without secrets: a cookie may belong to another program of this host."""
    return [(name, "(not shown)" if name.lower() in _PRIVATE else value) for name, value in request.headers.pairs()]


def without_port(host: str) -> str:
    """The name or address of `host`, an IPv6 address with its brackets."""
    return re.sub(r":\d*$", "", host)
