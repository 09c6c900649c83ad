"""`python -m tests.simulation FIRST [LAST]`: play seeds and say what is wrong with each."""

import sys
import time

from tests.simulation.play import judge, play


def main() -> int:
    """Play; exit code 1 when a run broke a promise."""
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    last = int(sys.argv[2]) if len(sys.argv) > 2 else first
    began, bad = time.process_time(), 0
    for seed in range(first, last + 1):
        run = play(seed)
        wrong = judge(run)
        bad += bool(wrong)
        if wrong or first == last:
            print(f"seed {seed}: {dict(run.did)}, {run.world.events} events, {run.world.messages} messages")
        for each in wrong:
            print(f"  {each}")
    count = last - first + 1
    print(f"{count} runs, {bad} bad, {(time.process_time() - began) / count * 1000:.0f} ms of CPU each")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
