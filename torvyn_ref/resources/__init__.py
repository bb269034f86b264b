"""Who owns which bytes: handles, states, pools, budgets and the copy ledger (OWN, POOL, BUDGET, COPY)."""

from torvyn_ref.resources.copies import CopyReason as CopyReason
from torvyn_ref.resources.copies import FlowCopies as FlowCopies
from torvyn_ref.resources.errors import ResourceError as ResourceError
from torvyn_ref.resources.manager import Inspection as Inspection
from torvyn_ref.resources.manager import ManagerConfig as ManagerConfig
from torvyn_ref.resources.manager import ResourceManager as ResourceManager
from torvyn_ref.resources.pools import MAX_BUFFER_BYTES as MAX_BUFFER_BYTES
from torvyn_ref.resources.pools import Tier as Tier
from torvyn_ref.resources.pools import TierConfig as TierConfig
from torvyn_ref.resources.states import ResourceState as ResourceState
