"""Faults injected into real processes at seeded moments, and a model of what must be stored after them.

``python -m faults`` (``make soak``) runs all of it; `tests/test_soak.py` a few rounds. Nothing in
the product knows of this.
"""
