"""Contracts of a few bytes for traces: each does one thing, so that what its trace must say is plain."""

from __future__ import annotations

from consensus.fields import keccak256
from consensus.types import Address

COUNTER = "5f54600101 5f55"
"""Reads slot 0, and writes one more."""
REVERT = "5f5ffd"
STOP = "00"


def address(number: int) -> Address:
    from consensus.fields import address_from_bytes

    return address_from_bytes(number.to_bytes(20, "big"))


def code(*parts: str) -> str:
    """Code as hex, from its parts."""
    return "0x" + "".join("".join(parts).split())


def call(to: Address, *, value_wei: int = 0, gas: str = "5a") -> str:
    """CALL without calldata; what comes back is dropped."""
    return f"5f5f5f5f 60{value_wei:02x} 73{to[2:]} {gas} f1 50"


def static_call(to: Address) -> str:
    return f"5f5f5f5f 73{to[2:]} 5a fa 50"


def delegate_call(to: Address) -> str:
    return f"5f5f5f5f 73{to[2:]} 5a f4 50"


def emit_transfer(sender: Address, receiver: Address, units: int, *, topics: int = 3) -> str:
    """The event of a token's transfer; with four topics the amount is indexed, as in ERC-721."""
    topic = keccak256(b"Transfer(address,address,uint256)").hex()
    amount = f"7f{units:064x}"
    indexed = amount if topics == 4 else ""
    store = "" if topics == 4 else f"{amount} 5f 52"
    size = "5f" if topics == 4 else "6020"
    return f"{store} {indexed} 73{receiver[2:]} 73{sender[2:]} 7f{topic} {size} 5f a{topics}"


def create(init: str) -> str:
    """CREATE of what `init`, at most 32 bytes of code, returns."""
    raw = "".join(init.split())
    assert len(raw) <= 64
    return f"7f{raw:0<64} 5f 52 60{len(raw) // 2:02x} 5f 5f f0 50"


def if_first_time(then: str) -> str:
    """Runs `then` unless slot 1 is set already, and sets it: what a re-entered contract does once."""
    body = "".join(then.split())
    done = "60015460xx57 6001600155".replace(" ", "")
    target = len(done) // 2 + len(body) // 2
    return done.replace("xx", f"{target:02x}") + body + "5b"
