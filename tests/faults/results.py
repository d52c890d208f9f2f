"""What was injected and what was found, as tables."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from faults.compare import KINDS, Finding


@dataclass
class Results:
    """Collects rounds; ``acknowledged`` counts lines that were sent and acknowledged in all sessions."""

    seed: int = 0
    acknowledged: int = 0
    seconds: float = 0.0
    _times: dict[str, list[float | None]] = field(default_factory=lambda: defaultdict(list))
    _skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    _rounds: Counter[str] = field(default_factory=Counter)
    _findings: list[tuple[str, str, Finding]] = field(default_factory=list)  # what, round

    def injected(self, fault: str, seconds: float | None) -> None:
        """A fault was injected, and so long after it everything worked again; None: it did not."""
        self._times[fault].append(seconds)

    def skipped(self, fault: str, reason: str) -> None:
        """A fault could not be injected."""
        self._skipped[fault, reason] += 1

    def round(self, what: str, label: str, findings: list[Finding]) -> None:
        """A round is over: ``what`` it was (a row of the table), its label to run it again, what was found."""
        self._rounds[what] += 1
        self._findings += [(what, label, finding) for finding in findings]

    @property
    def failed(self) -> bool:
        return bool(self._findings)

    def kills(self) -> int:
        """How many times processes were killed, torn ones included."""
        return sum(len(times) for fault, times in self._times.items() if fault.startswith(("kill", "tear")))

    def markdown(self) -> str:
        """All of it, for people."""
        faults = [
            [
                name,
                str(len(times)),
                str(len(again)),
                f"{median(again):.1f}",
                f"{max(again):.1f}",
                str(len(times) - len(again)),
            ]
            if (again := [time for time in times if time is not None])
            else [name, str(len(times)), "0", "", "", str(len(times))]
            for name, times in sorted(self._times.items())
        ]
        columns = ["fault", "injected", "worked again", "median, s", "longest, s", "stuck"]
        parts = [
            f"Seed {self.seed}: {self.acknowledged:,} lines acknowledged in sessions, {self.seconds / 60:.0f} minutes.",
            _table(columns, faults) if faults else "",
            _table(["rounds of", "rounds", *KINDS], self._by_round()),
            "\n".join(
                f"- not injected: {fault}, {count} times: {why}" for (fault, why), count in self._skipped.items()
            ),
            "\n".join(
                f'- **{finding.kind}** in {what}: {finding.detail} (`SOAK="--seed {self.seed} --only-round {label}"`)'
                for what, label, finding in self._findings
            ),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _by_round(self) -> list[list[str]]:
        counts = Counter((what, finding.kind) for what, _, finding in self._findings)
        return [
            [what, str(n), *(str(counts[what, kind]) for kind in KINDS)] for what, n in sorted(self._rounds.items())
        ]

    def write(self, folder: Path) -> None:
        """As ``soak.md`` and ``soak.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "soak.md").write_text(self.markdown())
        told: dict[str, Any] = {
            "seed": self.seed,
            "acknowledged": self.acknowledged,
            "seconds": round(self.seconds, 1),
            "working_again_s": dict(self._times),
            "rounds": dict(self._rounds),
            "skipped": [[*key, count] for key, count in self._skipped.items()],
            "findings": [
                {"what": what, "round": label, "kind": finding.kind, "detail": finding.detail}
                for what, label, finding in self._findings
            ],
        }
        (folder / "soak.json").write_text(json.dumps(told, indent=1))


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
