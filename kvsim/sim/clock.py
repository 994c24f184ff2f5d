"""A node's clocks: a monotonic one that may run too fast or too slow, and a calendar that may be off and jump."""

from __future__ import annotations

from kvsim.core.message import Nanoseconds
from kvsim.sim.settings import ClockSettings

CALENDAR_START_NS: Nanoseconds = 1_735_689_600_000_000_000
"""Every run begins on 1 January 2025, 00:00 UTC, by the calendars of its nodes."""
MILLION = 1_000_000


class Clock:
    """Both clocks of one machine. They outlive its node's crashes."""

    __slots__ = ("_shift_ns", "_since_ns", "calendar_ns", "drift_ppm", "wrong")

    def __init__(self, settings: ClockSettings) -> None:
        self.drift_ppm = settings.drift_ppm
        self.calendar_ns: Nanoseconds = CALENDAR_START_NS + settings.offset_ns
        """What the calendar shows when the monotonic clock shows 0."""
        self._since_ns: Nanoseconds = 0
        """The true time from which on it drifts so."""
        self._shift_ns: Nanoseconds = 0
        """How far ahead the monotonic clock was then."""
        self.wrong = bool(self.drift_ppm)
        """Whether the monotonic clock shows another time than the true one."""

    def read(self, true_ns: Nanoseconds) -> Nanoseconds:
        """What the monotonic clock shows."""
        return true_ns + self._shift_ns + (true_ns - self._since_ns) * self.drift_ppm // MILLION

    def drift(self, true_ns: Nanoseconds, drift_ppm: int) -> None:
        """Run so much too fast from now on; the time shown does not jump."""
        shown_ns = self.read(true_ns)
        self.drift_ppm, self._since_ns, self._shift_ns = drift_ppm, true_ns, shown_ns - true_ns
        self.wrong = bool(drift_ppm or self._shift_ns)

    def true_ns(self, shown_ns: Nanoseconds) -> Nanoseconds:
        """How much true time passes, at the least, while the clock goes on by this much."""
        return -(-shown_ns * MILLION // (MILLION + self.drift_ppm))
