"""The edge: whatever an endpoint sends is a frozen value or unusable, and never anything else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.types import BlockHash, BlockNumber, ChainId, Seconds
from node.chain.parse import (
    block_parser,
    logs_parser,
    octets,
    parse_bytes,
    parse_call,
    parse_fee_history,
    parse_log_list,
    parse_quantity,
    parse_word,
    quantity,
    receipt_parser,
)
from node.chain.request import RpcFault, Unusable
from node.chain.types import BlockRef, CallReverted

CHAIN = ChainId(31337)
HASH = BlockHash(b"\x11" * 32)
REF = BlockRef(
    chain_id=CHAIN,
    number=BlockNumber(7),
    hash=HASH,
    parent_hash=BlockHash(b"\x10" * 32),
    timestamp=Seconds(9),
)
HEADER = {
    "number": "0x7",
    "hash": "0x" + "11" * 32,
    "parentHash": "0x" + "10" * 32,
    "timestamp": "0x9",
    "more": 1,
}
LOG = {
    "address": "0x" + "aa" * 20,
    "topics": ["0x" + "01" * 32],
    "data": "0x02",
    "logIndex": "0x0",
    "transactionHash": "0x" + "03" * 32,
    "blockNumber": "0x7",
    "blockHash": "0x" + "11" * 32,
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["0x", "0x1", *HEADER]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*HEADER, *LOG]) | st.text(), inner, max_size=8)
    ),
    max_leaves=12,
)
FAULTS = st.builds(RpcFault, code=st.integers(), message=st.text(), data=st.none() | st.text())


@given(JSON | FAULTS)
def test_every_parser_takes_any_answer_and_raises_nothing_but_unusable(answer: Any) -> None:
    for parse in (
        block_parser(CHAIN),
        logs_parser(REF),
        receipt_parser(HASH),
        parse_bytes,
        parse_call,
        parse_fee_history,
        parse_log_list,
        parse_quantity,
        parse_word,
    ):
        try:
            hash(parse(answer))
        except Unusable:
            continue


@pytest.mark.parametrize(
    "text", ["", "0x", "1", "0x-1", "0x1_0", "0x" + "1" * 65, "0x 1", "0x٣", "-0x1", 1, None]
)
def test_a_quantity_is_hexadecimal_digits_and_nothing_else(text: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        quantity(text)


@pytest.mark.parametrize("text", ["", "00", "0x0", "0x00 11", "0x\n00", "0xzz", 0, None])
def test_bytes_are_pairs_of_hexadecimal_digits_and_nothing_else(text: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|hexadecimal"):
        octets(text)


def test_a_header_is_read_from_what_every_client_sends() -> None:
    assert block_parser(CHAIN, block_hash=HASH, number=BlockNumber(7))(HEADER) == REF


@pytest.mark.parametrize(
    "asked", [{"block_hash": BlockHash(b"\x12" * 32)}, {"number": BlockNumber(8)}], ids=["hash", "number"]
)
def test_a_header_that_was_not_asked_for_is_unusable(asked: dict[str, Any]) -> None:
    with pytest.raises(Unusable, match="asked for"):
        block_parser(CHAIN, **asked)(HEADER)


@pytest.mark.parametrize(
    "altered",
    [{"hash": "0x11"}, {"parentHash": None}, {"number": "0x" + "f" * 17}, {"timestamp": "0x" + "f" * 17}],
)
def test_a_header_with_a_field_out_of_range_is_unusable(altered: dict[str, Any]) -> None:
    with pytest.raises(Unusable):
        block_parser(CHAIN)({**HEADER, **altered})


def test_a_log_of_another_block_makes_the_answer_unusable() -> None:
    assert len(logs_parser(REF)([LOG])) == 1
    with pytest.raises(Unusable, match="asked for the logs of"):
        logs_parser(REF)([{**LOG, "blockHash": "0x" + "12" * 32}])


def test_logs_out_of_order_or_twice_are_unusable() -> None:
    with pytest.raises(Unusable, match="in the order of their index"):
        logs_parser(REF)([LOG, LOG])


@pytest.mark.parametrize(
    "fault",
    [
        RpcFault(code=3, message="execution reverted", data="0x1234"),
        RpcFault(code=-32000, message="execution reverted: nope", data="0x1234"),
        RpcFault(code=-32603, message="EVM error InvalidFEOpcode", data="0x1234"),
        RpcFault(code=-32015, message="VM execution error: Reverted", data="0x1234"),
    ],
)
def test_a_revert_is_a_value(fault: RpcFault) -> None:
    assert parse_call(fault) == CallReverted(data=b"\x12\x34")


@pytest.mark.parametrize(
    "fault",
    [
        RpcFault(code=-32000, message="header not found", data=None),
        RpcFault(code=-32001, message="Resource not found", data=None),
        RpcFault(code=-32000, message="missing trie node 12ab (path )", data=None),
        RpcFault(code=-32005, message="limit exceeded", data=None),
        RpcFault(code=-32000, message="out of gas", data=None),
        RpcFault(code=-32003, message="EVM error: OutOfGas", data=None),
        RpcFault(code=-32000, message="something new", data=None),
        RpcFault(code=3, message="execution reverted", data="no hex"),
    ],
)
def test_whatever_else_goes_wrong_is_not_taken_for_a_revert(fault: RpcFault) -> None:
    with pytest.raises(Unusable):
        parse_call(fault)


def test_the_receipt_of_another_transaction_is_unusable() -> None:
    receipt = {"transactionHash": "0x" + "11" * 32, "blockHash": "0x" + "12" * 32, "blockNumber": "0x7"}
    receipt |= {"status": "0x1", "gasUsed": "0x2"}
    read = receipt_parser(HASH)(receipt)
    assert read is not None
    assert read.succeeded
    with pytest.raises(Unusable, match="asked for"):
        receipt_parser(b"\x13" * 32)(receipt)
