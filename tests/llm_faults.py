"""What faults and kills cost: every fault played many times, and `kill -9` at random moments; prints two tables.

    python -m tests.llm_faults --times 20 --kills 20

`lost` counts usable replies that the endpoint sent whole and the ledger does not have, `asked twice` questions that it
answered whole more than once, `unrecorded` the dollars that it billed beyond what the ledger records.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from fieldguide.texts.generate_texts import main as generate_texts
from fieldguide.texts.ledger import LedgerRecord, read_ledger
from tests.llm_server import FAULTS, PRICES, ROOT, Plan, Server, options, running, write_inputs

QUICK = {"backoff": 0.005, "timeout": 20, "prices": {"input": PRICES[0], "output": PRICES[1]}}


class Reader(threading.Thread):
    """Reads a ledger again and again while it is written; what it could not read is its `trouble`."""

    def __init__(self, ledger: Path) -> None:
        super().__init__(daemon=True)
        self.ledger, self.ended = ledger, threading.Event()
        self.trouble: list[str] = []
        self.reads, self.most = 0, 0

    def run(self) -> None:
        while not self.ended.wait(0.01):
            if self.ledger.exists():
                try:
                    count = len(read_ledger(self.ledger))
                except Exception as error:
                    self.trouble.append(str(error))
                else:
                    if count < self.most:
                        self.trouble.append(f"{count} records after {self.most}")
                    self.reads, self.most = self.reads + 1, count

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.ended.set()
        self.join()


class Outcome(NamedTuple):
    """How a run ended."""

    error: str  # the stage's sentence; empty where it ended well
    records: list[LedgerRecord]
    trouble: list[str]  # of a reader beside it

    @property
    def accepted(self) -> list[LedgerRecord]:
        return [record for record in self.records if record.rejected is None]

    @property
    def recorded(self) -> float:
        """USD in the ledger."""
        return sum(record.price_usd or 0 for record in self.records)

    def lost(self, server: Server) -> int:
        """Usable replies that were sent whole and are not in the ledger."""
        sent = Counter(one.response_id for one in server.whole)
        return sum((sent - Counter(record.response_id for record in self.accepted)).values())


def run_stage_here(folder: Path, server: Server, replies: int, **settings: object) -> Outcome:
    """Run the stage in this process, with a reader beside it."""
    error = ""
    logger = logging.getLogger("fieldguide")
    with Reader(folder / "ledger.jsonl") as reader:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                generate_texts(options(folder, server.url, replies, **{**QUICK, **settings}))
        except SystemExit as stop:
            error = str(stop.code)
        finally:
            logger.setLevel(logging.WARNING)
    ledger = folder / "ledger.jsonl"
    return Outcome(error, read_ledger(ledger) if ledger.exists() else [], reader.trouble)


def play(
    faults: Sequence[str], classes: int = 8, replies: int = 2, server: Server | None = None
) -> tuple[Server, Outcome]:
    """A run whose first requests meet these faults in turn."""
    plan = Plan(fault=lambda asked, number: faults[number] if number < len(faults) else "", hang=5)
    # A busy machine must not make a time-out where none was played: the reply would be bought twice.
    settings = {"attempts": len(faults) + 1, "retries": len(faults) + 1, "timeout": 2.0 if "time-out" in faults else 20}
    with tempfile.TemporaryDirectory() as folder:
        inputs = write_inputs(Path(folder), classes, other=True)
        if server:
            server.plan, server.asked = plan, []
            return server, run_stage_here(inputs, server, replies, **settings)
        with running(plan) as server:
            return server, run_stage_here(inputs, server, replies, **settings)


# ---------------------------------------------------------------- kill -9


class Kill(NamedTuple):
    """What a kill cost."""

    at: int  # requests that had come in
    sent: int  # replies that had been sent whole
    kept: int  # of them in the ledger
    asked_again: int  # replies in the ledger that were asked for again
    same: bool  # the final texts are those of an undisturbed run
    torn: bool  # the ledger ended in a torn line

    @property
    def cost(self) -> int:
        return self.sent - self.kept


def start(folder: Path, server: Server, replies: int, **settings: object) -> subprocess.Popen[bytes]:
    """Run the stage in a process of its own."""
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "fieldguide.texts.generate_texts",
                *options(folder, server.url, replies, **settings),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdout=log,
            stderr=log,
        )


def whole_run(folder: Path, classes: int, replies: int, **settings: object) -> bytes:
    """The texts of an undisturbed run."""
    with running(Plan(latency=0.01)) as server:
        assert start(write_inputs(folder, classes), server, replies, **settings).wait(120) == 0
    return (folder / "texts.csv").read_bytes()


def kill_once(
    folder: Path, expected: bytes, after: int, delay: float, classes: int, replies: int, concurrency: int
) -> Kill:
    """Kill a run after so many requests and a moment, then let another finish."""
    settings = {"max_concurrency": concurrency}
    with running(Plan(latency=0.03)) as server:
        process = start(write_inputs(folder, classes), server, replies, **settings)
        wait_for(lambda: len(server.asked) >= after or process.poll() is not None)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for(lambda: all(one.sent_whole for one in server.asked), 1)
        ledger = folder / "ledger.jsonl"
        content = ledger.read_bytes() if ledger.exists() else b""
        kept = read_ledger(ledger) if content else []
        sent, at = len(server.whole), len(server.asked)
        assert start(folder, server, replies, **settings).wait(120) == 0
        again = {(one.class_name, one.body["seed"]) for one in server.asked[at:]}
    return Kill(
        at=at,
        sent=sent,
        kept=len(kept),
        asked_again=len(again & {(record.class_name, record.reply_index) for record in kept}),
        same=(folder / "texts.csv").read_bytes() == expected,
        torn=not content.endswith(b"\n") and bool(content),
    )


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait until something holds; says whether it does."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


def kill_often(times: int, seed: int = 0, classes: int = 200, replies: int = 1, concurrency: int = 8) -> list[Kill]:
    """Kill that many runs, each at a random moment."""
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as parent:
        folders = [Path(parent) / str(number) for number in range(times + 1)]
        for folder in folders:
            folder.mkdir()
        expected = whole_run(folders[0], classes, replies)
        return [
            kill_once(
                folder,
                expected,
                moments.randint(1, classes * replies - 1),
                moments.uniform(0, 0.03),
                classes,
                replies,
                concurrency,
            )
            for folder in folders[1:]
        ]


def fault_table(times: int) -> list[str]:
    """Every fault, met by every second request until it was met so often, one row each; and all of them at random."""
    rows = [
        f"{'fault':<24}{'injected':>9}{'lost':>6}{'asked twice':>13}{'rejected':>10}{'unrecorded':>12}  final state"
    ]
    mixed = random.Random(0).choices(FAULTS, k=times * len(FAULTS))
    plays = [(fault, [name for _ in range(times) for name in ("", fault)]) for fault in FAULTS]
    for name, faults in [*plays, ("all, at random", mixed)]:
        server, outcome = play(faults, classes=max(8, times))
        injected = sum(bool(one.fault) for one in server.asked)
        rejected = len(outcome.records) - len(outcome.accepted)
        unrecorded = max(0.0, server.billed - outcome.recorded)
        state = outcome.error or (
            f"{len(outcome.accepted)} of {2 * max(8, times)} replies" + ", ".join(outcome.trouble)
        )
        rows.append(
            f"{name:<24}{injected:>9}{outcome.lost(server):>6}{len(server.asked_twice()):>13}{rejected:>10}"
            f"{unrecorded:>12.4f}  {state}"
        )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="how often each fault is played")
    parser.add_argument("--kills", type=int, default=20, help="how many runs are killed")
    args = parser.parse_args(argv)
    if args.times:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - the stage's own log
        print("\n".join(fault_table(args.times)), flush=True)
    if args.kills:
        print(f"\n{'kill -9 at request':<20}{'sent whole':>11}{'in ledger':>11}{'cost':>6}{'asked again':>13}  texts")
        for kill in kill_often(args.kills):
            texts = "as undisturbed" if kill.same else "DIFFERENT"
            print(f"{kill.at:<20}{kill.sent:>11}{kill.kept:>11}{kill.cost:>6}{kill.asked_again:>13}  {texts}")


if __name__ == "__main__":
    main()
