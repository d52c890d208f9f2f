"""The city's day: slots of ten minutes, and what each hour does to people and drones.

Times are epoch milliseconds, UTC, which is also the city's local time. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MINUTE_MS = 60_000
SLOT_MINUTES = 10
SLOT_MS = SLOT_MINUTES * MINUTE_MS
DAY_MS = 86_400_000
MINUTES_A_DAY = 1440
SLOTS_A_DAY = MINUTES_A_DAY // SLOT_MINUTES

# One value an hour, interpolated; weekdays first, then weekends.
# fmt: off
_SEEN = (  # citizens recognised in a report over an ordinary crowd
    (1.4, 1.2, 1.0, 0.9, 1.0, 1.2, 2.4, 6.0, 8.5, 5.0, 4.2, 4.6,
     10.0, 6.5, 4.2, 4.2, 5.0, 8.0, 8.5, 5.0, 3.4, 2.6, 2.0, 1.6),
    (2.0, 1.7, 1.4, 1.1, 1.0, 1.0, 1.1, 1.3, 1.8, 2.6, 3.6, 4.4,
     5.0, 5.0, 5.0, 5.0, 5.0, 4.8, 4.4, 4.0, 3.8, 3.4, 2.8, 2.4),
)
_DUTY = (  # share of the fleet that is out
    (0.38, 0.36, 0.34, 0.34, 0.36, 0.45, 0.60, 0.88, 0.95, 0.75, 0.62, 0.68,
     0.92, 0.80, 0.64, 0.64, 0.72, 0.92, 0.95, 0.80, 0.66, 0.58, 0.50, 0.42),
    (0.44, 0.42, 0.38, 0.34, 0.32, 0.32, 0.34, 0.38, 0.44, 0.50, 0.56, 0.60,
     0.62, 0.62, 0.62, 0.62, 0.62, 0.62, 0.60, 0.58, 0.56, 0.54, 0.50, 0.46),
)
_TENSION = (  # how easily an episode starts; few are seen at night, so that the alerts of an hour vary less
    (4.5, 4.8, 5.0, 5.0, 4.6, 3.4, 1.2, 0.45, 0.35, 0.8, 1.4, 1.0,
     0.7, 0.8, 1.4, 1.4, 0.7, 0.35, 0.35, 0.7, 1.4, 1.8, 2.6, 3.6),
    (3.4, 3.8, 4.2, 4.6, 4.6, 4.2, 3.6, 2.6, 2.0, 1.5, 1.2, 1.0,
     0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 1.0, 1.2, 1.4, 1.7, 2.2, 3.0),
)
# fmt: on
MOST_TENSE = 5.0


@dataclass(frozen=True)
class Moment:
    """A time of the week."""

    time_ms: int

    @property
    def day(self) -> int:
        """Days since 1970."""
        return self.time_ms // DAY_MS

    @property
    def weekend(self) -> bool:
        return (self.day + 3) % 7 >= 5

    @property
    def hour(self) -> float:
        """0-24."""
        return (self.time_ms % DAY_MS) / 3_600_000

    @property
    def slot_of_day(self) -> int:
        return self.time_ms % DAY_MS // SLOT_MS

    @property
    def seen(self) -> float:
        """Citizens that a flying drone recognises in a report, on average."""
        return self._now(_SEEN)

    @property
    def duty(self) -> float:
        """Share of the fleet that is on duty."""
        return self._now(_DUTY)

    @property
    def tension(self) -> float:
        """Factor on the rate of episodes."""
        return self._now(_TENSION)

    @property
    def rush(self) -> bool:
        """Whether stations and lunch places are what everybody passes."""
        return self.seen > 5.5

    @property
    def asleep(self) -> bool:
        """Whether stations and lunch places are empty."""
        return not 6 <= self.hour < 22

    @property
    def temperature(self) -> float:
        """Air, degrees Celsius: cold in January, warmest in mid-afternoon."""
        season = 11.0 - 8.0 * np.cos(2 * np.pi * (self.day % 365.2425 - 15) / 365.2425)
        weather = 2.5 * np.sin(self.day * 1.7) + 1.5 * np.sin(self.day * 0.61)
        return float(season + weather + 4.0 * np.cos(2 * np.pi * (self.hour - 15) / 24))

    def _now(self, profile: tuple[tuple[float, ...], ...]) -> float:
        hours = profile[self.weekend]
        whole = int(self.hour)
        part = self.hour - whole
        return hours[whole] * (1 - part) + hours[(whole + 1) % 24] * part
