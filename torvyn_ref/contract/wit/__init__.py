"""WIT, as far as Torvyn's packages and those of its users need it: read strictly, resolved, printed back.

`parse` reads a package from text, `load` from a directory with its `deps/`. What comes out is `model`: frozen values whose every type name
is resolved to the interface that defines it. Left out are async functions, streams and futures (WASI 0.3) and nested packages; each is
refused by name. Gates such as `@since` are read over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from torvyn_ref.contract.wit.lexer import MAX_FILE_BYTES as MAX_FILE_BYTES
from torvyn_ref.contract.wit.model import Alias as Alias
from torvyn_ref.contract.wit.model import Borrow as Borrow
from torvyn_ref.contract.wit.model import Case as Case
from torvyn_ref.contract.wit.model import Definition as Definition
from torvyn_ref.contract.wit.model import Enum as Enum
from torvyn_ref.contract.wit.model import Field as Field
from torvyn_ref.contract.wit.model import Flags as Flags
from torvyn_ref.contract.wit.model import Function as Function
from torvyn_ref.contract.wit.model import FunctionItem as FunctionItem
from torvyn_ref.contract.wit.model import FunctionKind as FunctionKind
from torvyn_ref.contract.wit.model import InlineItem as InlineItem
from torvyn_ref.contract.wit.model import Interface as Interface
from torvyn_ref.contract.wit.model import InterfaceItem as InterfaceItem
from torvyn_ref.contract.wit.model import InterfaceName as InterfaceName
from torvyn_ref.contract.wit.model import Item as Item
from torvyn_ref.contract.wit.model import Label as Label
from torvyn_ref.contract.wit.model import ListOf as ListOf
from torvyn_ref.contract.wit.model import Named as Named
from torvyn_ref.contract.wit.model import OptionOf as OptionOf
from torvyn_ref.contract.wit.model import Own as Own
from torvyn_ref.contract.wit.model import Package as Package
from torvyn_ref.contract.wit.model import PackageName as PackageName
from torvyn_ref.contract.wit.model import Primitive as Primitive
from torvyn_ref.contract.wit.model import Record as Record
from torvyn_ref.contract.wit.model import Resource as Resource
from torvyn_ref.contract.wit.model import ResultOf as ResultOf
from torvyn_ref.contract.wit.model import Span as Span
from torvyn_ref.contract.wit.model import TupleOf as TupleOf
from torvyn_ref.contract.wit.model import Type as Type
from torvyn_ref.contract.wit.model import Use as Use
from torvyn_ref.contract.wit.model import Variant as Variant
from torvyn_ref.contract.wit.model import World as World
from torvyn_ref.contract.wit.parser import parse_file
from torvyn_ref.contract.wit.printer import format_package as format_package
from torvyn_ref.contract.wit.printer import format_type as format_type
from torvyn_ref.contract.wit.resolve import resolve
from torvyn_ref.contract.wit.syntax import FileNode
from torvyn_ref.errors import TorvynError, raise_all

MAX_FILES: Final = 256
"""Files of one package, and packages under one deps/."""


def parse(files: Mapping[str, str] | str, dependencies: Iterable[Package] = ()) -> Package:
    """Read one package.

    Args:
        files: the text of each file by its name, or a single text.
        dependencies: the packages it may use.

    Raises:
        TorvynError: subsystem "contract", located at file:line:column, code E0100; a `TorvynErrors` when there is more than one mistake.
            Kinds: syntax, unsupported, too-large, unknown-name, unknown-package, duplicate, cycle, not-a-resource, borrow-in-result,
            package-mismatch.

    """
    texts = {"<text>": files} if isinstance(files, str) else dict(files)
    if not texts:
        raise TorvynError("contract", "no-package", "there is no WIT file", code="E0102")
    _bounded(len(texts), "files", next(iter(texts)))
    nodes: list[FileNode] = []
    errors: list[TorvynError] = []
    for name, text in texts.items():
        try:
            nodes.append(parse_file(text, name))
        except TorvynError as error:
            errors.append(error)
    raise_all(errors)
    return resolve(nodes, dependencies)


def load(directory: str | os.PathLike[str]) -> tuple[Package, ...]:
    """Read the package in a directory: its .wit files, and under deps/ one directory or file for each package it uses.

    Returns:
        The package, then those under deps/ in the order of their names.

    Raises:
        TorvynError: as `parse`; also kinds no-package (E0102) when the directory holds no WIT file, unreadable, and cycle when packages
            under deps/ need each other.

    """
    root = Path(directory)
    own = _files(root)
    if not own:
        raise TorvynError("contract", "no-package", "there is no WIT file", where=str(root), code="E0102")
    entries = sorted((root / "deps").iterdir()) if (root / "deps").is_dir() else []
    _bounded(len(entries), "packages", str(root / "deps"))
    waiting = {entry.name: files for entry in entries if (files := _files(entry))}
    loaded: dict[str, Package] = {}
    while waiting:
        before = len(waiting)
        errors: list[TorvynError] = []
        for name, files in list(waiting.items()):
            try:
                loaded[name] = parse(files, loaded.values())
                del waiting[name]
            except TorvynError as error:
                errors.append(error)
        if len(waiting) == before:
            raise_all(errors)
    dependencies = tuple(loaded[name] for name in sorted(loaded))
    return parse(own, dependencies), *dependencies


def _files(place: Path) -> dict[str, str]:
    paths = sorted(place.glob("*.wit")) if place.is_dir() else [place] if place.suffix == ".wit" else []
    _bounded(len(paths), "files", str(place))
    return {str(path): _read(path) for path in paths}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise TorvynError("contract", "unreadable", f"the file cannot be read: {error}", where=str(path), code="E0100") from None


def _bounded(count: int, what: str, where: str) -> None:
    if count > MAX_FILES:
        raise TorvynError("contract", "too-large", f"{count} {what}; at most {MAX_FILES} are read", where=where, code="E0100")
