"""New contract: code that was made to call a protected contract with borrowed money.

Most attacks are run by a contract that is deployed shortly before. Its code holds the victim's address or the
selectors that it will call there, and a function by which a lender gives it a flash loan. The score counts
these: 2 for a protected address among its constants, 1 for each function of a protected contract that it
names, at most 3, and 4 for a flash-loan callback. Functions that every token has count for nothing. So a
score of 6 takes borrowed money *and* a victim; an honest integrator, which borrows nothing, ends at 5.

Code that has both gets 1 more where the account that sent the creating transaction has sent 16 or fewer, and
again 1 where that young account had, 60 blocks before, at most a hundredth of the coin that it has now. Other
code gets nothing for that: everybody was new once. What is seen without an index of the chain is an account's
nonce and coin at two blocks. Not seen are who funded it and by which way, when it was first used, tokens, and
whom a relayer or a wallet that is a contract sends for; an account that was funded longer ago, or is spent
empty by the block's end after it had some before, does not look freshly funded.

It calls a person and no more: contracts are cheap, and anybody can deploy one that looks like this. Cost: one
pass over the code, and evmole's walk through its dispatcher. Misses: addresses and selectors that are put
together while it runs or come as arguments, attacks from a constructor, and attackers who need no loan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from evmole import contract_info

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from node.detect.detector import shown
from node.detect.evidence import Evidence, Family
from node.trace import Account

NAME: Final = "new_contract"
LEVEL: Final = Level.ALERT
"""The hardest level that it may ever lead to."""

MAX_CODE_BYTES: Final = 131_072
ADDRESS_POINTS, CALL_POINTS, MOST_CALLS, CALLBACK_POINTS = 2, 1, 3, 4
YOUNG_POINTS, FRESH_POINTS = 1, 1
HIGHEST_CODE_SCORE: Final = ADDRESS_POINTS + CALL_POINTS * MOST_CALLS + CALLBACK_POINTS
HIGHEST_SCORE: Final = HIGHEST_CODE_SCORE + YOUNG_POINTS + FRESH_POINTS

YOUNG_TRANSACTIONS: Final = 16
"""What a young account has sent at most."""
FRESH_BLOCKS: Final = 60
"""How far back funding is looked for: nodes keep the state of 128 blocks, and a trace may come 64 late."""
FRESH_SHARE: Final = 100
"""A young account that has so many times what it had is freshly funded; dust that waited hides nothing."""


def _selectors(*signatures: str) -> frozenset[str]:
    return frozenset(keccak256(signature.encode("ascii"))[:4].hex() for signature in signatures)


CALLBACKS: Final = _selectors(
    "onFlashLoan(address,address,uint256,uint256,bytes)",
    "executeOperation(address[],uint256[],uint256[],address,bytes)",
    "executeOperation(address,uint256,uint256,address,bytes)",
    "receiveFlashLoan(address[],uint256[],uint256[],bytes)",
    "uniswapV2Call(address,uint256,uint256,bytes)",
    "uniswapV3FlashCallback(uint256,uint256,bytes)",
    "uniswapV3SwapCallback(int256,int256,bytes)",
    "pancakeCall(address,uint256,uint256,bytes)",
    "pancakeV3FlashCallback(uint256,uint256,bytes)",
    "callFunction(address,(address,uint256),bytes)",
    "DVMFlashLoanCall(address,uint256,uint256,bytes)",
    "DPPFlashLoanCall(address,uint256,uint256,bytes)",
    "DSPFlashLoanCall(address,uint256,uint256,bytes)",
    "onMorphoFlashLoan(uint256,bytes)",
    "unlockCallback(bytes)",
)
"""How lenders call back: ERC-3156, Aave, Balancer, Uniswap and its kin, dYdX, DODO, Morpho."""

COMMON: Final = _selectors(
    "name()",
    "symbol()",
    "decimals()",
    "totalSupply()",
    "balanceOf(address)",
    "allowance(address,address)",
    "approve(address,uint256)",
    "transfer(address,uint256)",
    "transferFrom(address,address,uint256)",
    "owner()",
    "supportsInterface(bytes4)",
)
"""Functions that all kinds of contracts have and call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContract:
    """A contract and its code, as it stands on chain."""

    address: Account
    creator: Account
    code: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployer:
    """Who sent a creating transaction. Coin in wei."""

    sent: int
    """Transactions up to the block, which is the account's nonce."""
    coin: int
    coin_before: int
    """`FRESH_BLOCKS` before, or at the chain's first block."""

    @property
    def is_young(self) -> bool:
        return self.sent <= YOUNG_TRANSACTIONS

    @property
    def is_freshly_funded(self) -> bool:
        """Young, and had next to nothing before; an old account that is topped up is ordinary."""
        return self.is_young and self.coin_before * FRESH_SHARE <= self.coin

    @property
    def points(self) -> int:
        """What it adds to the score of code that borrows and names a victim."""
        return YOUNG_POINTS * self.is_young + FRESH_POINTS * self.is_freshly_funded


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What stands in code: protected addresses, selectors of protected contracts, and loans' callbacks."""

    addresses: frozenset[Account]
    calls: frozenset[str]
    callbacks: frozenset[str]

    @property
    def borrows_and_names_a_victim(self) -> bool:
        """Whether it counts who deployed it."""
        return bool(self.callbacks and (self.addresses or self.calls))

    @property
    def score(self) -> int:
        """Of the code alone, from 0 to `HIGHEST_CODE_SCORE`."""
        return (
            ADDRESS_POINTS * bool(self.addresses)
            + CALL_POINTS * min(MOST_CALLS, len(self.calls))
            + CALLBACK_POINTS * bool(self.callbacks)
        )

    def score_of(self, deployer: Deployer) -> int:
        """Of the code and who deployed it, from 0 to `HIGHEST_SCORE`."""
        return self.score + deployer.points * self.borrows_and_names_a_victim


class NewContractDetector:
    """Knows the protected contracts, by their code. `least_score` lies between 1 and the highest score."""

    def __init__(self, protected: Mapping[Account, bytes], *, least_score: int) -> None:
        if not 1 <= least_score <= HIGHEST_SCORE:
            raise Refused(
                Reason.OUT_OF_RANGE,
                f"least_score of {NAME} lies between 1 and {HIGHEST_SCORE}, came {least_score}",
            )
        self._least_score = least_score
        self._protected = frozenset(protected)
        self._functions = frozenset(
            selector for code in protected.values() for selector in find_functions(code) - COMMON
        )

    def find_marks(self, code: bytes) -> Marks:
        """What in deployed code points at the protected contracts. Raises `Refused` (OVERSIZED) for more code
        than any chain takes."""
        constants = find_constants(code)
        return Marks(
            addresses=frozenset(account for account in self._protected if account[2:] in constants),
            calls=self._functions & constants,
            callbacks=CALLBACKS & find_functions(code),
        )

    def judge(self, contract: NewContract, deployer: Deployer) -> Evidence | None:
        """What is strange about it; None: nothing. Raises `Refused` (OVERSIZED) for more code than any chain
        takes."""
        marks = self.find_marks(contract.code)
        score = marks.score_of(deployer)
        if score < self._least_score:
            return None
        return Evidence(
            detector=NAME,
            family=Family.FLOW,
            score=score,
            summary=f"new contract {shown(contract.address)} of {shown(contract.creator)} holds "
            f"{_listed(map(shown, marks.addresses))} among its constants, names {len(marks.calls)} functions "
            f"of protected contracts ({_listed(f'0x{each}' for each in marks.calls)}), and takes flash loans "
            f"by {_listed(f'0x{each}' for each in marks.callbacks)}; who deployed it has sent "
            f"{deployer.sent} transactions, and held {deployer.coin_before} wei shortly before and "
            f"{deployer.coin} now",
        )


def find_functions(code: bytes) -> frozenset[str]:
    """The selectors that deployed code answers to, in hexadecimal. Raises `Refused` (OVERSIZED)."""
    require_size(code)
    found = contract_info(code, selectors=True).functions or []
    return frozenset(function.selector for function in found)


def find_constants(code: bytes) -> frozenset[str]:
    """What the code pushes that could be a selector or an address: four bytes, or twenty, also as 32 with
    zeros before them, which is how compilers keep immutable addresses. Raises `Refused` (OVERSIZED)."""
    require_size(code)
    found = set()
    for _, instruction in contract_info(code, disassemble=True).disassembled or []:
        name, _, pushed = instruction.partition(" ")
        if name in {"PUSH4", "PUSH20"}:
            found.add(pushed)
        elif name == "PUSH32" and pushed.startswith("00" * 12):
            found.add(pushed[24:])
        elif name == "PUSH32" and pushed.endswith("00" * 28):
            found.add(pushed[:8])
    return frozenset(found)


def require_size(code: bytes) -> None:
    """Raises `Refused` (OVERSIZED) for more code than is read."""
    if len(code) > MAX_CODE_BYTES:
        raise Refused(
            Reason.OVERSIZED, f"code of {len(code)} bytes; {MAX_CODE_BYTES} are read, and chains take less"
        )


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(values)) or "none"
