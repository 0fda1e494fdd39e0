"""What a subclass may keep of its parent: a method that describes another method goes when that one is overridden.

`L2Squared.conj` is the conjugate of `L2Squared.__call__`; in a subclass with a value of its own it would be a wrong
answer without a word.  `guard` finds such methods when a class is made and takes them back.
"""

from __future__ import annotations

from typing import Any


class Withdrawn:
    """Stands in a class for an inherited method that no longer holds: ``hasattr`` is False, and the error says why."""

    def __init__(self, name: str, parent: type, overridden: str) -> None:
        self.name, self.parent, self.overridden = name, parent, overridden

    def words(self, owner: type) -> str:
        return (
            f"{owner.__name__} overrides {self.overridden}, so that {self.name} of {self.parent.__name__} may not hold "
            f"any more: define {self.name} in {owner.__name__}, or write {self.name} = {self.parent.__name__}."
            f"{self.name} there if it still does"
        )

    def __get__(self, instance: Any, owner: type) -> Any:
        raise AttributeError(self.words(owner))


def guard(
    cls: type, root: type, defining: tuple[str, ...], derived: tuple[str, ...], *, abstract: bool = False
) -> None:
    """Take back from `cls` what it inherits of `defining` and `derived` below an override of a `defining` method.

    A capability belongs to the class that wrote it.  Where a class overrides one of the `defining` methods (another
    class further up has a body for it), every other capability written by a class further up is replaced: by the
    default of `root` where that has one, else by `Withdrawn`.  Mixins count by their place in the method resolution
    order.  Written anew in the same class or a more derived one, a capability stays.

    abstract: whether this goes for `defining` methods that are abstract in `root` as well, as they only hold together.
    """
    newest, name = min(((i, n) for n in defining if (i := _overrides(cls, n, root)) is not None), default=(None, ""))
    if newest is None:
        return
    for capability in (*defining, *derived):
        at = _written(cls, capability, root)
        if not at or at[0] <= newest:
            continue
        parent = cls.__mro__[at[0]]
        default = vars(root).get(capability)
        if default is None or (abstract and getattr(default, "__isabstractmethod__", False)):
            setattr(cls, capability, Withdrawn(capability, parent, name))
        elif not getattr(default, "__isabstractmethod__", False):
            setattr(cls, capability, default)


def keep(cls: type, root: type, capabilities: tuple[str, ...]) -> None:
    """Make all that `cls` inherits its own, so that `guard` leaves it: for a class that computes the same map."""
    for name in capabilities:
        if at := _written(cls, name, root):
            setattr(cls, name, vars(cls.__mro__[at[0]])[name])


def _written(cls: type, name: str, root: type) -> list[int]:
    """Where in the method resolution order `name` has a body written by hand; defaults of `root` do not count."""
    found = []
    for i, c in enumerate(cls.__mro__):
        body = vars(c).get(name)
        if body is None or c is root or c is object or body is vars(root).get(name):
            continue
        if (
            not isinstance(body, Withdrawn)
            and not hasattr(body, "follows")
            and not hasattr(body, "__isabstractmethod__")
        ):
            found.append(i)
    return found


def _overrides(cls: type, name: str, root: type) -> int | None:
    """The place of the newest body of `name`, if there is an older one that it overrides."""
    at = _written(cls, name, root)
    return at[0] if len(at) > 1 else None


def lost(value: Any, name: str) -> str:
    """What to add to an error that misses `name` of `value`: why a subclass has lost it; '' where it never had it."""
    for c in type(value).__mro__:
        body = vars(c).get(name)
        if isinstance(body, Withdrawn):
            return f" ({body.words(type(value))})"
        if body is not None:
            return ""
    return ""
