"""Our own brake on messages: a token bucket, so that a flood does not run into the homeserver's limit.

A few tokens are kept for the most urgent messages. The homeserver's word counts more than ours: when it says
that we were too fast, the bucket is empty.
"""

URGENT = 0  # grade I, or a life at risk
ANY = 32_767


class Pace:
    """`per_s` messages a second on average and `burst` at once. Times are seconds of any clock that only rises."""

    def __init__(self, per_s: float, burst: int, *, reserved: int = 3) -> None:
        self._per_s = per_s
        self._burst = burst
        self._reserved = min(reserved, burst - 1)
        self._tokens = float(burst)
        self._at = 0.0

    def allowed(self, now_s: float) -> int | None:
        """The lowest rank of priority that may go out now (`ANY`, or only `URGENT`); None: nothing may."""
        self._fill(now_s)
        if self._tokens >= 1 + self._reserved:
            return ANY
        return URGENT if self._tokens >= 1 else None

    def take(self) -> None:
        """One message goes out."""
        self._tokens -= 1

    def drain(self) -> None:
        """The other side says that it is too fast."""
        self._tokens = min(self._tokens, 0.0)

    def next_s(self, now_s: float) -> float:
        """Seconds until more is allowed than now."""
        self._fill(now_s)
        wanted = 1.0 if self._tokens < 1 else 1.0 + self._reserved
        return max(0.0, (wanted - self._tokens) / self._per_s)

    def _fill(self, now_s: float) -> None:
        if self._at:
            self._tokens = min(float(self._burst), self._tokens + (now_s - self._at) * self._per_s)
        self._at = now_s
