"""Metric values for people: with a unit and as many digits as matter."""

from __future__ import annotations

from kvsim.core.settings import shown_duration
from kvsim.lab.metrics import METRICS
from kvsim.lab.statistics import Estimate

ABOVE_ONE = ("cpu_busy_max_share",)
"""Shares that may be over 100 %."""


def base_name(metric: str) -> str:
    """`recovery_s` of `recovery_s[crash]`."""
    return metric.partition("[")[0]


def shown_value(metric: str, value: float) -> str:
    """`0.0123` of `read_latency_p99_s` is `12.3 ms`; a share is a percentage."""
    name = base_name(metric)
    unit = METRICS[name].unit if name in METRICS else ""
    if unit == "s" or (not unit and name.endswith("_s")):
        return shown_duration(value * 1e9) if value else "0 s"
    if name.endswith("_share"):
        return f"{value * 100:.5g} %" if 0.9995 <= value < 0.99999 else f"{value * 100:.3g} %"
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def within_range(metric: str, found: Estimate) -> Estimate:
    """The interval without what the metric can never be, such as a share below 0 or above 1. Only to be shown."""
    name = base_name(metric)
    if name not in METRICS:
        return found
    highest = 1.0 if name.endswith("_share") and name not in ABOVE_ONE else found.high
    return found._replace(low=max(found.low, 0.0), high=min(found.high, highest))


def metric_title(metric: str) -> str:
    """A metric's name in words, for heads and titles: `read_latency_p99_s` is `read latency p99`."""
    name, bracket, fault = metric.partition("[")
    name = {"stale_read_share": "stale reads"}.get(name, name)
    for ending in ("_ops_per_s", "_share", "_s"):
        name = name.removesuffix(ending)
    name = name.replace("_", " ").replace("cpu", "CPU")
    return name + (f" ({fault.rstrip(']')})" if bracket else "")
