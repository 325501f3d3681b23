"""How to find a lost peer again: where its host name points now, and after which delay."""

import random
import socket

import trio

_FAMILY_OF_NAME = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}


async def resolve(address: str) -> str:
    """A multiaddr whose host name is replaced by an IP address of now; one without a name stays as it is.

    libp2p 0.8.1 dials no names over TCP. Asked at each dial, as a restarted container has another address.
    Raises OSError when the name has no address.
    """
    _, kind, name, *rest = address.split("/")
    if kind not in _FAMILY_OF_NAME:
        return address
    answers = await trio.socket.getaddrinfo(name, None, family=_FAMILY_OF_NAME[kind], type=socket.SOCK_STREAM)
    found_family, _, _, _, (ip, *_) = answers[0]
    return "/".join(["", "ip6" if found_family == socket.AF_INET6 else "ip4", str(ip), *rest])


class Backoff:
    """Delays that double, with jitter so that a fleet does not dial in step; `reset` after success."""

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
