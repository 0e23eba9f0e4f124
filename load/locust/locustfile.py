"""The users of the demo site, for locust: `./scripts/load mixed`, or locust by hand.

    locust -f load/locust/locustfile.py --headless -u 50 -t 30s -H http://127.0.0.1:8080 BrowseUser ApiUser

Each class is a kind of visitor and asks for one thing after the other, so that after one round each
endpoint has been asked for. Every answer is checked for what it should say: a server that answers fast
with the wrong thing has failed. Names, numbers and limits stand in `scenarios`, the gate in `gate`.

The client under these users would repeat a request by itself, up to eleven times, if the connection
ends without an answer. Browsers do so only where the connection was used before, but a server that drops
every second connection would then look perfect: so nothing is repeated here.
"""

from __future__ import annotations

import hashlib
import json
import random
import ssl
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from geventhttpclient.client import HTTPClientPool
from locust.contrib.fasthttp import LocustBadStatusCode

import hooks
import raw
from locust import FastHttpUser, User, task
from scenarios import USERS

ADMIN = {"username": "admin", "password": "secret"}
PICTURE = bytes(range(256)) * 64


def thinking_time(user: Any) -> float:
    """Seconds until the next request."""
    return float(user.environment.parsed_options.wait) * random.uniform(0.5, 1.5)


def trusting_context(cafile: str | None = None) -> ssl.SSLContext:
    """As geventhttpclient asks for it, once for each client: it would load all the world's authorities each time."""
    return raw.trusting_context()


class OneTryPool(HTTPClientPool):
    """Connections of one user; a request that fails is not sent again."""

    def get_client(self, url: Any) -> Any:
        """The client for a server."""
        client = super().get_client(url)
        pool = client._connection_pool
        pool.size = -1  # one less than the repetitions; how many may be open is a semaphore's to say
        pool.after_connect = raw.send_at_once
        return client


class Visitor(FastHttpUser):
    """Somebody who uses the site by a browser or a library."""

    abstract = True
    concurrency = 1
    wait_time = thinking_time
    ssl_context_factory = staticmethod(trusting_context)

    def __init__(self, environment: Any) -> None:
        options = environment.parsed_options
        self.network_timeout = self.connection_timeout = options.answer_within
        self.fresh = options.new_connections
        super().__init__(environment)
        agent = self.client.client
        agent.clientpool = OneTryPool(**agent.clientpool.client_args)

    def ask(self, method: str, path: str, status: int = 200, *, says: bytes | dict[str, Any] = b"",
            name: str = "", **more: Any) -> Any:
        """Ask, check the answer, and think.

        Args:
            status: that the answer must have.
            says: what its content must end with, line ends aside; or the JSON object that it must be.
            name: of the endpoint, without the method; by default its path.
        """
        name = name or path
        with hooks.underway(f"{method} {name}"), self.client.request(
                method, path, name=name, catch_response=True, allow_redirects=False, **more) as answer:
            check(answer, status, says)
        if self.fresh:
            self.client.client.clientpool.close()
        self.wait()
        return answer


def check(answer: Any, status: int, says: bytes | dict[str, Any]) -> None:
    """Tell locust whether an answer is the right one."""
    problem = answer.request_meta["exception"]
    if problem is not None and not isinstance(problem, LocustBadStatusCode):
        return  # no answer, or half of one: locust knows
    if answer.status_code != status:
        answer.failure(f"{answer.status_code} in the place of {status}")
    elif not is_said(answer.content or b"", says):
        answer.failure("the answer does not say what it should")
    else:
        answer.success()


def is_said(content: bytes, says: bytes | dict[str, Any]) -> bool:
    """Whether an answer is the right one."""
    if isinstance(says, bytes):
        return content.rstrip().endswith(says)
    try:
        return bool(json.loads(content) == says)
    except ValueError:
        return False


class BrowseUser(Visitor):
    """Reads pages: the home page with what belongs to it, and the greeting."""

    weight = USERS["BrowseUser"].weight

    @task
    def visit(self) -> None:
        """A visit of a few pages; what is kept is asked for again with its condition."""
        self.ask("GET", "/", says=b"</html>")
        style = self.ask("GET", "/static/site.css", says=b"}")
        tag = (style.headers or {}).get("etag", "")
        self.ask("GET", "/static/site.css", 304, name="/static/site.css (304)", headers={"If-None-Match": tag})
        self.ask("GET", "/static/favicon.svg", says=b"</svg>")
        guest = random.randrange(10**6)
        self.ask("GET", f"/welcome?name=Guest{guest}", says=b"</html>", name="/welcome?name=[name]")


class ApiUser(Visitor):
    """A program: JSON, parameters in path and query."""

    weight = USERS["ApiUser"].weight

    @task
    def use(self) -> None:
        """One call of each."""
        number = random.randrange(10**6)
        made = {"name": "Ada", "number": number}
        self.ask("GET", f"/users/{number}", says={"id": number, "name": f"User {number}"}, name="/users/[id]")
        self.ask("GET", f"/data?id={number}", says={"id": str(number)}, name="/data?id=[id]")
        self.ask("POST", "/api/create", 201, says={"created": made}, json=made)
        text = f"number {number}"
        self.ask("POST", "/echo", says=text.encode(), data=text, headers={"Content-Type": "text/plain"})


class LoginUser(Visitor):
    """Signs in by the form, and carries the cookie."""

    weight = USERS["LoginUser"].weight

    @task
    def sign_in(self) -> None:
        """Once without, once wrong, once right."""
        self.client.cookiejar.clear()
        self.ask("GET", "/account", 303, name="/account (nobody)")
        self.ask("GET", "/login", says=b"</html>")
        self.ask("POST", "/login", 401, data={**ADMIN, "password": "wrong"}, name="/login (wrong)")
        self.ask("POST", "/login", data=ADMIN)
        self.ask("GET", "/account", says=b"</html>")



class UploadUser(Visitor):
    """Sends files by a form."""

    weight = USERS["UploadUser"].weight

    @task
    def upload(self) -> None:
        """The form, and a file of a few KiB; the page then has its SHA-256."""
        self.ask("GET", "/upload", says=b"</html>")
        content = random.randbytes(8) + PICTURE
        digest = hashlib.sha256(content).hexdigest().encode()
        with hooks.underway("POST /upload"), self.client.post(
                "/upload", catch_response=True, allow_redirects=False,
                files={"file": ("picture.bin", content, "application/octet-stream")}) as answer:
            check(answer, 200, b"</html>")
            if answer.status_code == 200 and digest not in (answer.content or b""):
                answer.failure("the page has not the file's SHA-256")
        self.wait()


class NewConnectionUser(Visitor):
    """Takes a new connection for every request, whatever the others do."""

    weight = USERS["NewConnectionUser"].weight

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.fresh = True

    @task
    def call(self) -> None:
        """One connection that we close, one that the server is asked to."""
        self.ask("GET", "/ping", says=b"pong", name="/ping (new connection)")
        self.ask("POST", "/echo", says=b"bye", data="bye", name="/echo (new connection)",
                 headers={"Content-Type": "text/plain", "Connection": "close"})


# -- over a bare socket


class Socketeer(User):
    """Somebody whose requests no library sends."""

    abstract = True
    wait_time = thinking_time

    def count(self, method: str, name: str, ask: Callable[[], int]) -> bool:
        """Send a request, tell locust how long it took, or why it failed; returns whether it did not."""
        began = time.perf_counter()
        size, problem = 0, None
        try:
            with hooks.underway(f"{method} {name}"):
                size = ask()
        except (OSError, HTTPException, raw.WrongAnswer) as error:
            problem = error
        self.environment.events.request.fire(
            request_type=method, name=name, response_time=(time.perf_counter() - began) * 1000,
            response_length=size, exception=problem, context={})
        return problem is None

    @property
    def timeout(self) -> float:
        """Seconds without a byte after which a request has failed."""
        return float(self.environment.parsed_options.answer_within)


class EventsUser(Socketeer):
    """Listens to the events for a while."""

    weight = USERS["EventsUser"].weight

    @task
    def listen(self) -> None:
        """The first event comes at once, the next ones every second; then it hangs up."""
        stream = raw.ticks(self.host, self.timeout, 3)
        if self.count("GET", "/events (first)", lambda: next(stream)):
            self.count("GET", "/events (held)", lambda: sum(stream))


class SlowReaderUser(Socketeer):
    """Takes a large answer piece by piece."""

    weight = USERS["SlowReaderUser"].weight

    @task
    def read(self) -> None:
        """A MiB in three seconds or more."""
        self.count("POST", "/echo (slow reader)", lambda: raw.read_slowly(self.host, self.timeout))


class SlowSenderUser(Socketeer):
    """Sends a small request byte by byte."""

    weight = USERS["SlowSenderUser"].weight

    @task
    def send(self) -> None:
        """Twenty bytes in two seconds."""
        self.count("POST", "/echo (slow sender)", lambda: raw.send_slowly(self.host, self.timeout))
