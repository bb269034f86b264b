"""Stage-to-stage edges: a bounded queue, its credits, its watermarks and its overflow policy (CREDIT, WMK, POLICY)."""

from torvyn_ref.streams.credit import CreditAccount as CreditAccount
from torvyn_ref.streams.errors import StreamError as StreamError
from torvyn_ref.streams.policy import OverflowPolicy as OverflowPolicy
from torvyn_ref.streams.policy import Push as Push
from torvyn_ref.streams.policy import Verdict as Verdict
from torvyn_ref.streams.queue import BoundedQueue as BoundedQueue
from torvyn_ref.streams.stream import Stream as Stream
from torvyn_ref.streams.stream import StreamConfig as StreamConfig
from torvyn_ref.streams.stream import StreamStatistics as StreamStatistics
from torvyn_ref.streams.watermark import Pressure as Pressure
from torvyn_ref.streams.watermark import WatermarkGate as WatermarkGate
from torvyn_ref.streams.watermark import low_watermark as low_watermark
