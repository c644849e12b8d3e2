"""The source files that a component consists of, and a hash of their code: an edited component is a different one."""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path


def source_digest(path: Path, package: str, without: Sequence[str] = ()) -> str:
    """SHA-256 of the code of a file and of all files of one package that it imports, directly or through others.

    Imports are read from the syntax trees, so nothing runs. A name that the package itself exports
    (`from clbench import Strategy`) leads to the module that its `__init__.py` imports it from. Comments, docstrings
    and layout do not change the hash: a better explanation of a method does not outdate its results. Imports from
    elsewhere (libraries, other packages, files beside a third party's file) are not covered.

    Args:
        path: A Python file, in the package or outside of it.
        package: Import name of the package (`clbench`).
        without: Import names of packages whose modules are left out.

    Returns:
        64 hexadecimal digits.

    Raises:
        SyntaxError: When one of the files is not Python.
    """
    digest = hashlib.sha256()
    for code in sorted(_codes(path, package, without).values()):
        digest.update(bytes.fromhex(code))
    return digest.hexdigest()


def source_files(path: Path, package: str, without: Sequence[str] = ()) -> frozenset[Path]:
    """The files whose code `source_digest` covers.

    Args:
        path: A Python file, in the package or outside of it.
        package: Import name of the package (`clbench`).
        without: Import names of packages whose modules are left out.

    Returns:
        Resolved paths, `path` among them.
    """
    return frozenset(_codes(path, package, without))


def _codes(path: Path, package: str, without: Sequence[str]) -> dict[Path, str]:
    root = Path(str(files(package)))
    codes: dict[Path, str] = {}
    todo = [path.resolve()]
    while todo:
        file = todo.pop()
        if file not in codes:
            codes[file], imported = _read(file.read_bytes())
            todo += (found for name in imported for found in _files_of(name, package, root, without))
    return codes


@cache
def _read(source: bytes) -> tuple[str, frozenset[str]]:
    """The hash of a file's code, and the names that it imports, as `package.module.name`."""
    tree = ast.parse(source)
    imported: set[str] = set()
    modules: dict[str, str] = {}  # by the name that `import module as name` binds
    used: set[tuple[str, str]] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported |= {alias.name for alias in names}
                modules |= {alias.asname or alias.name: alias.name for alias in names}
            case ast.ImportFrom(module=str(module), names=names):
                imported |= {module, *(f"{module}.{alias.name}" for alias in names)}
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                used.add((owner, name))
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                node.body = [statement for statement in node.body if not _is_text(statement)]
    imported |= {f"{modules[owner]}.{name}" for owner, name in used if owner in modules}
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest(), frozenset(imported)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is nothing but a string: a docstring, of a function or of an attribute."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def _files_of(name: str, package: str, root: Path, without: Sequence[str]) -> Iterator[Path]:
    if not name.startswith(f"{package}.") or any(f"{name}.".startswith(f"{other}.") for other in without):
        return
    below = name.removeprefix(f"{package}.")
    stem = root.joinpath(*below.split("."))
    yield from (p.resolve() for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file())
    if (root / "__init__.py").is_file():
        for exported, module in _exports((root / "__init__.py").read_bytes()):
            if below in (exported, "*"):
                yield from _files_of(module, package, root, without)


@cache
def _exports(source: bytes) -> frozenset[tuple[str, str]]:
    """The names that a package's `__init__.py` imports from modules, each with its module; also for type checkers."""
    return frozenset(
        (alias.asname or alias.name, node.module)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    )
