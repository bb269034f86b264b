"""What a runtime can tell about itself: counters, gauges and histograms, fed by a flow's events (OBS)."""

from torvyn_ref.observe.histogram import LATENCY_NS as LATENCY_NS
from torvyn_ref.observe.histogram import SIZE_BYTES as SIZE_BYTES
from torvyn_ref.observe.histogram import Histogram as Histogram
from torvyn_ref.observe.metrics import FlowMetrics as FlowMetrics
from torvyn_ref.observe.metrics import Level as Level
from torvyn_ref.observe.metrics import Registry as Registry
from torvyn_ref.observe.recorder import MetricsObserver as MetricsObserver
from torvyn_ref.observe.recorder import observe as observe
from torvyn_ref.observe.window import FlowReading as FlowReading
