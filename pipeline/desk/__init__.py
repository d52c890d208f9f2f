"""The desk: alerts and what officers need around them, in SQL."""

from pipeline.desk.store import Applied, Desk

__all__ = ["Applied", "Desk"]
