"""`python -m tests.simulation [--real] FIRST [LAST]`: play seeds and say what is wrong with each.

`--real`: over real HTTP and PostgreSQL, with nodes as processes; some twenty seconds each.
"""

import asyncio
import sys
import time

from tests.simulation.play import judge, play


def main() -> int:
    """Play; exit code 1 when a run broke a promise."""
    numbers = [int(word) for word in sys.argv[1:] if word != "--real"] or [0]
    first, last = numbers[0], numbers[-1]
    if "--real" in sys.argv:
        from tests.simulation.real import replay

        return 1 if asyncio.run(replay(first, last)) else 0
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
