"""Signals: one integer each, read at a block. Here: what a contract returns, a slot of storage, a balance.

`events.py` and `prices.py` have the others. Only ABI types of one word are read, so that an answer's place in
the returned bytes is fixed and no length that a contract claims is ever followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from consensus.errors import Reason, Refused
from consensus.fields import WORD_BYTES, keccak256, require_address
from consensus.types import Address
from node.evaluate.expressions import Undefined
from node.evaluate.problems import did_you_mean
from node.evaluate.views import View, Wants

MAX_ARGUMENTS: Final = 16
MAX_RETURNS: Final = 32
_SELECTOR_BYTES: Final = 4

CALL: Final = re.compile(
    r"(?P<contract>[a-z][a-z0-9_]*)\.(?P<function>[A-Za-z_][A-Za-z0-9_]{0,63})"
    r"\((?P<takes>[a-z0-9, ]*)\)\s*\((?P<gives>[a-z0-9, ]*)\)",
    re.ASCII,
)
_WORD_TYPE: Final = re.compile(r"address|bool|u?int(?P<bits>[0-9]+)|bytes(?P<bytes>[0-9]+)", re.ASCII)
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*(_[0-9]+)*)", re.ASCII)
_HEXADECIMAL: Final = re.compile(r"0x([0-9a-fA-F]{2})*", re.ASCII)


class Signal(Protocol):
    """One integer of a block, by its name in the policy."""

    @property
    def name(self) -> str: ...

    def wants(self) -> Wants:
        """What `read` will ask of the block itself, so that many signals are fetched in one round trip."""
        ...

    async def read(self, view: View) -> int | Undefined:
        """The value at the view's block, or why it has none there. Raises `Unavailable`."""
        ...

    def form(self) -> dict[str, object]:
        """What enters the policy's hash."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSignal:
    """One value of one call; `call` is its canonical spelling, `contract` the name of the target."""

    name: str
    contract: str
    call: str
    to: Address
    calldata: bytes
    return_types: tuple[str, ...]
    position: int

    def wants(self) -> Wants:
        return Wants(calls=((self.to, self.calldata),))

    async def read(self, view: View) -> int | Undefined:
        returned = await read_call(self.name, view, self.to, self.calldata)
        return returned if isinstance(returned, Undefined) else self.decode(returned)

    def form(self) -> dict[str, object]:
        return {
            "contract": self.contract,
            "call": self.call,
            "calldata": f"0x{self.calldata.hex()}",
            "returns": self.position,
        }

    def decode(self, returned: bytes) -> int | Undefined:
        """The integer in what the contract returned; address, bool and fixed bytes count as a number."""
        expected = WORD_BYTES * len(self.return_types)
        if len(returned) < expected:
            found = "no contract is there, or it" if not returned else "it"
            return Undefined(
                Reason.SIGNAL_UNDEFINED,
                f"{self.name}: {self.call} on {self.to} should return {expected} bytes; {found} returned "
                f"{len(returned)}",
            )
        try:
            value = decode(self.return_types, returned[:expected])[self.position]
        except DecodingError:
            return Undefined(
                Reason.SIGNAL_UNDEFINED,
                f"{self.name}: {self.call} on {self.to} returned words that are not of these types",
            )
        return as_integer(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSignal:
    """`bits` bits of one slot, from `lowest_bit` on, as an unsigned integer."""

    name: str
    contract: str
    account: Address
    slot: int
    lowest_bit: int
    bits: int

    def wants(self) -> Wants:
        return Wants(slots=((self.account, self.slot),))

    async def read(self, view: View) -> int | Undefined:
        word = int.from_bytes(await view.storage(self.account, self.slot), "big")
        return word >> self.lowest_bit & (1 << self.bits) - 1

    def form(self) -> dict[str, object]:
        return {
            "storage": self.contract,
            "slot": f"0x{self.slot:064x}",
            "lowest_bit": self.lowest_bit,
            "bits": self.bits,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceSignal:
    """Native coin of an account, in wei; a token's balance is a `CallSignal` of `balanceOf`."""

    name: str
    contract: str
    account: Address

    def wants(self) -> Wants:
        return Wants(balances=(self.account,))

    async def read(self, view: View) -> int | Undefined:
        return await view.balance(self.account)

    def form(self) -> dict[str, object]:
        return {"balance": self.contract}


async def read_call(name: str, view: View, to: Address, calldata: bytes) -> bytes | Undefined:
    """What a contract returns; a revert is a fact of the chain, and means that there is no value."""
    try:
        return await view.eth_call(to, calldata)
    except Refused as error:
        if error.reason is not Reason.CALL_REVERTED:
            raise
        return Undefined(Reason.SIGNAL_UNDEFINED, f"{name}: {error.message}")


def as_integer(value: object) -> int:
    """A decoded value of one word; address, bool and fixed bytes count as their number."""
    if isinstance(value, str):
        return int(value, 16)
    if isinstance(value, bytes):
        return int.from_bytes(value, "big")
    assert isinstance(value, int)
    return int(value)


def selector(signature: str) -> bytes:
    """The first four bytes of calldata."""
    return keccak256(signature.encode())[:_SELECTOR_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallText:
    """A call as it was written: `contract.function(types)(types)`."""

    contract: str
    function: str
    argument_types: tuple[str, ...]
    return_types: tuple[str, ...]

    def signature(self) -> str:
        """The spelling that the selector is the hash of."""
        return f"{self.function}({','.join(self.argument_types)})"

    def canonical(self) -> str:
        return f"{self.signature()}({','.join(self.return_types)})"


def parse_call(text: str) -> CallText:
    """Read `contract.function(types)(types)`. Raises `Refused` (POLICY_INVALID) and says what to write."""
    match = CALL.fullmatch(text)
    if match is None:
        raise Refused(
            Reason.POLICY_INVALID,
            f"expected contract.function(types)(return types), came {text[:80]!r}; write for example "
            "`token.balanceOf(address)(uint256)`",
        )
    argument_types = _parse_types(match["takes"], most=MAX_ARGUMENTS)
    return_types = _parse_types(match["gives"], most=MAX_RETURNS)
    if not return_types:
        raise Refused(Reason.POLICY_INVALID, f"{text!r} returns nothing; a signal is what a call returns")
    return CallText(
        contract=match["contract"],
        function=match["function"],
        argument_types=argument_types,
        return_types=return_types,
    )


def encode_call(call: CallText, arguments: tuple[str, ...], *, addresses: dict[str, Address]) -> bytes:
    """Selector and arguments. An address may be the name of one of the policy's contracts.

    Raises `Refused` (POLICY_INVALID) for an argument that is not of its type.
    """
    if len(arguments) != len(call.argument_types):
        raise Refused(
            Reason.POLICY_INVALID,
            f"{call.signature()} takes {len(call.argument_types)} arguments, {len(arguments)} came; write "
            "`args: […]` in the order of the types",
        )
    values = [
        parse_argument(abi_type, text, addresses=addresses)
        for abi_type, text in zip(call.argument_types, arguments, strict=True)
    ]
    try:
        encoded = encode(call.argument_types, values)
    except EncodingError as error:
        raise Refused(
            Reason.POLICY_INVALID, f"the arguments do not fit {call.signature()}: {error}"
        ) from None
    return selector(call.signature()) + encoded


def _parse_types(text: str, *, most: int) -> tuple[str, ...]:
    if not text.strip():
        return ()
    types = tuple(each.strip() for each in text.split(","))
    if len(types) > most:
        raise Refused(Reason.POLICY_INVALID, f"at most {most} types are read, {len(types)} came")
    for each in types:
        if not is_word_type(each):
            raise Refused(
                Reason.POLICY_INVALID,
                f"{each!r} is not a type of one word; write uint8 … uint256, int8 … int256, address, bool or "
                "bytes1 … bytes32 (uint and int in full: uint256, int256)",
            )
    return types


def is_word_type(text: str) -> bool:
    """Whether an ABI type takes exactly one word."""
    match = _WORD_TYPE.fullmatch(text)
    if match is None:
        return False
    if match["bits"] is not None:
        return match["bits"] in {str(bits) for bits in range(8, 257, 8)}
    return match["bytes"] is None or match["bytes"] in {str(length) for length in range(1, WORD_BYTES + 1)}


def parse_argument(abi_type: str, text: str, *, addresses: dict[str, Address]) -> object:
    """A value of a type of one word, as it was written. Raises `Refused` (POLICY_INVALID)."""
    if abi_type == "address":
        return _parse_address(text, addresses=addresses)
    if abi_type == "bool":
        if text not in ("true", "false"):
            raise Refused(Reason.POLICY_INVALID, f"expected true or false for a bool, came {text[:80]!r}")
        return text == "true"
    if abi_type.startswith("bytes"):
        length = int(abi_type.removeprefix("bytes"))
        if not _HEXADECIMAL.fullmatch(text) or len(text) != 2 + 2 * length:
            raise Refused(
                Reason.POLICY_INVALID,
                f"expected 0x and {2 * length} hex digits for {abi_type}, came {text[:80]!r}",
            )
        return bytes.fromhex(text[2:])
    if len(text) > 2 * WORD_BYTES * 4 or not _DECIMAL.fullmatch(text):
        raise Refused(Reason.POLICY_INVALID, f"expected a whole number for {abi_type}, came {text[:80]!r}")
    return int(text)


def _parse_address(text: str, *, addresses: dict[str, Address]) -> Address:
    if not text.startswith("0x"):
        if text not in addresses:
            raise Refused(
                Reason.POLICY_INVALID,
                f"{text[:80]!r} is neither an address nor a contract of this policy"
                f"{did_you_mean(text, addresses)}",
            )
        return addresses[text]
    try:
        require_address("argument", text)
    except Refused as error:
        raise Refused(Reason.POLICY_INVALID, error.message) from None
    return Address(text)
