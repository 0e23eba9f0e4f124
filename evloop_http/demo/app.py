"""The demo site, put together.

    app  ── /ping, /users/…, /data, /echo, /slow, /panic     handlers, and nothing around them
     ├──── /static, /files                                    files of one directory
     ├──── /api                                               open to pages of other sites
     └──── /  site ── pages, forms, downloads, events         named, protected, compressed
               ├───── /tour                                   with a 404 of its own
               └───── /private                                behind a password

An `App` has its own middleware, so what a part of the site needs stands around that part alone: `/ping`
costs what a handler costs. It also has its own error handlers. Those of the outermost one answer for
whatever is not mounted with handlers of its own.

`create_app` makes a fresh application each time, because an application owns worker threads, and
importing a module should start none.

Three rules keep a public demo harmless, and each is worth copying:

*What a visitor sent is never a document.* Pages show it through Jinja2's autoescape. `/echo` returns it
with the type it came with, except where a browser would render that type and run what is inside it.

*Pages need nothing from elsewhere.* One style sheet, and one script on each of two pages. The Content-Security-Policy
says so to the browser, which then refuses whatever slipped in all the same.

*Nothing is kept.* A session is a cookie that the visitor keeps, notes and files are answered and forgotten:
there is nothing to fill up and nothing to leak.
"""

from __future__ import annotations

from pathlib import Path

from evloop_http import App, StaticFiles
from evloop_http.app.middleware import gzip, request_id

from .account import add_account, make_private
from .answers import add_answers
from .api import make_api
from .chat import add_chat
from .live import add_clock
from .pages import Pages, add_error_pages, add_pages, protect
from .programs import add_programs
from .tour import make_tour
from .uploads import add_uploads

FILES = Path(__file__).parent / "pages"


def create_app(tls_port: int | None = None, *, debug: bool = False) -> App:
    """Make a fresh demo application, ready for its first request.

    Args:
        tls_port: where the same site answers over HTTPS, if it does: the pages that came over
            plain HTTP then link there.
        debug: whether clients on this machine are shown the traceback of an unexpected error.
    """
    site = App(debug=debug)
    page = Pages(site, tls_port)
    furnish(site, page)
    page.warm_up()

    app = App(debug=debug)
    add_programs(app)
    add_error_pages(app, page)
    # A file's name does not change with its content, so nothing is immutable; but five minutes old is new enough.
    app.mount("/static", StaticFiles(FILES, max_age=300))
    app.mount("/files", StaticFiles(FILES, listing=True))
    app.mount("/api", make_api())
    app.mount("/", site)
    return app


def furnish(site: App, page: Pages) -> None:
    """All that is for people, and what stands around it."""
    site.middleware(request_id())
    site.middleware(protect)
    site.middleware(gzip())
    add_pages(site, page)
    add_account(site, page)
    add_uploads(site, page)
    add_answers(site)
    add_clock(site, page)
    add_chat(site, page)
    add_error_pages(site, page)
    site.mount("/tour", make_tour(page), name="tour")
    site.mount("/private", make_private(page), name="private")
