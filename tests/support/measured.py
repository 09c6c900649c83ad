"""What a piece of work takes, as if this process held nothing else: the collector walks over all that earlier tests left."""

import gc
import time
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def seconds_of(work: Callable[[], object]) -> float:
    """Processor time of this thread, without the collector's."""
    gc.disable()
    try:
        began = time.thread_time()
        work()
        return time.thread_time() - began
    finally:
        gc.enable()


def memory_of(work: Callable[[], T]) -> tuple[T, int]:
    """What the work gives, and the most bytes that it took meanwhile."""
    gc.collect()
    gc.freeze()  # what is there already does not put off the collection of what comes; and it stays aside
    gc.collect()
    tracemalloc.start()
    try:
        given = work()
        return given, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
