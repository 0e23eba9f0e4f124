"""The contract: what an application may be, as mypy sees it and as the server fills it in."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from evloop_http.messages import (
    GATHER,
    STREAM,
    Answer,
    Application,
    Contract,
    Preparation,
    PreparingApplication,
    Request,
    Response,
    Upgrade,
)


class Counter:
    """An application of somebody who has never heard of `evloop_http.app`."""

    tunnels = True

    def __init__(self) -> None:
        self.count = 0
        self.closed = False

    def __call__(self, request: Request) -> Response:
        self.count += 1
        return Response(str(self.count))

    def prepare(self, request: Request) -> Preparation | Response:
        if request.path == "/upload":
            return STREAM
        return GATHER if request.path == "/count" else Response(status=404)

    def close(self) -> None:
        self.closed = True


def function(request: Request) -> Response:
    return Response(request.path)


def later(request: Request) -> Future[Response]:
    return Future()


def either(request: Request) -> Answer:
    return function(request)


class OwnRequest(Request):
    """A request of an application's own class."""


class OwnRequests:
    request_class = OwnRequest

    def __call__(self, request: OwnRequest) -> Response:
        return Response(type(request).__name__)


# What mypy has to accept, without a cast and without inheritance.
applications: list[Application] = [Counter(), function, later, either, OwnRequests(), lambda request: Response()]
preparing: PreparingApplication = Counter()


def test_an_application_that_is_only_called_has_everything_else_filled_in() -> None:
    contract = Contract(function)
    request: Any = object()
    assert (contract.application, contract.answer) == (function, function)
    assert (contract.prepare(request), contract.tunnels, contract.request_class) == (GATHER, False, Request)
    contract.close()


def test_what_an_application_has_is_found() -> None:
    application = Counter()
    contract = Contract(application)
    assert contract.answer(None).body == b"1"
    assert contract.prepare == application.prepare
    assert contract.tunnels
    contract.close()
    assert application.closed
    assert Contract(OwnRequests()).request_class is OwnRequest


@pytest.mark.parametrize("application", applications)
def test_everything_that_is_typed_as_an_application_has_a_contract(application: Application) -> None:
    assert callable(Contract(application).answer)


@pytest.mark.parametrize("wrong", [None, "module:app", Response()])
def test_what_cannot_be_called_is_not_an_application(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(wrong).__name__}"):
        Contract(wrong)


def test_a_class_of_requests_of_its_own_is_one_of_requests() -> None:
    class Wrong:
        request_class = dict

        def __call__(self, request: Any) -> Response:
            return Response()

    with pytest.raises(TypeError, match="request_class"):
        Contract(Wrong())


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, -1])
def test_a_response_is_final_and_only_an_upgrade_switches_protocols(status: int) -> None:
    with pytest.raises(ValueError, match="between 200 and 599"):
        Response(status=status)


@pytest.mark.parametrize("name", ["a\r\nX: y", "\0"])
def test_the_name_of_a_protocol_can_stand_in_a_header(name: str) -> None:
    protocol: Any = object()
    assert Upgrade(protocol, "websocket").name == "websocket"
    with pytest.raises(ValueError, match="character"):
        Upgrade(protocol, name)
