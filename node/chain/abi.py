"""A contract's packaged ABI: calldata out, return values, events and errors in. Encoding is eth-abi's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, cast

import msgspec
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_typing import ABI, ABIElement, ABIEvent, ABIFunction
from eth_utils.abi import (
    abi_to_signature,
    event_abi_to_log_topic,
    filter_abi_by_name,
    filter_abi_by_type,
    function_signature_to_4byte_selector,
    get_abi_input_types,
    get_abi_output_types,
)

from consensus.errors import Broken, Reason, Refused
from node.chain.types import Log

SELECTOR_BYTES = 4
# what Solidity itself reverts with
_BUILT_IN_ERRORS = {"Error(string)": ("Error", ("string",)), "Panic(uint256)": ("Panic", ("uint256",))}


class _File(msgspec.Struct):
    abi: list[dict[str, Any]]
    bytecode: str
    runtime: str = "0x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One compiled contract: how to talk to it and, where it can be deployed, its creation code."""

    name: str
    abi: ABI
    bytecode: str
    runtime: bytes = b""
    """Code as it stands on a chain; only of what is run without being deployed."""

    def encode(self, function: str, *arguments: object) -> bytes:
        """Calldata of one call."""
        element = cast(ABIFunction, self._one(function, "function"))
        return selector(element) + encode(get_abi_input_types(element), arguments)

    def decode(self, function: str, data: bytes) -> tuple[Any, ...]:
        """What a view returned. Raises `Refused(CONTRACT_MISMATCH)` where the bytes are not its type."""
        element = cast(ABIFunction, self._one(function, "function"))
        return self._decode(get_abi_output_types(element), data, f"{self.name}.{function}")

    def calls(self, function: str, data: bytes) -> bool:
        """Whether calldata is that of a call to this function."""
        return data.startswith(selector(cast(ABIFunction, self._one(function, "function"))))

    def decode_call(self, function: str, data: bytes) -> tuple[Any, ...]:
        """The arguments in calldata of this function. Raises `Refused(CONTRACT_MISMATCH)`."""
        element = cast(ABIFunction, self._one(function, "function"))
        where = f"calldata of {self.name}.{function}"
        return self._decode(get_abi_input_types(element), data[SELECTOR_BYTES:], where)

    def topic(self, event: str) -> bytes:
        """The first topic of an event's logs."""
        return bytes(event_abi_to_log_topic(cast(ABIEvent, self._one(event, "event"))))

    def decode_log(self, event: str, log: Log) -> dict[str, Any]:
        """An event's arguments by name; indexed ones of fixed size among them. Raises `Refused`."""
        element = cast(ABIEvent, self._one(event, "event"))
        indexed = [argument for argument in element["inputs"] if argument["indexed"]]
        plain = [argument for argument in element["inputs"] if not argument["indexed"]]
        if not log.topics or log.topics[0] != self.topic(event) or len(log.topics) != 1 + len(indexed):
            raise Refused(
                Reason.CONTRACT_MISMATCH, f"expected the topics of {self.name}.{event}, came others"
            )
        where = f"{self.name}.{event}"
        values = {
            argument["name"]: self._decode([argument["type"]], topic, where)[0]
            for argument, topic in zip(indexed, log.topics[1:], strict=True)
        }
        decoded = self._decode([argument["type"] for argument in plain], log.data, where)
        return values | {argument["name"]: value for argument, value in zip(plain, decoded, strict=True)}

    def _one(self, name: str, kind: str) -> ABIElement:
        found = [element for element in filter_abi_by_name(name, self.abi) if element["type"] == kind]
        if len(found) != 1:
            raise Broken(
                f"{self.name} has {len(found)} {kind}s named {name}, one was expected; run `make contracts`"
            )
        return found[0]

    def _decode(self, types: Sequence[str], data: bytes, where: str) -> tuple[Any, ...]:
        try:
            return tuple(decode(types, data))
        except (DecodingError, OverflowError, UnicodeDecodeError) as error:
            raise Refused(
                Reason.CONTRACT_MISMATCH,
                f"{where} answers ({', '.join(types)}), came {len(data)} bytes that are not; "
                "is another contract, or none, at this address?",
            ) from error


@cache
def load_artifact(name: str) -> Artifact:
    """The packaged contract `name`. Raises `Broken` where the package was built without it."""
    try:
        raw = resources.files("node.chain").joinpath("abi", f"{name}.json").read_bytes()
    except FileNotFoundError as error:
        raise Broken(f"no packaged contract {name}; run `make contracts`") from error
    file = msgspec.json.decode(raw, type=_File)
    return Artifact(
        name=name, abi=cast(ABI, file.abi), bytecode=file.bytecode, runtime=bytes.fromhex(file.runtime[2:])
    )


def selector(element: ABIFunction) -> bytes:
    """First four bytes of a call to this function."""
    return bytes(function_signature_to_4byte_selector(abi_to_signature(element)))


def describe_revert(data: bytes, *artifacts: Artifact) -> str:
    """A revert in words: its custom error with the arguments by name, where one of the contracts has it."""
    if len(data) < SELECTOR_BYTES:
        return "reverted without a reason"
    for artifact in artifacts:
        for element in filter_abi_by_type("error", artifact.abi):
            signature = abi_to_signature(element)
            if function_signature_to_4byte_selector(signature) == data[:SELECTOR_BYTES]:
                names = [argument["name"] for argument in element.get("inputs", [])]
                return _phrase(element["name"], get_abi_input_types(element), data, names)
    for signature, (name, types) in _BUILT_IN_ERRORS.items():
        if function_signature_to_4byte_selector(signature) == data[:SELECTOR_BYTES]:
            return _phrase(name, types, data, [""])
    return f"reverted with 0x{data[:68].hex()}"


def _phrase(name: str, types: Sequence[str], data: bytes, names: Sequence[str]) -> str:
    try:
        values = decode(types, data[SELECTOR_BYTES:])
    except (DecodingError, OverflowError, UnicodeDecodeError):
        return f"{name}(unreadable arguments)"
    shown = [f"0x{value.hex()}" if isinstance(value, bytes) else str(value) for value in values]
    return f"{name}({', '.join(f'{n}={v}' if n else v for n, v in zip(names, shown, strict=True))})"
