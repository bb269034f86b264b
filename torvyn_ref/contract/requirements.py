"""Whether a provider of an interface serves a consumer that was built against another version of its package (CON-045, CON-046).

This is the comparison of contracts, from their texts. The check of a real component at link time is stricter before 1.0 (`versions`): an
engine has to match the names of its imports.
"""

from __future__ import annotations

from collections.abc import Sequence

from torvyn_ref.contract.compatibility import UNVERSIONED, compare_interfaces
from torvyn_ref.contract.diagnostics import Diagnostic, Severity, of_difference
from torvyn_ref.contract.versions import Version
from torvyn_ref.contract.wit import Package


def meet(consumer: Package, provider: Package, uses: Sequence[str]) -> tuple[Diagnostic, ...]:
    """Return what speaks against a provider; it serves exactly if nothing of that is an error.

    Kinds: package-mismatch for another package; incompatible-major; version-too-old, for a provider older than what the consumer requires;
    minor-differs, a warning before 1.0 (CON-046); missing-interface, and the kinds of a comparison, for interfaces that are used.
    """
    needed, offered = Version.parse(consumer.name.version or UNVERSIONED), Version.parse(provider.name.version or UNVERSIONED)
    versions, name = (str(needed), str(offered)), consumer.name.unversioned

    def found(kind: str, code: str, message: str, severity: Severity = Severity.ERROR, **more: str) -> Diagnostic:
        return Diagnostic(kind, code, message, severity, about=(name,), versions=versions, help=more.get("help"))

    if name != provider.name.unversioned:
        return (found("package-mismatch", "E0140", f"the provider's package is {provider.name.unversioned}, not {name}"),)
    findings: list[Diagnostic] = []
    if needed.major != offered.major:
        advice = f"build the consumer against {name} {offered}, or take a provider of major version {needed.major}"
        findings.append(found("incompatible-major", "E0140", f"{name}: major version {offered.major} is another contract", help=advice))
    elif offered < needed:
        advice = f"take a provider of at least {needed}"
        findings.append(
            found("version-too-old", "E0122", f"{name}: the consumer requires {needed}, the provider is {offered}", help=advice)
        )
    elif needed.major == 0 and needed.minor != offered.minor:
        message = f"{name}: before 1.0 a minor version may break the contract, and {offered.minor} is not {needed.minor}"
        findings.append(found("minor-differs", "E0122", message, Severity.WARNING))
    for interface in uses:
        before, after = consumer.interface(interface), provider.interface(interface)
        if before is not None and after is None:
            findings.append(Diagnostic("missing-interface", "E0142", f"the provider has no interface {interface}", about=(interface,)))
    needs = compare_interfaces(consumer, provider, uses)
    findings += [of_difference(difference, (str(needed), str(offered))) for difference in needs if difference.breaking]
    return tuple(findings)
