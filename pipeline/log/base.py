"""The contract of a log: durable, partitioned, replayable.

Everything accepted is appended here before it is acknowledged, and the flow
reads it back as often as it must. What is stored are *chunks*: newline-ended
NDJSON as it came, bad lines included, so that what a reject was is never lost.
An offset counts lines of a partition, from 0, without gaps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Chunk:
    """Lines to append: NDJSON, each line ended by a newline, in one dialect."""

    data: bytes
    dialect: str


@dataclass(frozen=True)
class Appended:
    """Where a chunk's lines went: offsets ``start`` (inclusive) to ``stop`` of ``partition``."""

    partition: int
    start: int
    stop: int
    accepted_at: float  # seconds since the epoch


@dataclass(frozen=True)
class Slice:
    """A stretch of one partition in one dialect; what the flow passes around instead of payloads."""

    partition: int
    start: int
    stop: int
    bytes: int
    dialect: str
    accepted_at: float  # of the oldest line in it, seconds since the epoch

    @property
    def reports(self) -> int:
        """Lines in the slice."""
        return self.stop - self.start


@dataclass(frozen=True)
class Stretch:
    """Lines ``start`` to ``stop`` as they were accepted together: whole lines, newline-ended."""

    start: int
    stop: int
    accepted_at: float
    data: bytes


class Log(ABC):
    """A log. Safe to use from several processes at once, each with its own instance.

    Guarantees: when `append` has returned, the lines survive a power cut; a
    chunk is appended whole or not at all; offsets are contiguous in a
    partition and never reused, nor do they fall back after a trim; chunks
    appended by one caller to one partition keep their order.
    """

    @property
    @abstractmethod
    def identity(self) -> str:
        """A name made with the log: another one means the log was recreated."""

    @property
    @abstractmethod
    def partitions(self) -> int:
        """How many partitions, fixed when the log is made."""

    @abstractmethod
    def append(self, chunks: Sequence[Chunk], partition: int = 0) -> list[Appended]:
        """Append all chunks in one durable step, in order.

        Raises `Overloaded` when the log's size limit or the disk's is near, and
        `StorageError` when durability failed; in both cases nothing was appended.
        """

    @abstractmethod
    def begins(self) -> dict[int, int]:
        """The first retained offset of each partition."""

    @abstractmethod
    def ends(self) -> dict[int, int]:
        """The offset after the last of each partition: where the next line will go."""

    @abstractmethod
    def slices(self, positions: Mapping[int, int], max_bytes: int, limit: int) -> list[Slice]:
        """What has come in since ``positions``: at most ``limit`` slices, each up to ``max_bytes``.

        Slices are contiguous, in order in a partition, never empty and of one
        dialect. A slice is larger than ``max_bytes`` only if a single chunk is.
        An offset inside a chunk is fine. Raises `StorageError` if a position
        lies before `begins` or after `ends`.
        """

    @abstractmethod
    def read(self, partition: int, start: int, stop: int) -> list[Stretch]:
        """The lines of a slice, in order, cut to exactly ``start``..``stop``.

        Raises `Torn` if any of them does not match its checksum, `StorageError` if
        any is gone (trimmed) or cannot be read now.
        """

    @abstractmethod
    def trim(self, partition: int, before: int, accepted_before: float) -> int:
        """Drop whole chunks that end at or before ``before`` and are older than ``accepted_before``.

        Returns the number of lines dropped. Only what lies at the front goes.
        """

    @abstractmethod
    def size_bytes(self) -> int:
        """Payload bytes held."""

    @abstractmethod
    def check(self) -> None:
        """Raise `Overloaded` if an append would be refused now; else return."""

    def problems(self) -> list[str]:
        """What is not as it was written, in words, by partition and offset; a log that cannot tell says nothing."""
        return []

    @abstractmethod
    def close(self) -> None:
        """Release files and connections. A closed log is not used again."""
