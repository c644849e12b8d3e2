"""Which source files a component is made of, and their hash: an edited component is another one."""

import ast
import hashlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path


def source_digest(path: Path, package: str) -> str:
    """SHA-256 of a file and of all files of one package that it imports, directly or through others.

    Imports are read from the syntax trees, so nothing runs. What a file takes from elsewhere (libraries, the core,
    files beside a third party's file) does not count.

    Args:
        path: A Python file, in the package or outside of it.
        package: Import name (`clbench.strategies`).
    """
    root = Path(str(files(package)))
    contents: dict[Path, bytes] = {}
    todo = [path.resolve()]
    while todo:
        file = todo.pop()
        if file not in contents:
            contents[file] = file.read_bytes()
            todo += _imported(contents[file], package, root)
    digest = hashlib.sha256()
    for content in sorted(contents.values()):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _imported(source: bytes, package: str, root: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith(f"{package}."):
                stem = root.joinpath(*name.removeprefix(f"{package}.").split("."))
                yield from (p.resolve() for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file())
