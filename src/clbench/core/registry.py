"""Registries: one component is one file, registered by a decorator under the file's own name.

A registry finds its names by parsing the files of its package, without importing them, so that `clbench list` needs no
torch. `get` imports only the file of the component that is asked for. Third parties add components by an entry point
(group `clbench.strategies`, `clbench.learners`, ...) or by the path of a Python file.
"""

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
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
    """What is known of a component before it is imported.

    Attributes:
        name: The name that it is registered under.
        description: First line of its docstring.
        source: Where it was found: module name, `module (entry point)` or path of a file.
        module: Name of the module that registers it.
        origin: File of that module.
    """

    name: str
    description: str
    source: str
    module: str
    origin: Path | None = None


@dataclass(frozen=True)
class Component(Generic[T]):
    """A registered component.

    Attributes:
        name: The name that it is registered under.
        value: The class or function.
        config: Class of its settings; None for components without settings.
        details: Further keywords of its registration, such as a metric's `direction`.
        module: Name of the module that registered it.
    """

    name: str
    value: T
    config: "type[Config] | None" = None
    details: dict[str, str] = field(default_factory=dict)
    module: str = ""


class Registry(Generic[T]):
    """Named components of one kind.

    Args:
        kind: The word for one component, as error messages use it (`strategy`).
        package: Import name of the package with the project's own components (`clbench.strategies`).
        variable: Name of this registry in source files, by which its decorator is recognised (`STRATEGIES`).
        exported: Whether `register`, as clbench exports it, is this registry's decorator.
    """

    def __init__(self, kind: str, package: str, variable: str, exported: bool = False) -> None:
        self.kind = kind
        self.package = package
        self._variable = variable
        self._exported = exported
        self._components: dict[str, Component[T]] = {}
        self._files: dict[str, Listing] = {}

    def register(self, name: str, *, config: "type[Config] | None" = None, **details: str) -> Callable[[T], T]:
        """Decorator that registers a class or function under `name`, which must be the name of its file.

        A file that holds variants of one component registers them as `<file>.<variant>`. Underscores and dashes are
        equal in this comparison.

        Args:
            name: Name of the component, as users write it.
            config: Class of its settings; None for components without settings.
            **details: Further facts that `clbench list` or the owner of the registry reads.

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
            old = self._components.get(name)
            if old is not None and old.module != module:
                raise self._registered_twice(name, old.module, module)
            self._components[name] = Component(name, value, config, dict(details), module)
            return value

        return add

    def listings(self) -> list[Listing]:
        """All known components, by name; imports none of them."""
        found = dict(self._own)
        for listing in (*self._from_entry_points, *self._files.values()):
            if listing.name in found and found[listing.name].module != listing.module:
                raise self._registered_twice(listing.name, found[listing.name].source, listing.source)
            found[listing.name] = listing
        return [found[name] for name in sorted(found)]

    def names(self) -> list[str]:
        """The names of all known components, sorted."""
        return [listing.name for listing in self.listings()]

    def get(self, name: str) -> Component[T]:
        """The component of that name, imported if need be; a path of a `.py` file names the component in it.

        Raises:
            RegistryError: For an unknown name, a file that does not import or does not register what it says.
        """
        listing = self.listing(name)
        if not self._has(listing):
            self._import(listing)
        if not self._has(listing):
            raise RegistryError(f"{self.kind} {name!r}: {listing.source} was imported but did not register it")
        return self._components[listing.name]

    def listing(self, name: str) -> Listing:
        """What is known of the component of a name, or of the one in a `.py` file, without importing it.

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
        """SHA-256 of a component's code and of all that it imports from clbench (see `source_digest`)."""
        origin = self.listing(name).origin
        assert origin is not None  # every listing comes from a file
        return _digest(origin, origin.read_bytes())

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
            decorator = f"{'@register or ' if self._exported else ''}@{self._variable}.register"
            wanted = f"wanted a class or function decorated by {decorator}"
            raise RegistryError(f"{path}: registers no {self.kind} ({wanted})")
        for listing in listings:
            other = self._files.setdefault(listing.name, listing)
            if other.module != module:
                raise self._registered_twice(listing.name, other.source, str(path))
        return listings[0]

    def forget_files(self) -> None:
        """Forget the components that `add_file` has added, as a new process would."""
        for name, listing in self._files.items():
            if self._has(listing):
                del self._components[name]
        self._files.clear()

    def _registered_twice(self, name: str, first: str, second: str) -> RegistryError:
        return RegistryError(f"{self.kind} {name!r} is registered twice: by {first} and by {second}")

    def _has(self, listing: Listing) -> bool:
        entry = self._components.get(listing.name)
        return entry is not None and entry.module == listing.module

    def _import(self, listing: Listing) -> ModuleType:
        if listing.name in self._files and listing.origin is not None:
            return self._import_file(listing.module, listing.origin)
        try:
            return importlib.import_module(listing.module)
        except (Exception, SystemExit) as error:  # a third party's package may raise anything when it is imported
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
                    raise self._registered_twice(listing.name, found[listing.name].source, module)
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
        decorators = self._decorators(tree)
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                for decorator in node.decorator_list:
                    name = _registered_name(decorator, decorators)
                    if name is not None:
                        text = ast.get_docstring(node) or ast.get_docstring(tree) or ""
                        yield Listing(name, text.partition("\n")[0], source, module, path)

    def _decorators(self, tree: ast.Module) -> set[str]:
        """The forms in which a file may write this registry's decorator, by what it imports from clbench."""
        found = {f"{self._variable}.register"}
        for node in tree.body if self._exported else ():
            match node:
                case ast.ImportFrom(module="clbench" | "clbench.core.registry", names=names):
                    found |= {alias.asname or alias.name for alias in names if alias.name == "register"}
                case ast.Import(names=names):
                    found |= {f"{alias.asname or alias.name}.register" for alias in names if alias.name == "clbench"}
        return found


def _registered_name(decorator: ast.expr, known: Collection[str]) -> str | None:
    """The name that a decorator registers; None where it is not one of the known ones."""
    match decorator:
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if ast.unparse(function) in known:
            return name
    return None


@cache
def _digest(origin: Path, _source: bytes) -> str:
    """Hash of a file's code: once for each content of the file, as clbench's own files stay as they are meanwhile."""
    return source_digest(origin, "clbench")


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


STRATEGIES: "Registry[type]" = Registry("strategy", "clbench.strategies", "STRATEGIES", exported=True)
LEARNERS: "Registry[Callable[..., object]]" = Registry("learner", "clbench.learners", "LEARNERS")
LOADERS: "Registry[Callable[..., object]]" = Registry("loader", "clbench.streams.loaders", "LOADERS")
METRICS: "Registry[Callable[..., float]]" = Registry("metric", "clbench.reports.metrics", "METRICS")
IMAGE_METRICS: "Registry[Callable[..., float]]" = Registry(
    "image metric", "clbench.reports.image_metrics", "IMAGE_METRICS"
)

OPTIMIZERS: "Registry[type]" = Registry("optimizer", "clbench.strategies.optimizers", "OPTIMIZERS")
SELECTORS: "Registry[type]" = Registry("selector", "clbench.strategies.selectors", "SELECTORS")
MEMORIES: "Registry[type]" = Registry("memory", "clbench.strategies.memories", "MEMORIES")
PENALTIES: "Registry[type]" = Registry("penalty", "clbench.strategies.penalties", "PENALTIES")
EDITS: "Registry[type]" = Registry("edit", "clbench.strategies.edits", "EDITS")

register = STRATEGIES.register
"""Registers a strategy: `@register("l2-anchor", config=L2AnchorConfig)`; what `from clbench import register` gives."""
