"""New contract: code that was made to call a protected contract with borrowed money.

Most attacks are run by a contract that is deployed shortly before. Its code holds the victim's address or the
selectors that it will call there, and a function by which a lender gives it a flash loan. The score counts
these: 2 for a protected address among its constants, 1 for each function of a protected contract that it
names, at most 3, and 4 for a flash-loan callback. Functions that every token has count for nothing. So a
score of 6 takes borrowed money *and* a victim; an honest integrator, which borrows nothing, ends at 5. It
calls a person and no more: contracts are cheap, and anybody can deploy one that looks like this. Cost: one
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
HIGHEST_SCORE: Final = ADDRESS_POINTS + CALL_POINTS * MOST_CALLS + CALLBACK_POINTS


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

    def judge(self, contract: NewContract) -> Evidence | None:
        """What is strange about it; None: nothing. Raises `Refused` (OVERSIZED) for more code than any chain
        takes."""
        constants = find_constants(contract.code)
        addresses = {account for account in self._protected if account[2:] in constants}
        calls = self._functions & constants
        callbacks = CALLBACKS & find_functions(contract.code)
        score = (
            ADDRESS_POINTS * bool(addresses)
            + CALL_POINTS * min(MOST_CALLS, len(calls))
            + CALLBACK_POINTS * bool(callbacks)
        )
        if score < self._least_score:
            return None
        return Evidence(
            detector=NAME,
            family=Family.FLOW,
            score=score,
            summary=f"new contract {shown(contract.address)} of {shown(contract.creator)} holds "
            f"{_listed(map(shown, addresses))} among its constants, names {len(calls)} functions of "
            f"protected contracts ({_listed(f'0x{each}' for each in calls)}), and takes flash loans by "
            f"{_listed(f'0x{each}' for each in callbacks)}",
        )


def find_functions(code: bytes) -> frozenset[str]:
    """The selectors that deployed code answers to, in hexadecimal. Raises `Refused` (OVERSIZED)."""
    _require_size(code)
    found = contract_info(code, selectors=True).functions or []
    return frozenset(function.selector for function in found)


def find_constants(code: bytes) -> frozenset[str]:
    """What the code pushes that could be a selector or an address: four bytes, or twenty, also as 32 with
    zeros before them, which is how compilers keep immutable addresses. Raises `Refused` (OVERSIZED)."""
    _require_size(code)
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


def _require_size(code: bytes) -> None:
    if len(code) > MAX_CODE_BYTES:
        raise Refused(
            Reason.OVERSIZED, f"code of {len(code)} bytes; {MAX_CODE_BYTES} are read, and chains take less"
        )


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(values)) or "none"
