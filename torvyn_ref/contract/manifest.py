"""A component's manifest, as the check of its contract reads it: who it is, and what it declares (CON-020..CON-024).

`torvyn_ref.config` reads the same file for a run, as a whole and with everything that layers over it. The check reads only what concerns
the contract, so that a component can be checked whose flow is not written yet; what it reads it reads as strictly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from torvyn_ref.config.load import MANIFEST, MAX_FILE_BYTES
from torvyn_ref.config.values import describe, parse_size
from torvyn_ref.contract.diagnostics import Diagnostic, Location
from torvyn_ref.contract.versions import Version
from torvyn_ref.errors import TorvynError
from torvyn_ref.security.capability import parse
from torvyn_ref.security.vocabularies import ALIASES

_SIZES = ("max-buffer-size", "max-memory")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a manifest says of its component.

    Attributes:
        name: never empty.
        version: None when it is missing or none.
        required, optional: the capabilities whose value is `true`, in file order.
        component: it is the manifest of a component, not of a project that has several.
    """

    name: str | None = None
    version: Version | None = None
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    component: bool = False


def read(root: Path) -> tuple[Identity, tuple[Diagnostic, ...]]:
    """Read `Torvyn.toml` below a directory, and return what is wrong with it.

    Kinds: manifest-parse (E0110), missing-field (E0111), capability-error (E0112), version-error (E0113).
    """
    try:
        with (root / MANIFEST).open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        advice = f"write a {MANIFEST} with [component], name and version"
        return Identity(), (_found("manifest-parse", "E0110", "the file does not exist", advice=advice),)
    except OSError as error:
        return Identity(), (_found("manifest-parse", "E0110", f"the file cannot be read: {error.strerror or error}"),)
    if len(raw) > MAX_FILE_BYTES:
        return Identity(), (_found("manifest-parse", "E0110", f"the file is larger than {MAX_FILE_BYTES} bytes"),)
    try:
        tree = tomli.loads(raw.decode())
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return Identity(), (_found("manifest-parse", "E0110", f"the file is not UTF-8 (byte {error.start})", line=line),)
    except tomli.TOMLDecodeError as error:
        message = f"not valid TOML: {error.msg}"
        return Identity(), (_found("manifest-parse", "E0110", message, line=error.lineno, column=error.colno),)
    except (ValueError, RecursionError) as error:  # tomli's bounds on nesting, key parts and digits
        return Identity(), (_found("manifest-parse", "E0110", f"not valid TOML: {error}"),)
    return _identity(tree)


def _found(kind: str, code: str, message: str, *about: str, line: int = 0, column: int = 0, advice: str | None = None) -> Diagnostic:
    return Diagnostic(kind, code, message, locations=(Location(MANIFEST, line, column),), about=about, help=advice)


def _identity(tree: Mapping[str, Any]) -> tuple[Identity, tuple[Diagnostic, ...]]:
    findings: list[Diagnostic] = []
    required, optional = _capabilities(tree.get("capabilities", {}), findings)
    table = _table(tree)
    if isinstance(table, Diagnostic):
        return Identity(None, None, required, optional), (table, *findings)
    where, fields = table
    name = fields.get("name")
    if not isinstance(name, str) or not name:
        name = None
        findings.append(_missing(f"{where}.name", fields.get("name"), 'name = "my-component"'))
    version: Version | None = None
    written = fields.get("version")
    if not isinstance(written, str) or not written:
        findings.append(_missing(f"{where}.version", written, 'version = "0.1.0"'))
    else:
        try:
            version = Version.parse(written)
        except TorvynError as error:
            findings.append(_found("version-error", "E0113", f"{where}.version: {error.message}", f"{where}.version", advice=error.hint))
    return Identity(name, version, required, optional, where != "torvyn"), tuple(findings)


def _missing(field: str, found: object, example: str) -> Diagnostic:
    problem = "is missing" if found is None else f"must be a text that is not empty, found {describe(found)}"
    return _found("missing-field", "E0111", f"{field} {problem}", field, advice=f"write {example}")


def _table(tree: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | Diagnostic:
    """Return the table that says who the component is: `[torvyn]`, else `[component]` or the first `[[component]]` (CON-021)."""
    project, component = tree.get("torvyn"), tree.get("component")
    if component is not None and not isinstance(component, (dict, list)):
        message = f"component must be a table, or an array of tables, found {describe(component)}"
        return _found("missing-field", "E0111", message, "component", advice="write [component], then name and version")
    if isinstance(component, list) and not all(isinstance(entry, dict) for entry in component):
        return _found("missing-field", "E0111", "every entry of component must be a table", "component", advice="write [[component]]")
    if isinstance(project, dict):
        return "torvyn", project
    if isinstance(component, dict):
        return "component", component
    if component:
        return "component[0]", component[0]
    if component == []:
        return _found("missing-field", "E0111", "component is an empty array", "component", advice="write [[component]], then its name")
    advice = "write [component] for a component, or [torvyn] for a project"
    return _found("missing-field", "E0111", "there is neither [component] nor [torvyn]", "component", advice=advice)


def _capabilities(table: object, findings: list[Diagnostic]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read `[capabilities]`: what is `true` is declared, `false` is not, and anything else is a mistake (CON-023)."""
    if not isinstance(table, dict):
        findings.append(_found("capability-error", "E0112", f"capabilities must be a table, found {describe(table)}", "capabilities"))
        return (), ()
    _sizes(table.get("torvyn", {}), findings)
    for key in table.keys() - {"required", "optional", "torvyn"}:
        advice = f"write it under [capabilities.required] or [capabilities.optional]: {key} = true"
        findings.append(_found("capability-error", "E0112", f"capabilities.{key} is no table of capabilities", key, advice=advice))
    required, optional = (tuple(_declared(table.get(part, {}), part, findings)) for part in ("required", "optional"))
    return required, optional


def _declared(table: object, part: str, findings: list[Diagnostic]) -> Iterator[str]:
    if not isinstance(table, dict):
        message = f"capabilities.{part} must be a table, found {describe(table)}"
        findings.append(_found("capability-error", "E0112", message, part))
        return
    for name, wanted in table.items():
        if not isinstance(wanted, bool):
            message = f"capabilities.{part}: {name} must be true or false, found {describe(wanted)}"
            findings.append(_found("capability-error", "E0112", message, name, advice=f"write {name} = true to declare it"))
        elif wanted:
            yield name
            _known(name, part, findings)


def _known(name: str, part: str, findings: list[Diagnostic]) -> None:
    if name in ALIASES:
        return
    try:
        parse(name)
    except TorvynError as error:
        message = f"capabilities.{part}: {error.message}"
        findings.append(_found("capability-error", "E0112", message, name, advice=error.hint))


def _sizes(table: object, findings: list[Diagnostic]) -> None:
    """Check what `[capabilities.torvyn]` asks for; a size that cannot be read is an error, and never zero (CON-024)."""
    if not isinstance(table, dict):
        findings.append(_found("capability-error", "E0112", f"capabilities.torvyn must be a table, found {describe(table)}", "torvyn"))
        return
    for key in _SIZES:
        value = table.get(key)
        if value is None:
            continue
        try:
            if not isinstance(value, str):
                raise ValueError("expected a size as a text such as 16MiB")  # noqa: TRY301, TRY004  # told like every other size that is none
            parse_size(value)
        except ValueError as error:
            findings.append(_found("capability-error", "E0112", f"capabilities.torvyn.{key}: {error}, found {describe(value)}", key))
    pool = table.get("buffer-pool-access")
    if pool is not None and not (isinstance(pool, str) and pool):
        message = f"capabilities.torvyn.buffer-pool-access must be the name of a pool, found {describe(pool)}"
        findings.append(_found("capability-error", "E0112", message, "buffer-pool-access"))
