"""What a simulation is asked for: size, seed, place, time, and how scores behave.

`ScoreModel` is the truth behind the scores, kept so that an analysis of the
reports can be checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.errors import UsageError
from pipeline.simulator.clock import MINUTES_A_DAY
from pipeline.workspace import Area

DIALECTS = ("peacewatch", "kafka-streams")
DEFAULT_DRONES = 1000
CITIZENS_PER_DRONE = 20
LONGEST_DAYS = 3650


@dataclass(frozen=True)
class ScoreModel:
    """How peacescores (0-100, low is bad) wander, fall, recover and spread.

    An *episode* is one fall: an action, ``ramp_s`` down to a low, a stay there
    (log-normal), an exponential return. It spreads to people at the same place
    within ``radius_m``: ``contacts`` of them are met, each catches it with
    ``spread_probability`` after about ``spread_delay_s``, and may spread it on.
    """

    starts_per_day: float = 0.28  # episodes of their own, per citizen, before hour, district and temper
    spread_probability: float = 0.07
    contacts: int = 12
    radius_m: float = 100.0
    spread_delay_s: float = 240.0
    ramp_s: float = 60.0
    stay_median_s: float = 210.0
    stay_sigma: float = 0.9  # of the logarithm
    longest_stay_s: float = 3600.0
    return_s: float = 240.0
    highest_low: float = 14.0  # an episode's low is uniform from 0 to this
    action_s: float = 180.0  # for how long a drone tells the action
    wander_points: float = 6.0  # standard deviation around a citizen's own mean
    wander_memory_s: float = 5400.0


#: More goes wrong than by default, so that a small fleet shows something at any hour.
LIVELY = ScoreModel(starts_per_day=2.7)


@dataclass(frozen=True)
class SimulationSettings:
    """One simulation; `UsageError` names what is wrong.

    ``reports``: lines in all, retransmissions included; None for no end.
    ``start``: UTC (a time without a zone is taken as UTC), to the second; also the city's local time.
    ``days``: with ``reports``, how long they are spread over (the fleet's size
    follows, unless ``drones`` is given, which wins); alone, how long to simulate.
    ``citizens``: None for 20 per drone, at least 1000. ``every_min``: minutes between two reports of a
    drone, for a fleet that is worth seeing and few reports.
    """

    reports: int | None = None
    seed: int = 0
    start: datetime = datetime(2026, 11, 2, 6, tzinfo=UTC)
    days: float | None = None
    drones: int | None = None
    citizens: int | None = None
    every_min: int = 1
    dialect: str = "peacewatch"
    area: Area = field(default_factory=Area)
    scores: ScoreModel = ScoreModel()

    def __post_init__(self) -> None:
        least = {"reports": 0, "seed": 0, "drones": 1, "citizens": 1, "every_min": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise UsageError(f"{name} = {value} is wrong: use a whole number of at least {low}", **{name: value})
        if self.days is not None and not 0 < self.days <= LONGEST_DAYS:
            raise UsageError(f"days = {self.days} is wrong: use more than 0 and at most {LONGEST_DAYS}", days=self.days)
        if self.dialect not in DIALECTS:
            known = " or ".join(DIALECTS)
            raise UsageError(f"the simulator does not speak {self.dialect!r}: use {known}", dialect=self.dialect)
        if self.area.south >= self.area.north or self.area.west >= self.area.east:
            raise UsageError("the area is empty: south must be below north, and west left of east", area=self.area)
        if self.reports and self.drones and self.reports > self.drones * MINUTES_A_DAY * LONGEST_DAYS // 5:
            raise UsageError(
                f"{self.drones} drones would need years for {self.reports} reports: use more drones",
                drones=self.drones,
                reports=self.reports,
            )

    @property
    def start_ms(self) -> int:
        """Start, epoch milliseconds."""
        start = self.start if self.start.tzinfo else self.start.replace(tzinfo=UTC)
        return int(start.timestamp()) * 1000

    def people(self, drones: int) -> int:
        """Number of citizens for that many drones."""
        return self.citizens or max(1000, CITIZENS_PER_DRONE * drones)
