"""The zoo: every mutant there is.

A mutant proves that a check can fail. Each is a few lines: one part of the reference, subclassed, with one fault, most of them faults that
a runtime has had or an implementer is likely to make.
"""

from __future__ import annotations

from conformance.mutants import (
    faulty_admission,
    faulty_audits,
    faulty_beside,
    faulty_buffers,
    faulty_capabilities,
    faulty_cli,
    faulty_comparisons,
    faulty_compositions,
    faulty_configuration,
    faulty_contents,
    faulty_copies,
    faulty_demand,
    faulty_endings,
    faulty_events,
    faulty_failures,
    faulty_flows,
    faulty_grants,
    faulty_graphs,
    faulty_guests,
    faulty_handles,
    faulty_histograms,
    faulty_hosts,
    faulty_imports,
    faulty_layers,
    faulty_links,
    faulty_lives,
    faulty_manifests,
    faulty_metrics,
    faulty_packing,
    faulty_pools,
    faulty_projects,
    faulty_references,
    faulty_reports,
    faulty_resources,
    faulty_rights,
    faulty_streams,
    faulty_supply,
    faulty_threads,
    faulty_traces,
    guests,
    subtle_flows,
    subtle_resources,
)
from conformance.mutants.registry import MUTANTS, Mutant
from conformance.subjects.inprocess import InProcess

ROOMS = (
    faulty_resources,
    faulty_guests,
    faulty_handles,
    faulty_hosts,
    faulty_streams,
    faulty_flows,
    faulty_graphs,
    faulty_imports,
    faulty_links,
    faulty_lives,
    faulty_histograms,
    faulty_metrics,
    faulty_reports,
    faulty_buffers,
    faulty_comparisons,
    faulty_cli,
    faulty_compositions,
    guests,
    faulty_manifests,
    faulty_pools,
    faulty_projects,
    faulty_contents,
    faulty_copies,
    faulty_threads,
    faulty_events,
    faulty_traces,
    faulty_demand,
    faulty_failures,
    faulty_endings,
    subtle_resources,
    subtle_flows,
    faulty_beside,
    faulty_packing,
    faulty_capabilities,
    faulty_grants,
    faulty_audits,
    faulty_supply,
    faulty_admission,
    faulty_configuration,
    faulty_rights,
    faulty_layers,
    faulty_references,
)
"""The modules whose mutants live here; importing them fills the zoo."""


def all_mutants() -> tuple[Mutant, ...]:
    """Return the mutants by name."""
    return tuple(MUTANTS[name] for name in sorted(MUTANTS))


def subject(name: str) -> InProcess:
    """Return a door to a mutant.

    Raises:
        KeyError: there is none of that name.
    """
    return InProcess(MUTANTS[name].subject())
