"""When to try a lost peer again: delays that double, with jitter so that a fleet does not dial in step."""

import random


class Backoff:
    """Growing delays; `reset` after a success that lasted."""

    def __init__(self, *, first_seconds: float, longest_seconds: float, jitter: random.Random) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._jitter = jitter
        self._next_seconds = first_seconds

    def next_seconds(self) -> float:
        """Between half and all of the present delay; the following one is twice as long."""
        delay = self._next_seconds
        self._next_seconds = min(self._longest_seconds, 2 * delay)
        return delay * (0.5 + self._jitter.random() / 2)

    def reset(self) -> None:
        self._next_seconds = self._first_seconds
