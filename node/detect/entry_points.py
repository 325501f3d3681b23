"""Functions of a new contract that its deployer could start an attack by, as calls that can be simulated.

Taken are functions without arguments, or with at most `MAX_ARGUMENTS` of one word each: addresses are filled
with the deployer, everything else with 1. Loans' callbacks, functions that every token has, and those that
only look are left out. At most `MAX_ENTRY_POINTS`, those with fewest arguments first and then by selector, so
that everybody takes the same. Misses: bytes, arrays and structs, amounts that must fit, calls in two steps,
and an attack behind so many other functions that it is not among those taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from evmole import contract_info

from node.detect.new_contract import CALLBACKS, COMMON, require_size
from node.trace import Account

MAX_ENTRY_POINTS: Final = 8
MAX_ARGUMENTS: Final = 3
DRAIN_POINTS: Final = 4
"""What a drain by one of them adds to the score of the code."""

_ONE_WORD: Final = re.compile(r"address|bool|u?int\d{1,3}|bytes\d{1,2}")


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """One call."""

    selector: str
    """Eight hexadecimal digits."""
    data: bytes


def find_entry_points(code: bytes, deployer: Account) -> tuple[EntryPoint, ...]:
    """The calls to try. Raises `Refused` (OVERSIZED) for more code than any chain takes."""
    require_size(code)
    found = contract_info(code, selectors=True, arguments=True, state_mutability=True).functions or []
    taken = []
    for function in found:
        kinds = (function.arguments or "").split(",") if function.arguments else []
        is_simple = len(kinds) <= MAX_ARGUMENTS and all(_ONE_WORD.fullmatch(kind) for kind in kinds)
        does_something = function.state_mutability not in {"view", "pure"}
        if is_simple and does_something and function.selector not in CALLBACKS | COMMON:
            words = b"".join(_fill(kind, deployer) for kind in kinds)
            taken.append(EntryPoint(function.selector, bytes.fromhex(function.selector) + words))
    return tuple(sorted(taken, key=lambda each: (len(each.data), each.selector))[:MAX_ENTRY_POINTS])


def _fill(kind: str, deployer: Account) -> bytes:
    value = int(deployer, 16) if kind == "address" else 1
    return value.to_bytes(32, "big")
