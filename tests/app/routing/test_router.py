"""Patterns to handlers: which one is found, with which parameters, and what stands in for none."""

from __future__ import annotations

import uuid
from functools import partial
from itertools import product
from typing import Any
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import make_request, request_for_path
from evloop_http import HTTPError, Request, Response
from evloop_http.app.routing.router import Converter, Router


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
    ("/users/{id:int}", "/users/1%0B", None),
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
    ("/files/{name}.{ext}", "/files/a.tar.gz", {"name": "a.tar", "ext": "gz"}),
    ("/{code:re([A-Z]{3}[0-9]+)}", "/ABC12", {"code": "ABC12"}),
    ("/{code:re([A-Z]{3}[0-9]+)}", "/ABC12x", None),
    ("/in/{rest:path}/edit", "/in/a/b/edit", {"rest": "a/b"}),
    ("/in/{rest:path}/edit", "/in/edit", None),
    ("/in/{rest:path}/", "/in/a//", {"rest": "a/"}),
    ("/a.b/{x}", "/aXb/1", None),
    ("/v{major:int}.{minor:int}", "/v3.11", {"major": 3, "minor": 11}),
])
def test_a_pattern_takes_what_its_converters_take(pattern: str, target: str, params: dict[str, Any] | None) -> None:
    assert found_params(pattern, target) == params


def test_a_uuid_comes_as_a_uuid() -> None:
    text = "12345678-1234-5678-9abc-123456789abc"
    assert found_params("/{id:uuid}", f"/{text}") == {"id": uuid.UUID(text)}
    assert found_params("/{id:uuid}", f"/{text[:-1]}") is None


def answers(router: Router, *targets: str) -> list[Any]:
    """What the routes of these targets answer, given their parameters."""
    found = []
    for target in targets:
        request = make_request("GET", target)
        found.append(router.find(request).handler(request, **request.params))
    return found


USERS = {"/users/me": "me", "/users/{id:int}": "int", "/users/{x:float}": "float", "/users/{u:uuid}": "uuid",
         "/users/{code:re([A-Z]{3}[0-9]+)}": "re", "/users/v{x}": "v", "/users/{name}": "name",
         "/{rest:path}": "rest", "/users/{rest:path}": "users' rest", "/{kind}/all": "all",
         "/users/{id:int}/posts": "posts"}


@given(st.permutations(list(USERS)))
def test_the_tighter_goes_before_the_looser_whatever_the_order_of_registration(patterns: list[str]) -> None:
    router = Router()
    for pattern in patterns:
        router.add(pattern, ["GET"], lambda request, pattern=pattern, **params: USERS[pattern])
    assert answers(router, "/users/me", "/users/7", "/users/7.5", "/users/12345678-1234-5678-9abc-123456789abc",
                   "/users/ABC1", "/users/vx", "/users/ada", "/users/all", "/teams/all", "/users/a/b", "/teams/x",
                   "/users/7/posts", "/users/x/posts", "/x") == [
        "me", "int", "float", "uuid", "re", "v", "name", "name", "all", "users' rest", "rest",
        "posts", "users' rest", "rest"]


def test_between_equals_the_first_one_registered_is_asked_first() -> None:
    router = Router()
    router.add("/{a:re([a-z]+)}", ["GET"], lambda request, a: "first")
    router.add("/{a:re([a-z0-9]+)}", ["GET"], lambda request, a: "second")
    assert answers(router, "/x", "/x1") == ["first", "second"]


def test_of_what_takes_all_the_rest_the_tighter_goes_first() -> None:
    router = Router()
    router.add("/x{rest:path}", ["GET"], lambda request, rest: "path")
    router.converters["parts"] = Converter("[a-z/]+", str, slashes=True)
    router.add("/{rest:parts}", ["GET"], lambda request, rest: "parts")
    assert answers(router, "/x/y", "/x/7") == ["parts", "path"]


def test_what_is_no_path_has_no_pattern() -> None:
    router = Router()
    router.add("/{x}", ["GET"], nothing)
    assert router.find(request_for_path("x/y")).is_refusal


def test_a_way_that_leads_nowhere_is_left_for_the_next_one() -> None:
    router = Router()
    router.add("/a/b/c", ["GET"], lambda request: "fixed")
    router.add("/a/b/{x}/d", ["GET"], lambda request, x: f"one {x}")
    router.add("/a/{x:int}/{y}/e", ["GET"], lambda request, x, y: f"two {x} {y}")
    router.add("/{x}/b/c/f", ["GET"], lambda request, x: f"three {x}")
    assert answers(router, "/a/b/c", "/a/b/c/d", "/a/1/c/e", "/a/b/c/f") == ["fixed", "one c", "two 1 c", "three a"]


def test_a_looser_pattern_that_takes_the_method_goes_before_a_tighter_one_that_does_not() -> None:
    router = Router()
    router.add("/x/me", ["GET"], nothing)
    router.add("/x/{id:int}", ["GET"], nothing)
    router.add("/x/{name}", ["DELETE"], nothing)
    for target, name in [("/x/me", "me"), ("/x/7", "7")]:
        request = make_request("DELETE", target)
        assert router.find(request).handler is nothing
        assert request.params == {"name": name}
        assert refusal(router, "PUT", target).headers["Allow"] == "DELETE, GET, HEAD, OPTIONS"


def test_a_route_knows_its_pattern_which_names_it_in_logs() -> None:
    router = Router()
    router.add("/x/{name}", ["GET"], nothing)
    assert router.find(make_request("GET", "/x/1")).pattern == "/x/{name}"


def test_the_work_is_bounded_by_what_is_registered_and_does_not_grow_with_the_path() -> None:
    """Each of two converters takes each segment, and nothing matches in the end: two ways at each of six levels."""
    asked = 0

    def count(text: str) -> str:
        nonlocal asked
        asked += 1
        return text

    router = Router()
    router.converters["a"] = Converter("[a-z]+", count)
    router.converters["b"] = Converter("[a-y]+", count)
    for kinds in product("ab", repeat=6):
        router.add("".join(f"/{{p{index}:{kind}}}" for index, kind in enumerate(kinds)) + "/end", ["GET"], nothing)
    counts = []
    for length in (6, 7, 100, 4000):
        asked = 0
        assert refusal(router, "GET", "/x" * length).status == 404
        counts.append(asked)
    # 126 edges of the tree; twice, because it is asked again with the slash at the end.
    assert max(counts) <= 2 * sum(2 ** level for level in range(1, 7))
    assert counts[1] == counts[2] == counts[3]


def test_fixed_segments_cost_the_same_however_many_there_are() -> None:
    router = Router()
    asked = 0

    def count(text: str) -> str:
        nonlocal asked
        asked += 1
        return text

    router.converters["counted"] = Converter(".+", count)
    for number in range(500):
        router.add(f"/r{number}/{{x:counted}}", ["GET"], nothing)
    assert router.find(make_request("GET", "/r499/x")).handler is nothing
    assert asked == 1


@pytest.mark.parametrize("kind", ["str", "int", "path"])
def test_two_patterns_of_one_shape_are_told_apart_by_method(kind: str) -> None:
    router = Router()
    router.add(f"/x/{{a:{kind}}}", ["GET"], nothing)
    router.add(f"/x/{{b:{kind}}}", ["DELETE"], nothing)
    request = make_request("DELETE", "/x/1")
    assert router.find(request).handler is nothing
    assert request.params == {"b": 1 if kind == "int" else "1"}
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
    with pytest.raises(ValueError, match="twice"):
        router.add("/fixed", ["HEAD"], own)

    other_order = Router()
    for method, handler in [("HEAD", own), ("GET", nothing)]:
        other_order.add("/fixed", [method], handler)
        other_order.add("/pattern/{x}", [method], handler)
    assert other_order.find(make_request("HEAD", target)).handler is own


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


def test_the_same_patterns_with_other_names_are_the_same_and_refused() -> None:
    router = Router()
    router.add("/x/{a}", ["GET"], nothing)
    with pytest.raises(ValueError, match="twice"):
        router.add("/x/{b}", ["GET"], nothing)


# -- slashes


def redirect(router: Router, target: str, method: str = "GET") -> str | None:
    """Where a request is sent by resolving the `Location` as a client does; None if it is not redirected."""
    request = make_request(method, target)
    route = router.find(request)
    try:
        response = route.handler(request, **request.params)
    except HTTPError:
        return None
    assert isinstance(response, Response)
    assert response.status == 308
    assert response.headers["Location"].startswith(("./", "../"))
    return urljoin(f"http://test.example{target}", response.headers["Location"])


@pytest.mark.parametrize(("target", "location"), [
    ("/users/", "/users"),
    ("/users/?a=1&b=%2F", "/users?a=1&b=%2F"),
    ("/users/?", "/users?"),
    ("/folder", "/folder/"),
    ("/folder?x", "/folder/?x"),
    ("/users/7/", "/users/7"),
    ("/users/a%20b/", "/users/a%20b"),
    ("/users/a:b/", "/users/a:b"),
    ("/deep%2Fone/", "/deep%2Fone"),
    ("/deep/one/", "/deep/one"),
    ("/users//", None),
    ("/users%2F", None),
    ("/nowhere/", None),
    ("//users/", None),
    ("/", None),
])
def test_a_slash_too_many_or_too_few_is_redirected_with_the_query(target: str, location: str | None) -> None:
    router = Router()
    for path in ("/users", "/folder/", "/users/{id}", "/deep/one"):
        router.add(path, ["GET", "POST"], nothing)
    for method in ("GET", "POST"):
        found = redirect(router, target, method)
        assert router.find(make_request(method, target)).is_refusal  # `App.prepare` answers with it
        # A "?" with nothing behind it is lost by `urljoin`, not by us.
        assert found == (None if location is None else f"http://test.example{location.removesuffix('?')}")


def test_a_redirect_does_not_ask_for_the_method() -> None:
    router = Router()
    router.add("/x/{a}", ["GET"], nothing)
    assert redirect(router, "/x/1/", "POST") == "http://test.example/x/1"
    assert redirect(router, "/x/1/", "BREW") is None


def test_a_redirect_cannot_lead_to_another_site() -> None:
    router = Router()
    router.add("/{rest:path}/x", ["GET"], nothing)
    for target in ("//evil.example/x/", "///evil.example/x/", "/%5Cevil.example/x/", "//evil.example/%2e%2e/x/"):
        found = redirect(router, target)
        assert found is not None
        assert found.startswith("http://test.example/")


def test_a_path_with_its_own_slash_has_its_own_handler() -> None:
    router = Router()
    router.add("/x", ["GET"], lambda request: "without")
    router.add("/x/", ["GET"], lambda request: "with")
    assert answers(router, "/x", "/x/") == ["without", "with"]


def test_a_mount_at_the_root_does_not_end_redirects_and_one_with_a_prefix_goes_before_them() -> None:
    router = Router()
    for path in ("/users", "/in/users", "/folder/", "/a/{id}"):
        router.add(path, ["GET"], nothing)
    router.mount("/", partial(say_where, "/"))
    router.mount("/in", partial(say_where, "/in"))
    assert redirect(router, "/users/?q=1") == "http://test.example/users?q=1"
    assert redirect(router, "/folder") == "http://test.example/folder/"
    assert redirect(router, "/a/7/") == "http://test.example/a/7"
    assert answers(router, "/in/users/", "/other/", "/", "/users//") == [
        ("/in", "/users/"), ("/", "/other/"), ("/", "/"), ("/", "/users//")]


def test_the_option_turns_redirects_off() -> None:
    router = Router(redirect_slashes=False)
    router.add("/users", ["GET"], nothing)
    assert redirect(router, "/users/") is None
    router.mount("/", partial(say_where, "/"))
    assert answers(router, "/users/") == [("/", "/users/")]


@pytest.mark.parametrize("mounted", [False, True])
def test_connect_is_never_redirected(mounted: bool) -> None:
    router = Router()
    router.add("/", ["GET"], nothing)
    if mounted:
        router.mount("/", partial(say_where, "/"))
    found = router.find(make_request("CONNECT", "test.example:443"))
    if mounted:
        assert found.mounted is not None
    else:
        with pytest.raises(HTTPError, match="404"):
            found.handler(make_request())


def test_below_a_mount_the_redirect_stays_below_it() -> None:
    inner = Router()
    inner.add("/users", ["GET"], nothing)
    outer = Router()
    outer.mount("/in", lambda request: inner.find(request).handler(request))
    assert redirect(outer, "/in/users/?q=1") == "http://test.example/in/users?q=1"


# -- hosts


def say_host(name: str, request: Request) -> tuple[str, dict[str, Any]]:
    return name, dict(request.params)


def host_answer(router: Router, host: str, target: str = "/") -> Any:
    request = make_request("GET", f"http://{host}{target}")
    route = router.find(request)
    return None if route.is_refusal else route.handler(request, **request.params)


@pytest.mark.parametrize(("host", "seen"), [
    ("api.example.com", ("api", {})),
    ("API.Example.COM:8080", ("api", {})),
    ("api.example.com.", ("api", {})),
    ("shop.example.com", ("sub", {"sub": "shop"})),
    ("SHOP.example.com:1", ("sub", {"sub": "shop"})),
    ("a.b.example.com", ("deep", {"labels": "a.b"})),
    ("n7.test", ("number", {"n": 7})),
    ("[::1]:80", ("v6", {})),
    ("example.com", "own"),
    ("n7.test.evil", "own"),
    ("apiXexample.com", "own"),
    (".example.com", "own"),
])
def test_a_host_has_its_own_application_without_port_or_case(host: str, seen: Any) -> None:
    router = Router()
    router.add("/", ["GET"], lambda request, **params: "own")
    for pattern, name in [("{labels:path}.example.com", "deep"), ("{sub}.example.com", "sub"),
                          ("api.example.com", "api"), ("n{n:int}.test", "number"), ("[::1]", "v6")]:
        router.host(pattern, partial(say_host, name))
    assert host_answer(router, host) == seen


def test_what_was_found_in_the_host_stands_beside_what_was_found_in_the_path() -> None:
    inner = Router()
    inner.add("/{x:int}", ["GET"], lambda request, sub, x: (sub, x))
    inner.add("/", ["GET"], lambda request, sub: sub)
    outer = Router()
    outer.add("/", ["GET"], lambda request: "own")

    def enter(request: Request) -> Any:
        return inner.find(request).handler(request, **request.params)

    outer.host("{sub}.test", enter)
    assert host_answer(outer, "a.test") == "a"
    assert host_answer(outer, "a.test", "/7") == ("a", 7)
    assert [mounted.application for mounted in outer.mounted()] == [enter]


@pytest.mark.parametrize("pattern", ["", "a.test:80", "http://a.test", "a.test/x", "A.test", "{sub", "{s:nope}.test"])
def test_what_is_no_host_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Router().host(pattern, nothing)


def test_a_host_has_one_application() -> None:
    router = Router()
    router.host("{a}.test", nothing)
    with pytest.raises(ValueError, match="twice"):
        router.host("{b}.test", nothing)


# -- back to a path


@pytest.fixture
def named() -> Router:
    router = Router()
    router.add("/users/{id:int}", ["GET"], nothing, name="user")
    router.add("/files/{name}.{ext}", ["GET"], nothing, name="file")
    router.add("/wiki/{page:path}/edit", ["GET"], nothing, name="edit")
    router.add("/{rest:path}", ["GET"], nothing, name="rest")
    router.add("/über uns", ["GET"], nothing, name="about")
    return router


@pytest.mark.parametrize(("name", "values", "url"), [
    ("user", {"id": 42}, "/users/42"),
    ("user", {"id": "42"}, "/users/42"),
    ("file", {"name": "a b/c".replace("/", "?"), "ext": "txt"}, "/files/a%20b%3Fc.txt"),
    ("edit", {"page": "a/b c"}, "/wiki/a/b%20c/edit"),
    ("about", {}, "/%C3%BCber%20uns"),
    ("about", {"q": "a b&c", "tag": ["x", "y"], "none": None}, "/%C3%BCber%20uns?q=a+b%26c&tag=x&tag=y"),
    ("rest", {"rest": "/evil.example"}, "/%2Fevil.example"),
    ("rest", {"rest": "//x"}, "/%2F/x"),
])
def test_a_name_and_values_make_a_path(named: Router, name: str, values: dict[str, Any], url: str) -> None:
    assert named.url_for(name, values) == url


@pytest.mark.parametrize(("name", "values", "error", "says"), [
    ("nobody", {}, LookupError, "no route has the name 'nobody'"),
    ("nobody:user", {}, LookupError, "mounted under the name 'nobody'"),
    ("user", {}, ValueError, "needs id"),
    ("user", {"id": "x"}, ValueError, "'x' would not be understood"),
    ("user", {"id": None}, ValueError, "not be understood"),
    ("file", {"name": "a", "ext": "x/y"}, ValueError, "not be understood"),
    ("file", {"name": "a", "ext": "tar.gz"}, ValueError, "not be understood"),  # it would be read as "a.tar" and "gz"
    ("rest", {"rest": "a/../b"}, ValueError, "lead elsewhere"),
    ("rest", {"rest": ".."}, ValueError, "lead elsewhere"),
    ("rest", {"rest": ""}, ValueError, "not be understood"),
])
def test_what_makes_no_path_is_a_clear_error(named: Router, name: str, values: dict[str, Any],
                                             error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        named.url_for(name, values)


@given(st.integers(-10**18 + 1, 10**18 - 1), st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
       st.floats(-1e15, 1e15).map(lambda number: round(number, 6)), st.uuids(),
       st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_a_path_was_made_of_is_found_in_it(number: int, text: str, real: float, key: uuid.UUID, rest: str) -> None:
    router = Router()
    router.add("/{number:int}/{text}/v{real:float}/{key:uuid}/{rest:path}", ["GET"], nothing, name="all")
    values = {"number": number, "text": text, "real": real, "key": key, "rest": rest}
    try:
        url = router.url_for("all", values)
    except ValueError:
        assert ("/" in text or text in (".", "..") or not {".", ".."}.isdisjoint(rest.split("/"))
                or not set("\0\r\n").isdisjoint(text + rest))
        return
    request = make_request("GET", url)
    assert router.find(request).handler is nothing
    assert request.params == values


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_no_path_that_is_made_leads_to_another_site(text: str) -> None:
    router = Router()
    router.add("/{rest:path}", ["GET"], nothing, name="rest")
    try:
        url = router.url_for("rest", {"rest": text})
    except ValueError:
        return
    assert urljoin("http://test.example/a/b", url).startswith("http://test.example/")
    request = make_request("GET", url)
    router.find(request)
    assert request.params == {"rest": text}


def test_a_route_is_named_after_its_function_unless_that_stands_for_several() -> None:
    router = Router()
    router.add("/one", ["GET"], nothing)
    assert router.url_for("nothing", {}) == "/one"
    router.add("/one", ["POST"], nothing)
    assert router.url_for("nothing", {}) == "/one"
    router.add("/two", ["GET"], nothing)
    with pytest.raises(LookupError, match="'nothing' stands for /one and /two"):
        router.url_for("nothing", {})
    router.add("/three", ["GET"], lambda request: None, name="nothing")
    assert router.url_for("nothing", {}) == "/three"


@pytest.mark.parametrize("name", ["", "a:b", "taken", "mounted"])
def test_a_name_is_plain_and_belongs_to_one_path(name: str) -> None:
    router = Router()
    router.add("/taken", ["GET"], nothing, name="taken")
    router.add("/taken", ["POST"], nothing, name="taken")
    router.mount("/m", nothing, "mounted")
    with pytest.raises(ValueError, match="name"):
        router.add("/x", ["GET"], nothing, name=name)
    with pytest.raises(ValueError, match="name"):
        router.mount("/x", nothing, name)
    assert refusal(router, "GET", "/x").status == 404


def test_a_named_mount_makes_paths_to_what_is_in_it() -> None:
    router = Router()
    router.mount("/static files", nothing, "static")
    router.mount("/", nothing, "root")
    assert router.url_for("static", {"path": "css/a b.css"}) == "/static%20files/css/a%20b.css"
    assert router.url_for("root", {"path": "/evil.example"}) == "/%2Fevil.example"
    with pytest.raises(LookupError, match="no application with routes"):
        router.url_for("static:x", {})


@given(st.text())
def test_any_path_has_a_route(path: str) -> None:
    router = Router()
    router.add("/{a}/{b:path}", ["GET"], nothing)
    router.add("/{x:int}.{y:float}", ["GET"], nothing)
    router.mount("/m", nothing)
    request = make_request()
    request.path = path
    assert callable(router.find(request).handler)
