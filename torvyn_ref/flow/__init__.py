"""One flow: its life, its graph, its schedule and its driver; pure, with time as a parameter (FLOW, SCHED, ORD, ERR, CANCEL, TOPO)."""

from torvyn_ref.flow.cancellation import Reason as Reason
from torvyn_ref.flow.driver import FlowDriver as FlowDriver
from torvyn_ref.flow.failures import ErrorPolicy as ErrorPolicy
from torvyn_ref.flow.failures import ErrorPolicyKind as ErrorPolicyKind
from torvyn_ref.flow.scheduling import ConsumerFirst as ConsumerFirst
from torvyn_ref.flow.scheduling import ProducerFirst as ProducerFirst
from torvyn_ref.flow.scheduling import Scripted as Scripted
from torvyn_ref.flow.settings import DONE as DONE
from torvyn_ref.flow.settings import YIELD as YIELD
from torvyn_ref.flow.settings import FlowSettings as FlowSettings
from torvyn_ref.flow.settings import Priority as Priority
from torvyn_ref.flow.settings import StageSetup as StageSetup
from torvyn_ref.flow.settings import Wait as Wait
from torvyn_ref.flow.stage import Invoke as Invoke
from torvyn_ref.flow.states import FlowState as FlowState
from torvyn_ref.flow.statistics import FlowReport as FlowReport
from torvyn_ref.flow.topology import EdgeDef as EdgeDef
from torvyn_ref.flow.topology import StageDef as StageDef
from torvyn_ref.flow.topology import Topology as Topology
from torvyn_ref.flow.topology import TopologyError as TopologyError
