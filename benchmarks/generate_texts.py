"""How near the LLM client comes to a rate limit: 200 classes x 6 replies, 300 ms latency, 20 requests a second.

The endpoint is on this machine, over real sockets; it takes bursts of 20 and answers 429 beyond. The last line is the
time of the client that knows the limit over the 60 s that 1,200 requests take at 20 a second.

    python benchmarks/generate_texts.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from fieldguide.texts.generate_texts import main as generate_texts  # noqa: E402
from tests.llm_server import PRICES, Plan, options, running, write_inputs  # noqa: E402

LATENCY, PER_SECOND, BURST = 0.3, 20.0, 20


def measure(classes: int, replies: int, **settings: object) -> float:
    """Seconds until the table of texts is written; asserts that nothing was asked twice and everything came."""
    plan = Plan(latency=LATENCY, per_second=PER_SECOND, burst=BURST)
    with tempfile.TemporaryDirectory() as folder, running(plan) as server:
        inputs = write_inputs(Path(folder), classes)
        started = time.perf_counter()
        generate_texts(options(inputs, server.url, replies, max_concurrency=16, **settings))
        seconds = time.perf_counter() - started
        assert len(server.whole) == classes * replies and not server.asked_twice()
    kinds = Counter(one.fault or "answered" for one in server.asked)
    print(f"  {seconds:6.1f} s, {len(server.asked)} requests ({dict(kinds)}), ${server.billed:.4f}", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--replies", type=int, default=6)
    args = parser.parse_args()
    allowed = args.classes * args.replies / PER_SECOND
    print(f"{args.classes} classes x {args.replies} replies; at {PER_SECOND:g} requests a second {allowed:.1f} s")
    prices = {"input": PRICES[0], "output": PRICES[1]}
    print("the client does not know the limit, and finds it by the endpoint's 429:")
    adaptive = measure(args.classes, args.replies, prices=prices)
    print(f"the client knows it (requests_per_minute: {60 * PER_SECOND:g}):")
    known = measure(args.classes, args.replies, prices=prices, requests_per_minute=60 * PER_SECOND)
    print(f"ratio generate_texts_without_limit_vs_bucket {adaptive / allowed:.3f}")
    print(f"ratio generate_texts_vs_bucket {known / allowed:.3f}")


if __name__ == "__main__":
    main()
