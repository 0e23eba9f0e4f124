"""What stands around all handlers of an application, each made by a function:

    app.middleware(request_id())
    app.middleware(security_headers(hsts=31_536_000))
    app.middleware(cors(["https://app.example"]))
    app.middleware(gzip())
    app.middleware(etag())
    app.middleware(basic_auth({"ada": "..."}, realm="back office"))

The first is the outermost. In that order a tag is made of what the handler answered, then the answer
is compressed, and whatever is answered, a refusal too, carries the headers. `method_override`, where
it is wanted, comes before everything that looks at the method, and behind `body_limit`.

A refusal is an answer here, not an exception: exceptions pass by the middlewares further out. An
option that is wrong is a `ValueError` when the middleware is made, not when a request comes.
"""

from .authentication import basic_auth
from .caching import etag
from .compression import gzip
from .cross_origin import cors
from .headers import request_id, security_headers
from .intake import body_limit, method_override

__all__ = ["basic_auth", "body_limit", "cors", "etag", "gzip", "method_override", "request_id", "security_headers"]
