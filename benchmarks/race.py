"""Contenders measured in turns, each in a process of its own: what disturbs the machine disturbs all of them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.cases import Case

ROOT = Path(__file__).resolve().parents[1]
PAUSE = 0.1  # seconds after each round: threads that spin after their work come to rest
SHORT = 0.5  # seconds
WORKER = "benchmarks.worker"
THREAD_VARIABLES = (
    "MINISSD_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)


@dataclass
class Result:
    """One contender of one case.

    Attributes:
        who: Name.
        package: What it is, with its version.
        seconds: Of every round that counts.
        peak_mb: Most memory that its process held, in MB.
    """

    who: str
    package: str
    seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)

    def as_dict(self) -> dict:
        """Return it for a JSON file."""
        return asdict(self)


class Worker:
    """A contender's process."""

    def __init__(
        self, case: Case, who: str, threads: int, settings: dict[str, str], module: str = WORKER
    ):
        environment = os.environ | {name: str(threads) for name in THREAD_VARIABLES} | settings
        command = [sys.executable, "-m", module, json.dumps(asdict(case)), who]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        try:
            self.result = Result(who, self._answer()["ready"])
        except RuntimeError:
            self.end()
            raise

    def round(self) -> None:
        """Do one round and note its seconds.

        A short one is done twice, and the second counts: the first finds caches that others have filled, and threads
        and processors that have fallen asleep, as no training and no stream of pictures does.
        """
        if self.result.seconds and self.result.seconds[-1] < SHORT:
            self._round()
        answer = self._round()
        self.result.seconds.append(answer["seconds"])
        self.result.peak_mb = answer["peak_mb"]

    def _round(self) -> dict:
        self.process.stdin.write("round\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Let the process end."""
        with self.process:  # closes the pipes and waits
            self.process.stdin.close()

    def _answer(self) -> dict:
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        words = self.process.stderr.read().strip().splitlines()
        raise RuntimeError(f"a contender stopped: {words[-1] if words else 'no reason given'}")


def race(
    case: Case,
    who: Sequence[str],
    threads: int,
    rounds: int,
    settings: dict[str, str] | None = None,
    module: str = WORKER,
) -> list[Result]:
    """Measure contenders in turns.

    Args:
        case: What is done.
        who: Contenders, in the order of the turns.
        threads: Of each.
        rounds: That count; one before them does not, nor does one before each short one.
        settings: Environment variables of all of them.
        module: What their processes run.

    Returns:
        One result a contender, in the given order.
    """
    workers: list[Worker] = []
    try:
        for name in who:
            workers.append(Worker(case, name, threads, settings or {}, module))
        for _ in range(rounds):
            for worker in workers:
                time.sleep(PAUSE)
                worker.round()
        return [worker.result for worker in workers]
    finally:
        for worker in workers:
            worker.end()
