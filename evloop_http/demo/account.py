"""Who is there: a login form with a cookie behind it, and a password that comes with every request.

*The session is the cookie.* It holds a name and the time until which it is good, and a signature (HMAC)
that only this process can make, for the key is made when it starts. So nothing is stored here, any
number of visitors cost nothing, and after a restart all are strangers again. The price: a session cannot
be ended from here before its time. Logging out deletes the cookie, but whoever copied it has it still.

What is signed is not secret: everybody can read his own cookie. He cannot change it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from evloop_http import App, Request, Response
from evloop_http.app.cookies import delete_cookie, set_cookie
from evloop_http.app.middleware import basic_auth
from evloop_http.app.responses import redirect

from .pages import Pages, browser_of

COOKIE = "session"
#: Seconds for which a session is good.
LIFETIME = 3600

_USERNAME, _PASSWORD = "admin", "secret"


class Session(NamedTuple):
    """Who a visitor is, and until when; in seconds since 1970."""

    name: str
    expires: int


class Sessions:
    """Writes sessions into tickets, and reads those that it wrote.

    Args:
        clock: tells seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._key = secrets.token_bytes(32)
        self._clock = clock

    def begin(self, name: str) -> str:
        """A ticket for a new session, fit for a cookie."""
        session = Session(name, int(self._clock()) + LIFETIME)
        content = base64.urlsafe_b64encode(json.dumps(session).encode()).decode()
        return f"{content}.{self._signature(content)}"

    def read(self, ticket: str) -> Session | None:
        """The session of a ticket; None if it is over, or the ticket is none of ours."""
        content, _, signature = ticket.rpartition(".")
        # Before anything of it is looked at; in the same time whatever differs.
        if not hmac.compare_digest(self._signature(content).encode(), signature.encode("utf-8", "replace")):
            return None
        session = Session(*json.loads(base64.urlsafe_b64decode(content)))
        return session if self._clock() < session.expires else None

    def _signature(self, content: str) -> str:
        return hmac.new(self._key, content.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def add_account(site: App, page: Pages) -> None:
    """The form, and what becomes of it."""
    sessions = Sessions()

    @site.get("/login", name="login")
    def login_form(request: Request) -> Response:
        return page(request, "login.html", refused=False)

    @site.post("/login", threaded=True)  # a form may be large, and takes its time
    def login(request: Request) -> Response:
        if not is_admin(request.form.get("username", ""), request.form.get("password", "")):
            refusal = page(request, "login.html", status=401, refused=True)
            # RFC 9110 §15.5.2: a 401 must carry a challenge. Browsers know no scheme of this name, and
            # so show the page with its form instead of a dialog of their own.
            refusal.headers["WWW-Authenticate"] = 'Form realm="demo"'
            return refusal
        welcome = page(request, "logged_in.html", browser=browser_of(request))
        set_cookie(welcome, COOKIE, sessions.begin(_USERNAME), max_age=LIFETIME, secure=request.scheme == "https")
        return welcome

    @site.get("/account")
    def account(request: Request) -> Response:
        session = sessions.read(request.cookies.get(COOKIE, ""))
        if session is None:
            return redirect(site.url_for("login"))
        return page(request, "account.html", name=session.name, expires=time.gmtime(session.expires))

    @site.post("/logout")
    def logout(request: Request) -> Response:
        answer = redirect(site.url_for("login"))
        delete_cookie(answer, COOKIE, secure=request.scheme == "https")
        return answer


def make_private(page: Pages) -> App:
    """One page that browsers ask a password for by themselves."""
    private = App()
    private.middleware(basic_auth(is_admin, realm="demo"))

    @private.get("/")
    def private_page(request: Request) -> Response:
        return page(request, "private.html")
    return private


def is_admin(username: str, password: str) -> bool:
    """Whether these are the demo's credentials; how long the answer takes says nothing about them."""
    right_name = hmac.compare_digest(username.encode("utf-8", "replace"), _USERNAME.encode())
    right_password = hmac.compare_digest(password.encode("utf-8", "replace"), _PASSWORD.encode())
    return right_name and right_password
