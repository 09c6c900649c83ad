"""Ports for servers that are started later, and again: each is given out once, and the system gives it to nobody else.

A port that the system has chosen (bind to 0) and that was let go again can be chosen for somebody else's socket before its
server listens, or while it is down. These lie below the range from which the system chooses.
"""

import itertools
import os
import socket
from pathlib import Path

LEAST, STEP = 10_000, 7_919  # a prime: test runs side by side begin far from each other
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _first_of_the_system() -> int:
    return int(RANGE.read_text().split()[0]) if RANGE.exists() else 32_768


_MOST = max(_first_of_the_system(), LEAST + 1_000)
_next = itertools.count(os.getpid() * STEP)


def free_port() -> int:
    """A loopback port that nobody listens at, and that no other call of this process was given."""
    for number in _next:
        port = LEAST + number % (_MOST - LEAST)
        with socket.socket() as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # what was closed a moment ago is free
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError
