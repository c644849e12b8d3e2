"""Registries: one component is one file, registered by a decorator under the file's own name.

A registry finds its names by parsing the files of its package, without importing them, so that `clbench list` needs no
torch. `get` imports the one file that is asked for. Third parties add components by an entry point of the group
`clbench.<kind>` or by naming a Python file.
"""

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Generic, TypeVar

from clbench.core.errors import ClbenchError, RegistryError, did_you_mean
from clbench.core.sources import source_digest

if TYPE_CHECKING:
    from clbench.core.config import Config  # pydantic is not needed to list names

T = TypeVar("T")


@dataclass(frozen=True)
class Listing:
    """What is known of a component before it is imported."""

    name: str
    description: str
    source: str
    """Module name of a component of this package, `module (entry point)` or the path of a file."""
    module: str
    origin: Path | None = None


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A registered component."""

    name: str
    value: T
    config: "type[Config] | None" = None
    details: dict[str, str] = field(default_factory=dict)
    module: str = ""


class Registry(Generic[T]):
    """Named components of one kind.

    Args:
        kind: The word for one component, as error messages use it (`strategy`).
        package: Where the project's own components live (`clbench.strategies`).
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._variable = {"strategy": "STRATEGIES"}.get(kind, f"{kind.upper()}S")
        self._entries: dict[str, Entry[T]] = {}
        self._files: dict[str, Listing] = {}

    def register(self, name: str, *, config: "type[Config] | None" = None, **details: str) -> Callable[[T], T]:
        """Decorator that registers a class or function under `name`, which must be the name of its file.

        A file that holds variants of one thing registers them as `<file>.<variant>`. Underscores and dashes are equal
        in this comparison.

        Raises:
            RegistryError: When the name is taken by another component, or is not the file's name.
        """

        def add(value: T) -> T:
            module = str(getattr(value, "__module__", ""))
            stem = module.rpartition(".")[2]
            if _plain(name.partition(".")[0]) != _plain(stem):
                raise RegistryError(
                    f"{self.kind} {name!r} is registered in {module}: the file must be named {_plain(name)}.py"
                )
            old = self._entries.get(name)
            if old is not None and old.module != module:
                raise RegistryError(f"{self.kind} {name!r} is registered twice: by {old.module} and by {module}")
            self._entries[name] = Entry(name, value, config, dict(details), module)
            return value

        return add

    def listings(self) -> list[Listing]:
        """All known components, by name; imports none of them."""
        found = dict(self._own)
        for listing in (*self._from_entry_points, *self._files.values()):
            if listing.name in found and found[listing.name].module != listing.module:
                first = found[listing.name].source
                raise RegistryError(
                    f"{self.kind} {listing.name!r} is registered twice: by {first} and by {listing.source}"
                )
            found[listing.name] = listing
        return [found[name] for name in sorted(found)]

    def names(self) -> list[str]:
        """The names of all known components, sorted."""
        return [listing.name for listing in self.listings()]

    def get(self, name: str) -> Entry[T]:
        """The component of that name, imported if need be; a path of a `.py` file names the component in it.

        Raises:
            RegistryError: For an unknown name, a file that does not import or does not register what it says.
        """
        listing = self.listing(name)
        if not self._has(listing):
            self._import(listing)
        if not self._has(listing):
            raise RegistryError(f"{self.kind} {name!r}: {listing.source} was imported but did not register it")
        return self._entries[listing.name]

    def listing(self, name: str) -> Listing:
        """What is known of one component, or of the one in a `.py` file, without importing it.

        Raises:
            RegistryError: For an unknown name.
        """
        if name.endswith(".py"):
            return self.add_file(Path(name))
        known = {listing.name: listing for listing in self.listings()}
        if name not in known:
            raise RegistryError(f"unknown {self.kind} {name!r}: {did_you_mean(name, known)}")
        return known[name]

    def digest(self, name: str) -> str:
        """SHA-256 of a component's code and of what it imports from clbench, so that an edited one is another one."""
        origin = self.listing(name).origin
        assert origin is not None  # every listing comes from a file
        return source_digest(origin, "clbench")

    def add_file(self, path: Path) -> Listing:
        """Make the component in a Python file known (the first one that it registers) and return its listing.

        Raises:
            RegistryError: When the file is missing, is not Python or registers no component of this kind.
        """
        if not path.is_file():
            raise RegistryError(f"{self.kind} file {path}: no such file")
        module = f"clbench_file_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}.{_plain(path.stem)}"
        listings = list(self._scan(path, module, str(path)))
        if not listings:
            raise RegistryError(
                f"{path}: registers no {self.kind} (wanted a class decorated by @{self._variable}.register)"
            )
        for listing in listings:
            other = self._files.setdefault(listing.name, listing)
            if other.module != module:
                raise RegistryError(
                    f"{self.kind} {listing.name!r} is registered twice: by {other.source} and by {path}"
                )
        return listings[0]

    def _has(self, listing: Listing) -> bool:
        entry = self._entries.get(listing.name)
        return entry is not None and entry.module == listing.module

    def _import(self, listing: Listing) -> ModuleType:
        if listing.name in self._files and listing.origin is not None:
            return self._import_file(listing.module, listing.origin)
        try:
            return importlib.import_module(listing.module)
        except (Exception, SystemExit) as error:  # whatever a package of somebody else does when it is imported
            reason = _reason(error)
            raise RegistryError(f"{self.kind} {listing.name!r}: {listing.source} does not import: {reason}") from error

    def _import_file(self, module: str, path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(module, path)
        assert spec is not None  # a path that ends in .py always has a loader
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[module] = loaded  # dataclasses and pydantic look their module up here
        try:
            spec.loader.exec_module(loaded)
        except (Exception, SystemExit) as error:  # as above
            sys.modules.pop(module, None)
            raise RegistryError(f"{self.kind} file {path} does not import: {_reason(error)}") from error
        return loaded

    @cached_property
    def _own(self) -> dict[str, Listing]:
        found: dict[str, Listing] = {}
        root = Path(str(files(self.package)))
        for path in sorted((*root.glob("*.py"), *root.glob("*/__init__.py"))):
            module = f"{self.package}.{path.parent.name if path.stem == '__init__' else path.stem}"
            for listing in self._scan(path, module, module):
                if listing.name in found:
                    first = found[listing.name].source
                    raise RegistryError(f"{self.kind} {listing.name!r} is registered twice: by {first} and by {module}")
                found[listing.name] = listing
        return found

    @cached_property
    def _from_entry_points(self) -> list[Listing]:
        found = []
        for point in entry_points(group=f"clbench.{self.package.rpartition('.')[2]}"):
            try:
                found += self._of_entry_point(point)
            except RegistryError as error:
                owner = f" of package {point.dist.name}" if point.dist else ""
                raise RegistryError(f"entry point {point.name!r} ({point.value}){owner}: {error}") from error
        return found

    def _of_entry_point(self, point: EntryPoint) -> list[Listing]:
        module = point.value.partition(":")[0].partition("[")[0].strip()
        origin = _file_of(module)
        if origin is None:
            raise RegistryError(f"there is no Python file of a module {module!r}")
        scanned = [i for i in self._scan(origin, module, f"{module} (entry point)") if i.name == point.name]
        if not scanned:
            raise RegistryError(f"{module} registers no {self.kind} of that name")
        return scanned

    def _scan(self, path: Path, module: str, source: str) -> Iterator[Listing]:
        """The components that a file registers, read from its syntax tree."""
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RegistryError(f"{self.kind} file {path}: cannot be read: {error.strerror}") from error
        except (SyntaxError, ValueError, RecursionError) as error:  # no UTF-8, a null byte, too many brackets
            raise RegistryError(f"{self.kind} file {path} is not Python: {_reason(error)}") from error
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                for decorator in node.decorator_list:
                    name = self._registered_name(decorator)
                    if name is not None:
                        text = ast.get_docstring(node) or ast.get_docstring(tree) or ""
                        yield Listing(name, text.partition("\n")[0], source, module, path)

    def _registered_name(self, node: ast.expr) -> str | None:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=owner), attr="register"),
                args=[ast.Constant(value=str(name)), *_],
            ) if owner == self._variable:
                return name
        return None


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _reason(error: BaseException) -> str:
    """The message in one line, with the class where the message alone says too little (`KeyError: 'x'`)."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ImportError | SyntaxError | ClbenchError) else f"{type(error).__name__}: {text}"


def _file_of(module: str) -> Path | None:
    """The Python file of a module, found without importing it or the packages that it is in.

    The first name goes through all finders, those of editable installs too; `find_spec` would import the packages of
    a dotted name, and so run whatever is in their `__init__.py`.
    """
    first, *others = module.split(".")
    try:
        spec = importlib.util.find_spec(first)
        for number, _ in enumerate(others, 2):
            places = spec.submodule_search_locations if spec else None
            spec = PathFinder.find_spec(".".join(module.split(".")[:number]), places) if places else None
    except (ImportError, ValueError):  # no name of a module at all
        return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


STRATEGIES: "Registry[type]" = Registry("strategy", "clbench.strategies")
LEARNERS: "Registry[Callable[..., object]]" = Registry("learner", "clbench.learners")
LOADERS: "Registry[Callable[..., object]]" = Registry("loader", "clbench.streams.loaders")
METRICS: "Registry[Callable[..., float]]" = Registry("metric", "clbench.reports.metrics")
IMAGE_METRICS: "Registry[Callable[..., float]]" = Registry("image_metric", "clbench.reports.image_metrics")
