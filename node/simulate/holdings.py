"""Whose balances of which tokens a simulation tells, and how a token is asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Final

from consensus.errors import Unavailable
from node.pending import NATIVE, HoldingChange
from node.simulate.outcome import Held, Moved
from node.trace import Account, Token


class Asked(StrEnum):
    """Of which tokens a simulation tells who holds what."""

    NAMED = "named"
    """Of those that it was opened with, and the chain's own coin."""
    MOVED = "moved"
    """Of every other token that moves, too."""


MAX_HOLDINGS: Final = 64
"""Balances that are asked for beside those of the policy's tokens; what moves more is unknown."""
BALANCE_GAS: Final = 300_000
ASKER: Final = "0x" + "00" * 20
"""Who asks for a balance."""

_BALANCE_OF: Final = bytes.fromhex("70a08231")


def encode_balance_of(holder: str) -> bytes:
    """Calldata of `balanceOf(address)`."""
    return _BALANCE_OF + bytes(12) + bytes.fromhex(holder[2:])


def side_of_sender(
    sender: str, to: str | None, created: str | None, *, watched: Sequence[str]
) -> tuple[str, ...]:
    """The sender, and the contract that it calls or creates unless that is watched."""
    sides = (sender, to if to not in watched else None, created)
    return tuple(each for each in dict.fromkeys(sides) if each is not None)


def choose_holdings(
    moved: Iterable[Moved],
    *,
    watched: Sequence[str],
    tokens: Sequence[str],
    sender_side: Sequence[str],
    asked: Asked,
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(token, holder) of what is asked for: of the tokens that the policy names, and of others that moved."""
    named = {(token, holder): None for token in (NATIVE, *tokens) for holder in watched}
    named |= {(NATIVE, holder): None for holder in sender_side}
    if asked is Asked.NAMED:
        return list(named), []
    parties = {*watched, *sender_side}
    found = {
        (each.token, holder): None
        for each in moved
        for holder in (each.sender, each.receiver)
        if holder in parties and each.units and (each.token, holder) not in named
    }
    return list(named), list(found)


def require_told(
    held: Iterable[Held], transaction: str, *, tokens: Collection[str], watched: Collection[str]
) -> None:
    """A token that the policy names, or that answered before, must say what the watched hold. Raises
    `Unavailable`."""
    for each in held:
        is_of_ours = each.token in tokens or each.before is not None
        if each.holder in watched and is_of_ours and None in (each.before, each.after):
            raise Unavailable(
                f"what {transaction} does cannot be told: token {each.token} does not say what "
                f"{each.holder} holds"
            )


def find_changes(held: Iterable[Held], holders: Collection[Account]) -> tuple[HoldingChange, ...]:
    """What changed of what these hold, as far as the token says it."""
    return tuple(
        HoldingChange(
            holding=(Token(Account(each.token)), Account(each.holder)), before=each.before, after=each.after
        )
        for each in held
        if each.holder in holders
        and each.before is not None
        and each.after is not None
        and each.before != each.after
    )
