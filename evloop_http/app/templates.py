"""Pages from Jinja2 templates, with autoescape always on.

Jinja2 is the extra `templates`. Escaping is not left to the ending of a file's name: whatever a
template inserts is escaped, unless the template itself says that it is safe.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..messages import Request, Response

if TYPE_CHECKING:
    from .application import App


class Templates:
    """The templates of a directory, or of a package; each is compiled once.

    Templates see `request`, if there is one, and with `app` also `url_for` (see `App.url_for`).

    Args:
        directory: where they are; within the package if one is named.
        package: the importable name of the package that holds them, be it a directory or an archive.
        app: the application whose routes templates may name.
        reload: whether to look for changes of the files; by default while `app` is in debug mode.

    Raises:
        ValueError: there is no such package, or no such directory in it.
        RuntimeError: the extra `templates` is not installed.
    """

    def __init__(self, directory: str | os.PathLike[str] = "templates", *, package: str | None = None,
                 app: App | None = None, reload: bool | None = None) -> None:
        try:
            import jinja2
        except ImportError:
            raise RuntimeError("templates need Jinja2: pip install 'evloop-http[templates]'") from None
        if reload is None:
            reload = app is not None and app.debug
        loader: jinja2.BaseLoader = jinja2.FileSystemLoader(directory)
        if package is not None:
            try:
                loader = jinja2.PackageLoader(package, os.fspath(directory))
            except ImportError:
                raise ValueError(f"there is no package {package!r}") from None
        self.environment = jinja2.Environment(
            loader=loader, autoescape=True, auto_reload=reload,
            trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
        if app is not None:
            url_for: Callable[..., str] = app.url_for
            self.environment.globals["url_for"] = url_for

    def render(self, template: str, /, *, request: Request | None = None, status: int = 200,
               **context: Any) -> Response:
        """The page that `template` makes of `context` and of `request`, under that name.

        Raises:
            jinja2.TemplateError: there is no such template, it is malformed, or a variable is missing.
        """
        text = self.environment.get_template(template).render(request=request, **context)
        return Response(text, status, content_type="text/html; charset=utf-8")
