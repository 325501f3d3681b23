"""What a transaction's transfers come to: net and gross, by token and account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from node.trace import Account, Token, Transfer

Holding = tuple[Token, Account]


def compute_net(transfers: Iterable[Transfer]) -> Counter[Holding]:
    """What each holding gained, in the token's units; below zero where it lost."""
    net: Counter[Holding] = Counter()
    for transfer in transfers:
        net[(transfer.token, transfer.sender)] -= transfer.units
        net[(transfer.token, transfer.receiver)] += transfer.units
    return net


def compute_gross(transfers: Iterable[Transfer]) -> tuple[Counter[Holding], Counter[Holding]]:
    """What came to each holding and what left it, without setting one off against the other."""
    came: Counter[Holding] = Counter()
    left: Counter[Holding] = Counter()
    for transfer in transfers:
        if transfer.sender != transfer.receiver:
            left[(transfer.token, transfer.sender)] += transfer.units
            came[(transfer.token, transfer.receiver)] += transfer.units
    return came, left
