"""Which source files a component is made of, and a hash of their code: an edited component is another one."""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path


def source_digest(path: Path, package: str, without: Sequence[str] = ()) -> str:
    """SHA-256 of the code of a file and of all files of one package that it imports, directly or through others.

    Imports are read from the syntax trees, so nothing runs. Comments, docstrings and layout do not count: who explains
    a method better does not have to run it again. What a file takes from elsewhere (libraries, other packages, files
    beside a third party's file) does not count either.

    Args:
        path: A Python file, in the package or outside of it.
        package: Import name (`clbench.strategies`).
        without: Import names below which nothing is followed.

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
    """The files whose code `source_digest` of the same arguments covers, resolved."""
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
    """The hash of a file's code, and the names that it imports."""
    tree = ast.parse(source)
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest(), frozenset(imported)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is nothing but a string: a docstring, of a function or of an attribute."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def _files_of(name: str, package: str, root: Path, without: Sequence[str]) -> Iterator[Path]:
    if name.startswith(f"{package}.") and not any(f"{name}.".startswith(f"{other}.") for other in without):
        stem = root.joinpath(*name.removeprefix(f"{package}.").split("."))
        yield from (p.resolve() for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file())
