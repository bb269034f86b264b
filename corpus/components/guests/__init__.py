"""Every component of the corpus, in catalogue order."""

from corpus.components.guests import hidden, misbehaving, probe_ops, probes, processors, rights, routing, sinks, sources
from corpus.components.wat import Guest

GUESTS: tuple[Guest, ...] = (
    *sources.GUESTS,
    *processors.GUESTS,
    *routing.GUESTS,
    *sinks.GUESTS,
    *probes.GUESTS,
    *probe_ops.GUESTS,
    *rights.GUESTS,
    *misbehaving.GUESTS,
    *hidden.GUESTS,
)
