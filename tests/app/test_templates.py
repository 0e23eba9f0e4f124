"""Pages from templates: escaped, whatever the template's name, and strict about what is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from asking import content, make_request
from evloop_http import App, Response, Templates

jinja2 = pytest.importorskip("jinja2", reason="the 'templates' extra is not installed")

MARKUP = "<script>alert('x')</script> & \"q\""
ESCAPED = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &#34;q&#34;"


def render(folder: Path, template: str, name: str = "page.html", /, **context: Any) -> Response:
    (folder / name).write_text(template, encoding="utf-8")
    return Templates(folder).render(name, **context)


@pytest.mark.parametrize("name", ["page.html", "page.txt", "page.svg", "page"])
def test_what_a_template_inserts_is_escaped_whatever_the_template_is_called(tmp_path: Path, name: str) -> None:
    response = render(tmp_path, "<p>{{ who }}</p>", name, who=MARKUP)
    assert content(response).decode() == f"<p>{ESCAPED}</p>"


def test_a_template_itself_may_say_what_is_safe(tmp_path: Path) -> None:
    assert content(render(tmp_path, "{{ who|safe }}", who="<b>")) == b"<b>"


def test_a_page_is_html_in_utf8_with_the_status_asked_for(tmp_path: Path) -> None:
    response = render(tmp_path, "ü {{ x }}", status=404, x="ö")
    assert (response.status, content(response)) == (404, "ü ö".encode())
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert render(tmp_path, "x").status == 200


def test_the_request_is_there_under_its_name(tmp_path: Path) -> None:
    request = make_request("GET", "/a?x=%3Cb%3E")
    page = render(tmp_path, "{{ request.method }} {{ request.path }} {{ request.query.x }}", request=request)
    assert content(page) == b"GET /a &lt;b&gt;"


def test_a_variable_may_have_any_name(tmp_path: Path) -> None:
    assert content(render(tmp_path, "{{ template }} {{ self_ }}", template="t", self_="s")) == b"t s"


def test_templates_extend_and_include_each_other(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text("<body>{% block main %}{% endblock %}</body>")
    (tmp_path / "part.html").write_text("{{ who }}")
    page = render(tmp_path, '{% extends "base.html" %}{% block main %}{% include "part.html" %}{% endblock %}', who="<")
    assert content(page) == b"<body>&lt;</body>"


def test_what_is_missing_is_an_error_and_not_an_empty_place(tmp_path: Path) -> None:
    with pytest.raises(jinja2.UndefinedError, match="nobody"):
        render(tmp_path, "{{ nobody }}")
    with pytest.raises(jinja2.TemplateNotFound):
        Templates(tmp_path).render("nowhere.html")
    with pytest.raises(jinja2.TemplateNotFound):
        Templates(tmp_path).render("../page.html")
    with pytest.raises(jinja2.TemplateSyntaxError):
        render(tmp_path, "{% if %}", "broken.html")


def test_without_jinja_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(RuntimeError, match=r"evloop-http\[templates\]"):
        Templates(tmp_path)


def test_templates_of_a_package_are_found_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_pages" / "pages").mkdir(parents=True)
    (tmp_path / "shop_pages" / "__init__.py").write_text("")
    (tmp_path / "shop_pages" / "pages" / "a.html").write_text("from the package")
    monkeypatch.syspath_prepend(tmp_path)
    assert content(Templates("pages", package="shop_pages").render("a.html")) == b"from the package"
    with pytest.raises(ValueError, match="shop_pages"):
        Templates("nowhere", package="shop_pages")
    with pytest.raises(ValueError, match="no package 'no_such_package'"):
        Templates(package="no_such_package")


def rendered_twice(folder: Path, templates: Templates) -> list[bytes]:
    """What a template gives before and after a change of its file."""
    (folder / "page.html").write_text("old")
    os.utime(folder / "page.html", (1, 1))
    before = content(templates.render("page.html"))
    (folder / "page.html").write_text("new")
    return [before, content(templates.render("page.html"))]


def test_a_changed_template_is_read_again_in_development_only(tmp_path: Path) -> None:
    assert rendered_twice(tmp_path, Templates(tmp_path)) == [b"old", b"old"]
    assert rendered_twice(tmp_path, Templates(tmp_path, reload=True)) == [b"old", b"new"]
    assert rendered_twice(tmp_path, Templates(tmp_path, app=App(debug=True))) == [b"old", b"new"]
    assert rendered_twice(tmp_path, Templates(tmp_path, app=App())) == [b"old", b"old"]


def test_templates_name_routes_and_not_paths(tmp_path: Path) -> None:
    app = App()

    @app.get("/users/{name}")
    def user(request: object, name: str) -> str:
        return name

    (tmp_path / "page.html").write_text("<a href=\"{{ url_for('user', name='a b&c') }}\">")
    page = content(Templates(tmp_path, app=app).render("page.html"))
    assert page in (b'<a href="/users/a%20b%26c">', b'<a href="/users/a%20b&amp;c">')
