"""Who owns which bytes: handles, states, pools, budgets and the copy ledger (OWN, POOL, BUDGET, COPY)."""

from torvyn_ref.resources.copies import CopyReason as CopyReason
from torvyn_ref.resources.copies import CopyStats as CopyStats
from torvyn_ref.resources.copies import amplification as amplification
from torvyn_ref.resources.errors import ResourceError as ResourceError
from torvyn_ref.resources.leases import Lease as Lease
from torvyn_ref.resources.leases import LeaseKind as LeaseKind
from torvyn_ref.resources.manager import ResourceManager as ResourceManager
from torvyn_ref.resources.pools import MAX_BUFFER_BYTES as MAX_BUFFER_BYTES
from torvyn_ref.resources.pools import Tier as Tier
from torvyn_ref.resources.pools import TierConfig as TierConfig
from torvyn_ref.resources.records import Balance as Balance
from torvyn_ref.resources.records import Inspection as Inspection
from torvyn_ref.resources.records import Loan as Loan
from torvyn_ref.resources.records import ManagerConfig as ManagerConfig
from torvyn_ref.resources.records import Reclaimed as Reclaimed
from torvyn_ref.resources.states import ResourceState as ResourceState
