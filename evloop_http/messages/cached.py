"""Attributes that are worked out when they are first asked for.

`functools.cached_property` does the same, but up to Python 3.11 it holds a lock meanwhile, one for all instances of
a class. A worker that reads a form while it arrives would then hold up every request whose form is asked for. If
the loop asks for one, it waits for the worker, which waits for the bytes that only the loop can receive.

Without the lock, two threads that ask the same instance at the same time may both work it out. A request is
handled by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):
    """An attribute that is computed once for each instance, by the decorated function, and may be set and deleted."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> T | Self:
        """Compute the value and keep it in the instance, where it is found before this is asked again."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value

    if TYPE_CHECKING:  # what is set is kept in the instance, as with any class without this method
        def __set__(self, instance: object, value: T) -> None: ...
