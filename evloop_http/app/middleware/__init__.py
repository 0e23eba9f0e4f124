"""What runs around all handlers of an application. Each of these functions makes a middleware:

    app.middleware(request_id())
    app.middleware(trusted_hosts(["app.example"]))
    app.middleware(security_headers(hsts=31_536_000))
    app.middleware(cors(["https://app.example"]))
    app.middleware(gzip())
    app.middleware(etag())
    app.middleware(basic_auth({"ada": "..."}, realm="back office"))

The first one is the outermost. In that order a tag is made of what the handler answered, then the response is
compressed, and every response carries the headers, a refusal too. `method_override`, if it is wanted, comes
before everything that looks at the method, and after `body_limit`.

A refusal is a response here, not an exception: exceptions do not reach the middleware further out. An option that
is wrong is a `ValueError` when the middleware is made, not when a request arrives.

*Writing one.* A middleware is a function of a request and of `call_next`:

    @app.middleware
    def timed(request: Request, call_next: CallNext) -> Response:
        begun = time.perf_counter()
        response = call_next(request)
        response.headers["X-Seconds"] = f"{time.perf_counter() - begun:.3f}"
        return response

It may return whatever a handler may return. `call_next` always returns a `Response`. If the handler returned a
future, and this is the loop's thread, where nobody may wait for it, the response is a `LaterResponse`: its status, its
headers and its body can be set, and `transform` called, but to *read* any of them is a `RuntimeError`. A middleware
that reads hands in a function, which works for both:

    def counted(request: Request, call_next: CallNext) -> Response:
        def count(response: Response) -> None:
            statuses[response.status] += 1
        return after(call_next(request), count)

The function may also return a response, which takes the place of the one that it received. A body of any kind is
changed by `response.transform(each, finish)`.

*Around something that is not an `App`.* Middleware belongs to an `App`. Files, a function or anything else that
answers requests get theirs from an `App` in which they are mounted: `app.mount("/", StaticFiles("."))`.

*Before the body.* When a head announces a body, the application decides first whether to receive it. A middleware
that refuses requests, or reads the body to find their route, may carry these attributes. Both are functions of the
request, without its body; they are quick and change nothing:

    refuses             True if the middleware will answer by itself, without `call_next`. Then the request is
                        answered at once, with all the middleware, and its body is not received. This happens
                        in the loop's thread, also for handlers with `threaded=True`
    decides_by_body     True if it takes the body to know which route the request has. Then the request is not
                        refused because it has no route
"""

from ..answers import CallNext, Middleware
from ..later import LaterResponse, after
from .authentication import basic_auth
from .caching import etag
from .compression import gzip
from .cross_origin import cors
from .headers import request_id, security_headers
from .hosts import TrustedHosts, trusted_hosts
from .intake import body_limit, method_override

__all__ = ["CallNext", "LaterResponse", "Middleware", "TrustedHosts", "after", "basic_auth", "body_limit", "cors",
           "etag", "gzip", "method_override", "request_id", "security_headers", "trusted_hosts"]
