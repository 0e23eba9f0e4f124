"""Pages from Jinja2 templates, with autoescape always on.

Jinja2 is the extra `templates`. Escaping is not left to the ending of a file's name: whatever a
template inserts is escaped, unless the template itself says that it is safe.
"""

from __future__ import annotations

import os
from typing import Any

from ..messages import Request, Response


class Templates:
    """The templates of a directory; each is compiled once.

    Args:
        directory: where they are.

    Raises:
        RuntimeError: the extra `templates` is not installed.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        try:
            import jinja2
        except ImportError:
            raise RuntimeError("templates need Jinja2: pip install 'evloop-http[templates]'") from None
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(directory), autoescape=True, auto_reload=False,
            trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)

    def render(self, template: str, /, *, request: Request | None = None, status: int = 200,
               **context: Any) -> Response:
        """The page that `template` makes of `context` and of `request`, under that name.

        Raises:
            jinja2.TemplateError: there is no such template, it is malformed, or a variable is missing.
        """
        text = self.environment.get_template(template).render(request=request, **context)
        return Response(text, status, content_type="text/html; charset=utf-8")
