"""Capabilities: deny by default, resolve once before anything runs, check and record every use.

What other rooms use:

* `parse`, `Capability`, `Kind`, `endpoint` — the algebra: `grant.covers(request)`; values are canonical, `str` is the canonical text.
* `resolve(declared, granted, policy, component=…, allocator=…)` → `Resolution(effective, warnings, decisions)`, or every error at once.
  `contract.link.link` calls it for every node of a flow; `config.NodeSettings` has `declared` and `granted`; `Policy(text)` reads
  `default_capability_policy`.
* `CapabilitySet` — `permits(request)`, `answers(name)` (has-capability), `canonical` (for `Sandbox.capabilities`) and `of(canonical)` back.
* `AuditLog(sink, clock)` with `discard`, `JsonLines(stream)` or `RotatingFile(path)`. In order, for a flow: `denied_at_link(error)` when
  linking fails; else `resolved(resolution, …)` per node, `instantiated(resolution, …)` once the instance is there, and `emit(kind, …)`.
* `Guard(effective, log, clock, component=…, flow=…)` — `check(request)` off the hot path, `use(kind, pool)` on it, `tick()` now and then,
  `flush()` at the end. A guard is a `Sandbox.audit`.
"""

from torvyn_ref.security.audit import DEFAULT_TENANT as DEFAULT_TENANT
from torvyn_ref.security.audit import AuditEvent as AuditEvent
from torvyn_ref.security.audit import AuditLog as AuditLog
from torvyn_ref.security.audit import AuditSink as AuditSink
from torvyn_ref.security.audit import EventKind as EventKind
from torvyn_ref.security.audit import Severity as Severity
from torvyn_ref.security.audit import discard as discard
from torvyn_ref.security.capability import Capability as Capability
from torvyn_ref.security.capability import endpoint as endpoint
from torvyn_ref.security.capability import parse as parse
from torvyn_ref.security.grants import Allocator as Allocator
from torvyn_ref.security.grants import CapabilitySet as CapabilitySet
from torvyn_ref.security.grants import Decision as Decision
from torvyn_ref.security.grants import Policy as Policy
from torvyn_ref.security.grants import Remark as Remark
from torvyn_ref.security.grants import Resolution as Resolution
from torvyn_ref.security.grants import ResolutionWarning as ResolutionWarning
from torvyn_ref.security.grants import resolve as resolve
from torvyn_ref.security.guard import Guard as Guard
from torvyn_ref.security.guard import HotPath as HotPath
from torvyn_ref.security.kinds import Kind as Kind
from torvyn_ref.security.scopes import NetScope as NetScope
from torvyn_ref.security.scopes import PathScope as PathScope
from torvyn_ref.security.scopes import PoolScope as PoolScope
from torvyn_ref.security.scopes import PortRange as PortRange
from torvyn_ref.security.scopes import ScopeError as ScopeError
from torvyn_ref.security.sinks import JsonLines as JsonLines
from torvyn_ref.security.sinks import RotatingFile as RotatingFile
