"""The shell around the flow driver: one anyio task per flow, cooperative, cancellable, leaving nothing behind (ADR-003, ADR-004)."""

from torvyn_ref.reactor.coordinator import FlowHandle as FlowHandle
from torvyn_ref.reactor.coordinator import Reactor as Reactor
from torvyn_ref.reactor.coordinator import ReactorStatus as ReactorStatus
from torvyn_ref.reactor.coordinator import ShutdownReport as ShutdownReport
from torvyn_ref.reactor.feed import Feed as Feed
from torvyn_ref.reactor.feed import Gate as Gate
from torvyn_ref.reactor.feed import open_feed as open_feed
