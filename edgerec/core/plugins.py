"""Find classes and objects that EdgeRec's modules define, or that other packages add as entry points."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib.metadata import EntryPoints, entry_points
from pkgutil import resolve_name
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from edgerec.core.errors import EdgeRecError, PluginError, first_line

T = TypeVar("T")

before_import: dict[str, Callable[[], None]] = {}
"""What is called before each import of an entry point, by the group of entry points. The command line sets it."""


def plugin_names(group: str) -> list[str]:
    """Return the names of the entry points of `group`, in order. Nothing is imported."""
    return sorted({point.name for point in _entry_points(group)})


def find_plugin(group: str, name: str, base: type[T]) -> type[T] | None:
    """Import the entry point `name` of `group`, a subclass of `base` in another package.

    Returns:
        The class, or None if no installed package has such an entry point.

    Raises:
        PluginError: several packages have such an entry point, or it cannot be imported or is not a subclass of
            `base`.
    """
    found = load_plugin(group, name)
    if found is None or (isinstance(found, type) and issubclass(found, base)):
        return found
    raise PluginError(
        f"entry point {name!r} of {group} should be a subclass of {base.__module__}.{base.__name__}; received {found!r}"
    )


def import_subclass(path: str, base: type[T]) -> type[T]:
    """Import the class `path`, written as `module:Class`, which another package may define.

    Raises:
        PluginError: the class cannot be imported, or is not a subclass of `base`.
    """
    try:
        found: object = resolve_name(path)
    # The module of another package may raise any error while it is imported, and may even try to end the process.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{path} cannot be imported ({type(error).__name__}: {first_line(error)}): repair or remove the package"
        ) from error
    if isinstance(found, type) and issubclass(found, base):
        return found
    raise PluginError(f"{path} should be a subclass of {base.__module__}.{base.__name__}; received {found!r}")


def load_plugin(group: str, name: str) -> object | None:
    """Import the entry point `name` of `group`, an object in another package.

    Returns:
        The object, or None if no installed package has such an entry point.

    Raises:
        PluginError: several packages have such an entry point, or it cannot be imported.
    """
    points = _entry_points(group).select(name=name)
    values = sorted({point.value for point in points})
    if len(values) > 1:
        raise PluginError(
            f"entry point {name!r} of {group}: several packages have one of this name ({', '.join(values)}): remove "
            "all but one of the packages"
        )
    for point in points:
        try:
            if group in before_import:
                before_import[group]()
            found: object = point.load()
        # The module of another package may raise any error while it is imported, and may even try to end the process.
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"entry point {name!r} of {group}: {point.value} cannot be imported "
                f"({type(error).__name__}: {first_line(error)}): repair or remove the package"
            ) from error
        return found
    return None


def is_plugin(owner: type) -> bool:
    """Return whether another package defines the class `owner`."""
    return owner.__module__.partition(".")[0] != "edgerec"


@contextmanager
def errors_of(owner: type, method: str = "") -> Iterator[None]:
    """Run a block that calls the class `owner`. If another package defines it, each of its errors gets its name.

    Args:
        owner: the class.
        method: the method that the block calls; default: several methods.

    Raises:
        PluginError: the class of another package raised an error that is no `EdgeRecError`.
    """
    try:
        yield
    except EdgeRecError:
        raise
    except Exception as error:  # Code of another package may raise any error.
        if not is_plugin(owner):
            raise
        raise PluginError(
            f"{owner.__module__}.{owner.__qualname__}{method and '.' + method} failed "
            f"({type(error).__name__}: {first_line(error)}): repair or remove its package"
        ) from error


def classes_in(module: ModuleType, base: type[T]) -> list[type[T]]:
    """Return the subclasses of `base` that `module` defines. Classes that it imports are left out."""
    found = (value for value in vars(module).values() if isinstance(value, type) and issubclass(value, base))
    return [each for each in found if each.__module__ == module.__name__]


def name_errors(owner: type, members: Iterable[str]) -> None:
    """Replace the methods and properties that `owner` itself defines, so that their errors get its name.

    A class of EdgeRec is not changed. The errors are those of `errors_of`.

    Args:
        owner: the class.
        members: names of methods and properties.
    """
    if not is_plugin(owner):
        return
    for name in members:
        member = vars(owner).get(name)
        if isinstance(member, property) and member.fget is not None:
            setattr(owner, name, property(_named(owner, name, member.fget)))
        elif isinstance(member, FunctionType):
            setattr(owner, name, _named(owner, name, member))


def _named(owner: type, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, with errors that have the name of the class and of the method."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        with errors_of(owner, name):
            return function(*arguments, **options)

    return call


def check_own_name(group: str, name: str) -> None:
    """Check that no other package uses `name`, the name of a part of EdgeRec. EdgeRec's part would hide the other.

    Raises:
        PluginError: a package has an entry point of this name.
    """
    for point in _entry_points(group).select(name=name):
        raise PluginError(
            f"entry point {name!r} of {group}: {point.value} has a name that EdgeRec itself uses: give it another "
            "name, or remove the package"
        )


def _entry_points(group: str) -> EntryPoints:
    """Return the entry points of `group` in all packages on the import path."""
    return _read_entry_points(group, tuple(sys.path))


@cache
def _read_entry_points(group: str, path: tuple[str, ...]) -> EntryPoints:
    """Read the entry points. This takes about 10 ms, so it is done once for each group and import path."""
    return entry_points(group=group)
