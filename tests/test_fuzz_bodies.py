"""Mutated requests: what is found here is a fault. Soaks run the same with a million of them."""

from __future__ import annotations

import pytest
from faults.fuzz_bodies import fuzz


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_found_in_mutated_requests(seed: int) -> None:
    findings = fuzz(500, seed)
    assert (findings.bodies, findings.wrong) == (500, [])
