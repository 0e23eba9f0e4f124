"""Files of a directory as an application."""

from .static_files import StaticFiles

__all__ = ["StaticFiles"]
