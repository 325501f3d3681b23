"""One message of a bridge, as each of its two chains tells it: what was burnt, what was released.

The one shape that the bridge detector knows. Recorded files fill it (`node/observe/bridge_records.py`), and
so do the logs of two live chains (`node/observe/bridge_logs.py`); nothing here says where an event came from.
Tokens and beneficiaries are named as on the side of the releases: whoever reads the burns translates them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple, NewType

from consensus.errors import Reason, Refused
from consensus.fields import require_uint
from consensus.types import Address, ChainId, Seconds
from node.trace import Account, Token, TokenUnits

MessageId = NewType("MessageId", int)
"""What the bridge calls the message; below 2**256. 0 throughout where a bridge numbers nothing."""

_ACCOUNT: Final = re.compile(r"0x[0-9a-f]{40}", re.ASCII)


class Claim(NamedTuple):
    """What a burn gives a right to, and what a release pays. Both sides must say the same of all four: the
    id alone is copied by whoever forges a message."""

    message_id: MessageId
    token: Token
    beneficiary: Account
    units: TokenUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """Tokens that were burnt, or locked, on the source side. `reference` is the transaction's hash."""

    claim: Claim
    burnt_at: Seconds
    reference: str

    def __post_init__(self) -> None:
        _require(self.claim, self.burnt_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Tokens that were paid out on the other side. `reference` is the transaction's hash."""

    claim: Claim
    released_at: Seconds
    reference: str

    def __post_init__(self) -> None:
        _require(self.claim, self.released_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventShape:
    """Where one side's event stands, and which of its parameters are the claim's four fields.

    `signature` names every parameter: `Release(uint256 indexed nonce, address token, address to,
    uint256 amount)`. `message_id` is None where the event carries none.
    """

    chain_id: ChainId
    contract: Address
    signature: str
    message_id: str | None
    token: str
    beneficiary: str
    units: str


def _require(claim: Claim, at: Seconds) -> None:
    require_uint("message_id", claim.message_id, 256)
    require_uint("units", claim.units, 256)
    require_uint("seconds", at, 64)
    for name, account in (("token", claim.token), ("beneficiary", claim.beneficiary)):
        if not _ACCOUNT.fullmatch(account):
            raise Refused(
                Reason.MALFORMED,
                f"{name} of a bridge's event is 0x and 40 hexadecimal digits in lower case, "
                f"came {account[:60]!r}",
            )
