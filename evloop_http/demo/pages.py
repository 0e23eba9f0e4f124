"""Pages: how every one of them is made, what protects it, and those that are only there to be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from evloop_http import App, Headers, Request, Response, Templates
from evloop_http.app.middleware import security_headers
from evloop_http.app.responses import cache_control, redirect
from evloop_http.messages import RequestHead

POLICY = ("default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
          "base-uri 'none'; frame-ancestors 'none'")

#: A middleware: what browsers are not to do with a page.
protect = security_headers(content_security_policy=POLICY, referrer_policy="no-referrer")

# Fields that the home page names but whose values it does not show.
_PRIVATE = {"authorization", "cookie", "proxy-authorization"}


class Pages:
    """Renders the templates, with what all of them need to know.

    Args:
        site: the application whose routes the templates name.
        tls_port: see `create_app`.
    """

    def __init__(self, site: App, tls_port: int | None) -> None:
        self._templates = Templates(Path(__file__).parent / "templates", app=site)
        self._tls_port = tls_port

    def __call__(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        response = self._templates.render(template, request=request, status=status, tls_port=self._tls_port,
                                          host_name=without_port(request.host) or "localhost", **context)
        # Pages show the request that asked for them: they are of no use to a later one.
        cache_control(response, no_store=True)
        return response

    def warm_up(self) -> None:
        """Do now what would keep the first visitor waiting, and with them everybody else: it takes 0.3 s.

        The templates are compiled, and so are the expressions by which browsers are known: all of them are tried on
        a name that no browser has.
        """
        environment = self._templates.environment
        for template in environment.list_templates():
            environment.get_template(template)
        browser_of(Request(RequestHead("GET", "/", "1.1", Headers({"User-Agent": "-"}), "/")))


def add_pages(site: App, page: Pages) -> None:
    """The home page and the greeting."""

    @site.get("/")
    def home(request: Request) -> Response:
        return page(request, "home.html", fields=shown_fields(request), browser=browser_of(request))

    @site.get("/welcome")
    def welcome(request: Request) -> Response:
        return page(request, "welcome.html", guest=request.query.get("name", "").strip() or "stranger")

    @site.get("/favicon.ico")
    def icon(request: Request) -> Response:
        # Where browsers look by themselves when what they show (`pong`, say) names no icon.
        return redirect("/static/favicon.svg", 301)


def add_error_pages(app: App, page: Pages) -> None:
    """The pages for what went wrong. They repeat nothing that was sent.

    They ask for their protection themselves: what answers for an error may have no middleware around it.
    """

    @app.error(404)
    def missing(request: Request, error: Exception) -> Response:
        return protect(request, lambda request: page(request, "404.html", status=404))

    @app.error(500)
    def broken(request: Request, error: Exception) -> Response:
        return protect(request, lambda request: page(request, "500.html", status=500))


def browser_of(request: Request) -> str:
    """The browser's name, as far as the library that knows them is installed."""
    try:
        return request.browser
    except RuntimeError:
        return "your browser"


def shown_fields(request: Request) -> list[tuple[str, str]]:
    """The header fields as they came, without secrets: a cookie may belong to another program of this host."""
    return [(name, "(not shown)" if name.lower() in _PRIVATE else value) for name, value in request.headers.pairs()]


def without_port(host: str) -> str:
    """The name or address of `host`, an IPv6 address with its brackets."""
    return re.sub(r":\d*$", "", host)
