"""A response that is not there yet, for middleware that must not care.

A handler may return a future, and then nobody knows the response when `call_next` returns. Middleware that
is written in the obvious way should work all the same:

    response = call_next(request)
    response.headers["X-Served-By"] = "me"
    return response

So `call_next` returns a `LaterResponse`. It records what is to be changed and makes the changes, in order, when
the real response is there. What cannot be recorded is a question: to read the status, the body or a header, a
middleware hands in a function, `after(call_next(request), function)`, which works for both kinds of response.

Nothing happens before `start`: the middleware further out may still record changes, in the loop's thread, while
another thread ends what is waited for.

*No cycles.* Futures keep their callbacks, and two futures that refer to each other would live until the garbage
collector finds them. An exception refers to the frames that it passed through, and those to the frames that called
them. So a link between two futures is emptied when it has fired, and no frame keeps the future of an exception, or
the exception, longer than it needs it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, NoReturn, Self, overload

from ..messages import Answer, Fields, Headers, HeaderSource, HTTPError, MutableHeaders, Response, make_field
from ..messages.bodies import Each, Finish
from ..messages.futures import LATE, Late, give_up, wait_for
from ..messages.pending import Pending
from .answers import to_response

#: Reads or changes a response. It may return another one in its place; None means the same one.
Change = Callable[[Response], Response | None]
#: Makes a response of an exception.
Recover = Callable[[Exception], Response]
#: A change or a recovery. Each recovery answers for the changes before it.
Step = tuple[Callable[[Any], Response], bool]


@overload
def after(answer: Response, function: Change) -> Response: ...
@overload
def after(answer: Late, function: Change) -> Pending[Response]: ...


def after(answer: Answer, function: Change) -> Answer:
    """Apply `function` to a response now, or when it is there.

    Args:
        answer: what `call_next` returned, or what an application returned.
        function: receives the real response, and may read and change it. It returns the response to go on
            with; None for the same one. It runs in the thread that ends the future, if there is one.
    """
    if isinstance(answer, LaterResponse):
        return answer.then(function)
    if isinstance(answer, Response):
        return _changed(function, answer)
    return LaterResponse(answer).then(function).start()


class LaterResponse(Response):
    """A response that something awaited will bring. It can be changed, and not be read.

    Args:
        source: what is awaited; it brings what a handler may return.
        code: the status, where it brings no response.
    """

    __slots__ = ("_code", "_source", "_steps")

    def __init__(self, source: Late, code: int = 200) -> None:
        self._source = source
        self._code = code
        self._steps: list[Step] = []

    def then(self, function: Change) -> Self:
        """Have `function` read, change or replace the response when it is there."""
        self._steps.append((partial(_changed, function), False))
        return self

    def otherwise(self, recover: Recover) -> Self:
        """Have `recover` answer for an exception of the handler, or of a change that was recorded before this."""
        self._steps.append((recover, True))
        return self

    def start(self) -> Pending[Response]:
        """Return what is pending of the response with all changes made. Nothing can be recorded any more.

        To cancel it is to cancel what it waits for, if that is a `Pending` too. Others may wait for a future.
        """
        link = _Link(self._source, self._code, self._steps)
        link.outcome = outcome = _Outcome(self._source, link.pass_back)
        wait_for(self._source, link, link.pass_on)
        return outcome

    def follow(self, steps: list[Step], outcome: Pending[Response]) -> None:
        """Have the outcome be this response, with further steps taken."""
        self._steps += steps
        later = self.start()
        later.add_done_callback(partial(_pass_to, outcome))

    def wait(self) -> Response:
        """Return the real response, and wait for it. For a thread other than the loop's.

        Raises:
            HTTPError: 503, the future was cancelled.
        """
        try:
            return self.start().result()
        except CancelledError:
            raise HTTPError(503, "The request was cancelled.") from None

    # As a response

    @property
    def headers(self) -> MutableHeaders:
        """The headers, which can be changed and not be read."""
        return _LaterHeaders(self)

    def final_fields(self) -> Fields:
        _refuse_to_read()

    def transform(self, each: Each, finish: Finish = bytes) -> None:
        self.then(lambda response: response.transform(each, finish))

    def close(self) -> None:
        """Give up on the response: cancel what is pending, or close the response when it is there."""
        self.start().cancel()

    def __repr__(self) -> str:
        return "<LaterResponse>"

    @property
    def status(self) -> int:
        _refuse_to_read()

    @status.setter
    def status(self, status: int) -> None:
        self.then(partial(_set, "status", status))

    @property
    def body(self) -> Any:
        _refuse_to_read()

    @body.setter
    def body(self, body: Any) -> None:
        self.then(partial(_set, "body", body))


class _Outcome(Pending[Response]):
    """A response with all changes made."""

    __slots__ = ("_source",)

    def __init__(self, source: Late, on_cancel: Callable[[], None]) -> None:
        super().__init__(on_cancel)
        self._source = weakref.ref(source)  # it lives for as long as somebody works on it

    def running(self) -> bool:
        """Return whether a thread works on the response, even if nobody wants it any more."""
        source = self._source()
        return source is not None and source.running()


class _LaterHeaders(MutableHeaders):
    """The headers of a response that is not there yet. What no header may carry is refused at once."""

    __slots__ = ("_response",)

    def __init__(self, response: LaterResponse) -> None:
        super().__init__()
        self._fields = None
        self._response = response

    @property
    def fields(self) -> Fields:
        _refuse_to_read()

    def pairs(self) -> list[tuple[str, str]]:
        _refuse_to_read()

    def __repr__(self) -> str:
        return "<headers of a LaterResponse>"

    def _record(self, change: Callable[[MutableHeaders], object]) -> None:
        def make_change(response: Response) -> None:
            change(response.headers)
        self._response.then(make_change)

    def __setitem__(self, name: str, value: str) -> None:
        make_field(name, value)
        self._record(lambda headers: headers.update([(name, value)]))

    def __delitem__(self, name: str) -> None:
        """Remove all fields of a name, if there are any then."""
        def remove(headers: MutableHeaders) -> None:
            if name in headers:
                del headers[name]
        self._record(remove)

    def add(self, name: str, value: str) -> None:
        make_field(name, value)
        self._record(lambda headers: headers.add(name, value))

    def setdefault(self, name: str, value: str) -> str:
        """Set a header that will be missing. Return `value`, since nobody knows the other one."""
        make_field(name, value)
        self._record(lambda headers: headers.setdefault(name, value))
        return value

    def complete(self, fields: Fields) -> None:
        self._record(lambda headers: headers.complete(fields))

    def update(self, source: HeaderSource) -> None:
        checked = Headers(source)
        self._record(lambda headers: headers.update(checked))


def _refuse_to_read() -> NoReturn:
    raise RuntimeError("this response is not there yet, because the handler returned a future: it can be changed, "
                       "but to read it, use after(call_next(request), function)")


def _set(name: str, value: object, response: Response) -> None:
    setattr(response, name, value)


def at_once(result: Any, status: int = 200) -> Response:
    """Return what a handler returned as a response that is there.

    Raises:
        TypeError: it is a future, or nothing that can be a response.
    """
    answer = to_response(result, status)
    if isinstance(answer, (LaterResponse, *LATE)):
        raise TypeError("a future stands in the place of a response")
    return answer


def _changed(function: Change, response: Response) -> Response:
    changed = function(response)
    return response if changed is None else at_once(changed)


class _Link:
    """What joins what a handler returned to what the server waits for."""

    __slots__ = ("_code", "_source", "_steps", "outcome")

    def __init__(self, source: Late, code: int, steps: list[Step]) -> None:
        self._source: Late | None = source
        self._code = code
        self._steps = steps
        self.outcome: Pending[Response] | None = None

    def pass_on(self, done: Late) -> None:
        """The handler's answer is there: make the changes."""
        outcome, steps = self.outcome, self._steps
        self._source = self.outcome = None
        self._steps = []
        if outcome is None:
            return
        if outcome.cancelled():
            _discard(done)
        elif done.cancelled():
            outcome.cancel()
        else:
            _finish(outcome, self._code, steps, done)
        del outcome

    def pass_back(self) -> None:
        """Nobody wants the outcome any more, so nobody wants its source."""
        source = self._source
        if source is not None and give_up(source, self, _discard):
            self._source = self.outcome = None
            self._steps = []


def _finish(outcome: Pending[Response], code: int, steps: list[Step], done: Late) -> None:
    """Make all changes to the result of `done`, and settle the outcome."""
    error = done.exception()
    result = None
    if error is None:
        result, error = _attempt(partial(at_once, status=code), done.result())
    for number, (function, is_recovery) in enumerate(steps):
        if is_recovery:
            if isinstance(error, Exception):
                result, error = _attempt(function, error)
        elif error is None:
            result, error = _attempt(function, result)
        if isinstance(result, LaterResponse):  # of an error handler that is a coroutine
            result.follow(steps[number + 1:], outcome)
            return
    if error is not None:
        outcome.fail(error)
    elif result is not None:
        outcome.settle(result)
    del outcome, error


def _pass_to(outcome: Pending[Response], later: Pending[Response]) -> None:
    """Settle one with what the other came to."""
    if later.cancelled():
        outcome.cancel()
        return
    error = later.exception()
    if error is not None:
        outcome.fail(error)
        del error
    else:
        outcome.settle(later.result())


def _attempt(function: Callable[[Any], Response], argument: Any) -> tuple[Response | None, BaseException | None]:
    """Return the result or the exception."""
    try:
        return function(argument), None
    except BaseException as error:
        return None, error


def _discard(done: Late) -> None:
    """Close a response that nobody waits for any more: it may hold an open file."""
    if not done.cancelled() and done.exception() is None and isinstance(done.result(), Response):
        done.result().close()
