"""Patterns to handlers: which one is found, with which parameters, and what stands in for none."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import make_request
from evloop_http import HTTPError, Request, Response
from evloop_http.app.router import Converter, Pattern, Router


def nothing(request: Request, **params: Any) -> None:
    """A handler that is only looked for."""


def refusal(router: Router, method: str, target: str) -> HTTPError:
    """The error of the route that stands in for one that is not there."""
    route = router.find(make_request(method, target))
    assert route.is_refusal
    with pytest.raises(HTTPError) as caught:
        route.handler(make_request(method, target))
    return caught.value


def found_params(pattern: str, target: str) -> dict[str, Any] | None:
    """The parameters with which a pattern matches a target; None if it does not."""
    router = Router()
    router.add(pattern, ["GET"], nothing)
    request = make_request("GET", target)
    return dict(request.params) if router.find(request).handler is nothing else None


@pytest.mark.parametrize(("pattern", "target", "params"), [
    ("/users/{id:int}", "/users/42", {"id": 42}),
    ("/users/{id:int}", "/users/-7", {"id": -7}),
    ("/users/{id:int}", "/users/ada", None),
    ("/users/{id:int}", "/users/1.5", None),
    ("/users/{id:int}", "/users/42/", None),
    ("/users/{id:int}", "/users/" + "9" * 400, None),
    ("/users/{id:int}", "/users/%D9%A1", None),  # a digit, but no ASCII one
    ("/users/{id:int}", "/users/1%0A", None),
    ("/at/{x:float}", "/at/1.5", {"x": 1.5}),
    ("/at/{x:float}", "/at/-2", {"x": -2.0}),
    ("/at/{x:float}", "/at/nan", None),
    ("/by/{name}", "/by/Ada%20Lovelace", {"name": "Ada Lovelace"}),
    ("/by/{name}", "/by/", None),
    ("/by/{name}", "/by/a/b", None),
    ("/by/{name:str}", "/by/%C3%BC", {"name": "ü"}),
    ("/in/{rest:path}", "/in/a/b/c.txt", {"rest": "a/b/c.txt"}),
    ("/in/{rest:path}", "/in/", None),
    ("/{a}/{b}", "/x/y", {"a": "x", "b": "y"}),
    ("/{a}-{b}", "/x-y", {"a": "x", "b": "y"}),
    ("/a.b/{x}", "/aXb/1", None),
    ("/v{major:int}.{minor:int}", "/v3.11", {"major": 3, "minor": 11}),
])
def test_a_pattern_takes_what_its_converters_take(pattern: str, target: str, params: dict[str, Any] | None) -> None:
    assert found_params(pattern, target) == params


def test_a_uuid_comes_as_a_uuid() -> None:
    text = "12345678-1234-5678-9abc-123456789abc"
    assert found_params("/{id:uuid}", f"/{text}") == {"id": uuid.UUID(text)}
    assert found_params("/{id:uuid}", f"/{text[:-1]}") is None


@given(st.integers(-10**18 + 1, 10**18 - 1), st.text(st.characters(exclude_characters="/"), min_size=1))
def test_what_was_formatted_into_a_path_comes_out_of_it(number: int, text: str) -> None:
    pattern = Pattern("/{number:int}/{text}", Router().converters)
    assert pattern.match(f"/{number}/{text}") == {"number": number, "text": text}


def test_a_path_without_braces_goes_before_patterns_and_patterns_in_their_order() -> None:
    router = Router()
    router.add("/x/{name}", ["GET"], lambda request, name: f"first {name}")
    router.add("/x/{name:path}", ["GET"], lambda request, name: f"second {name}")
    router.add("/x/me", ["GET"], lambda request: "fixed")
    answers = []
    for target in ("/x/me", "/x/you", "/x/you/and/me"):
        request = make_request("GET", target)
        answers.append(router.find(request).handler(request, **request.params))
    assert answers == ["fixed", "first you", "second you/and/me"]


def test_two_patterns_of_one_shape_are_told_apart_by_method() -> None:
    router = Router()
    router.add("/x/{a}", ["GET"], nothing)
    router.add("/x/{b}", ["DELETE"], nothing)
    request = make_request("DELETE", "/x/1")
    assert router.find(request).handler is nothing
    assert request.params == {"b": "1"}
    assert refusal(router, "PUT", "/x/1").headers["Allow"] == "DELETE, GET, HEAD, OPTIONS"


def test_what_is_not_there_is_404_and_what_is_there_for_others_405_with_allow() -> None:
    router = Router()
    router.add("/both", ["GET", "POST"], nothing)
    router.add("/put/{x}", ["PUT"], nothing)
    assert refusal(router, "GET", "/neither").status == 404
    error = refusal(router, "DELETE", "/both")
    assert (error.status, error.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    error = refusal(router, "HEAD", "/put/1")
    assert (error.status, error.headers["Allow"]) == (405, "OPTIONS, PUT")


@pytest.mark.parametrize("target", ["/here", "/nowhere", "/with/param"])
def test_a_method_that_nobody_knows_is_501_wherever_it_is_asked_for(target: str) -> None:
    router = Router()
    router.add("/here", ["GET"], nothing)
    router.add("/with/{x}", ["GET"], nothing)
    assert refusal(router, "BREW", target).status == 501
    assert refusal(router, "get", target).status == 501  # methods know upper from lower case


def test_a_method_of_ones_own_is_known_once_it_is_registered() -> None:
    router = Router()
    router.add("/pot", ["BREW"], nothing)
    router.add("/cup", ["GET"], nothing)
    assert router.find(make_request("BREW", "/pot")).handler is nothing
    assert refusal(router, "BREW", "/cup").status == 405


def test_one_method_may_be_given_as_plain_text() -> None:
    router = Router()
    router.add("/x", "POST", nothing)
    assert router.find(make_request("POST", "/x")).handler is nothing
    assert refusal(router, "P", "/x").status == 501


@pytest.mark.parametrize("target", ["/fixed", "/pattern/1"])
def test_head_is_answered_by_get_unless_it_has_a_handler_of_its_own(target: str) -> None:
    router = Router()
    router.add("/fixed", ["GET"], nothing)
    router.add("/pattern/{x}", ["GET"], nothing)
    assert router.find(make_request("HEAD", target)).handler is nothing

    def own(request: Request, **params: Any) -> None:
        """A handler for HEAD."""

    router.add("/fixed", ["HEAD"], own)
    router.add("/pattern/{x}", ["HEAD"], own)
    assert router.find(make_request("HEAD", target)).handler is own


@pytest.mark.parametrize("target", ["/fixed", "/pattern/1"])
def test_options_says_what_a_path_takes(target: str) -> None:
    router = Router()
    router.add("/fixed", ["GET", "POST"], nothing)
    router.add("/pattern/{x}", ["GET", "POST"], nothing)
    response = router.find(make_request("OPTIONS", target)).handler(make_request())
    assert isinstance(response, Response)
    assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")


def test_options_of_the_server_as_a_whole_is_answered() -> None:
    request = make_request("OPTIONS", "*")
    assert request.path == "*"
    assert Router().find(request).handler(request).status == 204


@pytest.mark.parametrize("pattern", [
    "x", "", "{x}", "/{", "/}", "/{}", "/{x", "/x}", "/{x}}", "/{{x}}", "/{1x}", "/{x y}", "/{x:}", "/{x:nope}",
    "/{x:int:int}", "/{x}/{x}", "/{x-y}",
])
def test_a_malformed_pattern_is_refused_when_it_is_registered(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Router().add(pattern, ["GET"], nothing)


@pytest.mark.parametrize("method", ["", "GET POST", "GET\r\n", "GÉT"])
def test_what_is_no_method_is_refused_when_it_is_registered(method: str) -> None:
    with pytest.raises(ValueError, match="method"):
        Router().add("/", [method], nothing)


@pytest.mark.parametrize("pattern", ["/x", "/x/{y}"])
def test_the_same_path_and_method_twice_is_refused(pattern: str) -> None:
    router = Router()
    router.add(pattern, ["GET"], nothing)
    with pytest.raises(ValueError, match="twice"):
        router.add(pattern, ["POST", "GET"], nothing)


def test_a_converter_of_ones_own_decides_what_matches() -> None:
    months = {"jan": 1, "feb": 2}

    def month(text: str) -> int:
        if text not in months:
            raise ValueError
        return months[text]

    router = Router()
    # With groups of its own, named and not, which are nobody's parameters.
    router.converters["month"] = Converter(r"(?P<first>[a-z])([a-z]{2})", month)
    router.add("/{m:month}/{day:int}", ["GET"], nothing)
    request = make_request("GET", "/feb/29")
    assert router.find(request).handler is nothing
    assert request.params == {"m": 2, "day": 29}
    assert refusal(router, "GET", "/xyz/1").status == 404


# -- mounts


def say_where(prefix: str, request: Request) -> tuple[str, str]:
    return prefix, request.path


def seen_path(mounts: list[str], target: str) -> tuple[str, str] | None:
    """(which mount, the path that it sees) of a target."""
    router = Router()
    for prefix in mounts:
        router.mount(prefix, partial(say_where, prefix))
    request = make_request("GET", target)
    route = router.find(request)
    return None if route.is_refusal else route.handler(request)


@pytest.mark.parametrize(("target", "seen"), [
    ("/a", ("/a", "/")),
    ("/a/", ("/a", "/")),
    ("/a/x/y", ("/a", "/x/y")),
    ("/a/b", ("/a/b", "/")),
    ("/a/b/c", ("/a/b", "/c")),
    ("/a/bc", ("/a", "/bc")),
    ("/ab", None),
    ("/", None),
    ("/a%2Fx", ("/a", "/x")),
])
def test_a_mount_takes_what_is_below_it_and_the_longest_wins(target: str, seen: tuple[str, str] | None) -> None:
    assert seen_path(["/a", "/a/b"], target) == seen


def test_what_is_mounted_at_the_root_takes_all_that_has_no_route() -> None:
    assert seen_path(["/", "/a"], "/x/y") == ("/", "/x/y")
    assert seen_path(["/", "/a"], "/") == ("/", "/")
    assert seen_path(["/", "/a"], "/a/x") == ("/a", "/x")


def test_routes_go_before_mounts() -> None:
    router = Router()
    router.mount("/", nothing)
    router.add("/own/{x}", ["GET"], nothing)
    router.add("/own", ["GET"], nothing)
    assert router.find(make_request("GET", "/own")).handler is nothing
    assert router.find(make_request("GET", "/own/1")).handler is nothing
    assert router.find(make_request("GET", "/other")).handler is not nothing


@pytest.mark.parametrize("prefix", ["a", "", "/a/", "//", "/{x}"])
def test_what_is_no_prefix_cannot_be_mounted_at(prefix: str) -> None:
    with pytest.raises(ValueError, match="mount"):
        Router().mount(prefix, nothing)


@pytest.mark.parametrize("prefix", ["/", "/a"])
def test_two_applications_cannot_be_mounted_in_one_place(prefix: str) -> None:
    router = Router()
    router.mount(prefix, nothing)
    with pytest.raises(ValueError, match="twice"):
        router.mount(prefix, nothing)


@given(st.text())
def test_any_path_has_a_route(path: str) -> None:
    router = Router()
    router.add("/{a}/{b:path}", ["GET"], nothing)
    router.add("/{x:int}.{y:float}", ["GET"], nothing)
    router.mount("/m", nothing)
    request = make_request()
    request.path = path
    assert callable(router.find(request).handler)
