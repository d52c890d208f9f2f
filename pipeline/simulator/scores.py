"""How everybody feels: scores that wander, fall after an action, recover, and spread.

The score of a citizen at any moment is a function of the slow wander (linear
between slots) and of the citizen's current episode; see `ScoreModel`.
"""

from __future__ import annotations

import numpy as np

from pipeline.simulator.city import City
from pipeline.simulator.clock import MOST_TENSE, SLOT_MS, SLOTS_A_DAY, Array, Moment
from pipeline.simulator.people import Crowds, People
from pipeline.simulator.settings import ScoreModel
from pipeline.simulator.vocabulary import CALM_ACTIONS, CAUGHT_ACTIONS, HOSTILE_ACTIONS

#: Every action; a sighting's action is a number: 0 for none, else a place in here plus 1.
ACTIONS = HOSTILE_ACTIONS + CAUGHT_ACTIONS + CALM_ACTIONS
_HOSTILE = range(1, 1 + len(HOSTILE_ACTIONS))
_CAUGHT = range(_HOSTILE.stop, _HOSTILE.stop + len(CAUGHT_ACTIONS))

_CALM_FLOOR = 20.0  # only an episode takes a score lower
_MOST_TEMPER = 2.0
_CALM_ACTION_SHARE = 0.008
_FORGOTTEN = 6.0  # an episode is over when its return has lasted so many times its own constant


class Scores:
    """The scores of all citizens; `advance` once a slot, then ask as often as needed."""

    def __init__(self, model: ScoreModel, city: City, people: People, rng: np.random.Generator) -> None:
        count = people.count
        self._model, self._people, self._rng = model, people, rng
        self._tension = city.tension
        self._mean = np.clip(rng.normal(66, 11, count), 40, 95).astype(np.float32)
        self._temper = np.clip((100 - self._mean) / 34, 0.4, _MOST_TEMPER)
        self._after = self._mean + np.float32(model.wander_points) * rng.standard_normal(count, dtype=np.float32)
        self._before = self._after
        self._slot_ms = 0
        self._busy = np.zeros(count, bool)
        self._episodes = np.empty(0, np.int64)  # citizens in an episode
        self._begin = np.zeros(count, np.int64)
        self._turn = np.zeros(count, np.int64)  # when the return begins
        self._low = np.zeros(count, np.float32)
        self._action = np.zeros(count, np.int64)
        self._caught = (np.empty(0, np.int64), np.empty(0, np.int64))  # citizen, time: to begin in a later slot

    def advance(self, now: Moment, crowds: Crowds) -> None:
        """Go to the slot that starts now, with everybody where `crowds` says."""
        model, rng, start = self._model, self._rng, now.time_ms
        keep = np.float32(np.exp(-SLOT_MS / 1000 / model.wander_memory_s))
        noise = rng.standard_normal(self._people.count, dtype=np.float32)
        noise *= np.float32(model.wander_points) * np.sqrt(1 - keep * keep)
        self._before, self._slot_ms = self._after, start
        self._after = self._mean + keep * (self._after - self._mean) + noise

        over = self._turn[self._episodes] + int(_FORGOTTEN * model.return_s * 1000) < start
        self._busy[self._episodes[over]] = False
        self._episodes = self._episodes[~over]

        ready = self._caught[1] < start + SLOT_MS
        citizen, begin = self._caught[0][ready], self._caught[1][ready]
        waiting = [(self._caught[0][~ready], self._caught[1][~ready])]
        caught = self._start(citizen, begin, _CAUGHT)
        fresh = np.concatenate([caught, self._start(*self._own_starts(now, crowds), _HOSTILE)])
        while len(fresh):
            citizen, begin = self._spread(fresh, crowds)
            soon = begin < start + SLOT_MS
            waiting.append((citizen[~soon], begin[~soon]))
            fresh = self._start(citizen[soon], begin[soon], _CAUGHT)
        self._caught = (np.concatenate([w[0] for w in waiting]), np.concatenate([w[1] for w in waiting]))

    def tenths(self, citizen: Array, time_ms: Array) -> tuple[Array, Array]:
        """Scores in tenths of a point (0-1000) and actions of citizens at times of this slot."""
        part = ((time_ms - self._slot_ms) / SLOT_MS).astype(np.float32)
        before = self._before[citizen]
        score = np.clip(before + (self._after[citizen] - before) * part, _CALM_FLOOR, 100)
        action = np.zeros(len(citizen), np.int64)
        calm = np.flatnonzero(self._rng.random(len(citizen), dtype=np.float32) < _CALM_ACTION_SHARE)
        action[calm] = len(ACTIONS) - self._rng.integers(0, len(CALM_ACTIONS), len(calm))

        hot = np.flatnonzero(self._busy[citizen])
        who, age = citizen[hot], time_ms[hot]
        since, past = (age - self._begin[who]) / 1000, (age - self._turn[who]) / 1000
        depth = np.clip(since / self._model.ramp_s, 0, 1) * np.exp(-np.maximum(past, 0) / self._model.return_s)
        score[hot] = score[hot] * (1 - depth) + self._low[who] * depth
        action[hot] = np.where((since >= 0) & (since < self._model.action_s), self._action[who], 0)
        return np.rint(score * 10).astype(np.int64), action

    def _own_starts(self, now: Moment, crowds: Crowds) -> tuple[Array, Array]:
        """Citizens whose own episode begins in this slot, and when: a thinned Poisson process."""
        rng, most = self._rng, MOST_TENSE * _MOST_TEMPER * float(self._tension.max())
        tries = rng.poisson(self._model.starts_per_day / SLOTS_A_DAY * most * self._people.count)
        citizen = rng.integers(0, self._people.count, tries)
        factor = now.tension * self._tension[crowds.place[citizen]] * self._temper[citizen]
        citizen = citizen[rng.random(tries) * most < factor]
        return citizen, now.time_ms + rng.integers(0, SLOT_MS, len(citizen))

    def _start(self, citizen: Array, begin: Array, actions: range) -> Array:
        """Begin episodes of those who are in none; returns these citizens."""
        model, rng = self._model, self._rng
        citizen, where = np.unique(citizen, return_index=True)
        free = ~self._busy[citizen]
        citizen, begin = citizen[free], begin[where[free]]
        stay = rng.lognormal(np.log(model.stay_median_s), model.stay_sigma, len(citizen)).clip(max=model.longest_stay_s)
        self._busy[citizen] = True
        self._begin[citizen] = begin
        self._turn[citizen] = begin + ((model.ramp_s + stay) * 1000).astype(np.int64)
        self._low[citizen] = rng.random(len(citizen)) * model.highest_low
        self._action[citizen] = rng.integers(actions.start, actions.stop, len(citizen))
        self._episodes = np.concatenate([self._episodes, citizen])
        return citizen

    def _spread(self, source: Array, crowds: Crowds) -> tuple[Array, Array]:
        """Who catches it from the sources, and when."""
        model, rng, people = self._model, self._rng, self._people
        place = crowds.place[source]
        pick = (rng.random((len(source), model.contacts)) * crowds.size[place][:, None]).astype(np.int64)
        near = crowds.members[crowds.first[place][:, None] + pick]
        east = people.east_m[near] - people.east_m[source][:, None]
        north = people.north_m[near] - people.north_m[source][:, None]
        caught = (east**2 + north**2 <= model.radius_m**2) & (near != source[:, None])
        caught &= rng.random(caught.shape) < model.spread_probability
        delay = (rng.uniform(0.4, 1.6, caught.shape) * model.spread_delay_s * 1000).astype(np.int64)
        return near[caught].astype(np.int64), (self._begin[source][:, None] + delay)[caught]
