"""A city and its fleet, made up: reports for the demo, the tests and the benchmarks.

Everything is drawn from one seed, so the same settings give the same bytes. The
simulator knows the wire text of two dialects and nothing of the log, the lake or
the rules.
"""

from __future__ import annotations

from pipeline.simulator.settings import LIVELY, ScoreModel, SimulationSettings
from pipeline.simulator.simulation import Block, Simulation, Tick, Written, write_simulation

__all__ = ["LIVELY", "Block", "ScoreModel", "Simulation", "SimulationSettings", "Tick", "Written", "write_simulation"]
