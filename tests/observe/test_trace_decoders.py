"""What nodes answer is a stranger's: decoders refuse with words, and nothing else ever comes out of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.fields import address_from_hex
from consensus.types import BlockHash, BlockNumber
from node.chain.types import Log
from node.observe import call_trees, execution, step_logs
from node.observe.call_trees import MAX_DEPTH, parse_call_program, parse_call_tracer, parse_trace_block
from node.observe.execution import Call, Step, StepKind, attach_steps, outline
from node.observe.step_logs import find_replayed, parse_program, parse_struct_logs, parse_vm_trace
from node.observe.transfers import TRANSFER, read_transfer
from node.trace import Account, CallKind, Token, TokenUnits, Transfer

REFUSED = (ValueError, TypeError, RecursionError, msgspec.MsgspecError)
ONE, TWO = Account("0x" + "11" * 20), Account("0x" + "22" * 20)
HASH, BLOCK = "0x" + "aa" * 32, "0x" + "bb" * 32
WATCHED = frozenset({TWO})

words = st.sampled_from(["0x0", "0x1", "0x" + "ff" * 32, "0x", "1", "", "0x" + "f" * 65, "0xzz", "0x_1"])
NAMES = """
    type from to input value error calls result txHash action callType traceAddress blockHash
    op depth stack transactionHash structLogs steps vmTrace code ops pc ex push sub key
    CALL CREATE call create suicide
"""
names = st.sampled_from(NAMES.split())
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**65),
    st.floats(),
    words,
    names,
    st.sampled_from([str(ONE), str(TWO), HASH, BLOCK, "0x6001600055", "load", "store", "enter", "SLOAD"]),
)
answers = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=6),
    max_leaves=30,
)


def make_call(**changes: Any) -> Call:
    fields: dict[str, Any] = {
        "kind": CallKind.CALL,
        "sender": ONE,
        "to": TWO,
        "selector": "",
        "value_wei": 0,
        "has_failed": False,
    }
    return Call(**{**fields, **changes})


def refused_or_fine(parse: Callable[[], object]) -> None:
    try:
        parse()
    except REFUSED:
        return


@given(answers)
def test_no_answer_gets_past_a_tree_decoder_with_another_error(answer: Any) -> None:
    refused_or_fine(lambda: parse_call_tracer(answer, [HASH]))
    refused_or_fine(lambda: parse_call_program(answer, [HASH]))
    refused_or_fine(lambda: parse_trace_block(answer, [HASH], BLOCK))


call_rows = st.lists(
    st.tuples(
        st.integers(-1, 4),
        st.sampled_from(["CALL", "CREATE", "SELFDESTRUCT", "JUMP"]),
        st.sampled_from([str(ONE), "0x1"]),
        st.sampled_from([str(TWO), "0x", None]),
        words,
        words,
        st.integers(0, 1),
    ).map(list),
    max_size=8,
)


@given(call_rows)
def test_flat_calls_of_any_shape_are_read_or_refused(rows: Any) -> None:
    refused_or_fine(
        lambda: outline(parse_call_program([{"result": {"calls": rows}}], [HASH])[0].root, WATCHED)
    )


@given(answers)
def test_no_answer_gets_past_a_step_decoder_with_another_error(answer: Any) -> None:
    refused_or_fine(lambda: parse_program(answer))
    refused_or_fine(lambda: parse_struct_logs(answer))
    refused_or_fine(lambda: parse_vm_trace(answer, make_call()))
    refused_or_fine(lambda: find_replayed(answer, HASH))


geth_calls = st.recursive(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["CALL", "CREATE", "SELFDESTRUCT", "DELEGATECALL", "JUMP"]),
            "from": st.sampled_from([str(ONE), str(TWO), "0x1"]),
        },
        optional={
            "to": st.sampled_from([str(ONE), str(TWO)]),
            "value": words,
            "error": st.just("out of gas"),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("CALL"), "from": st.just(str(ONE)), "to": st.just(str(TWO))},
        optional={"calls": st.lists(inner, max_size=3)},
    ),
    max_leaves=12,
)
program_rows = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 4), st.sampled_from(["load", "store"]), words, words).map(list),
        st.tuples(st.integers(0, 4), st.just("call"), st.sampled_from([str(ONE), str(TWO)])).map(list),
        st.tuples(st.integers(0, 4), st.sampled_from(["enter", "create", "load"])).map(list),
    ),
    max_size=12,
)


@given(geth_calls, program_rows)
def test_trees_and_steps_that_contradict_each_other_are_refused_and_no_more(tree: Any, rows: Any) -> None:
    def read() -> None:
        (calls,) = parse_call_tracer([{"result": tree}], [HASH])
        attach_steps(calls.root, parse_program({"steps": rows}))
        outline(calls.root, WATCHED)

    refused_or_fine(read)


vm_operations = st.lists(
    st.fixed_dictionaries(
        {"pc": st.integers(-1, 12)},
        optional={
            "op": st.sampled_from(["SLOAD", "SSTORE", "CALL", "PUSH1", "DUP3", "SWAP2", "FOO", "CREATE"]),
            "ex": st.fixed_dictionaries({}, optional={"push": st.lists(words, max_size=3)}),
            "sub": st.none() | st.just({"code": "0x00", "ops": [{"pc": 0}]}) | st.just({"x": 1}),
        },
    ),
    max_size=12,
)


@given(vm_operations, st.sampled_from(["0x", "0x5f545555f1", "0x6001", "00"]))
def test_a_vm_trace_of_any_operations_is_read_or_refused(operations: Any, code: str) -> None:
    root = make_call(children=[make_call(), make_call(kind=CallKind.CREATE)])
    answer = {"vmTrace": {"code": code, "ops": operations}}
    refused_or_fine(lambda: attach_steps(root, parse_vm_trace(answer, root)))


@given(st.lists(st.binary(min_size=32, max_size=32) | st.just(TRANSFER), max_size=5), st.binary(max_size=70))
def test_any_event_is_a_transfer_or_none(topics: list[bytes], data: bytes) -> None:
    log = replace(make_log(*topics), data=data)
    transfer = read_transfer(log)
    assert transfer is None or (len(topics) == 3 and topics[0] == TRANSFER and len(data) == 32)


def make_log(*topics: bytes) -> Log:
    return Log(
        address=address_from_hex("0x" + "11" * 20),
        topics=topics,
        data=bytes(31) + b"\x07",
        index=0,
        transaction_hash=bytes(32),
        block_number=BlockNumber(1),
        block_hash=BlockHash(bytes(32)),
    )


def test_a_transfers_topics_must_be_addresses() -> None:
    one, two, no_address = bytes(12) + b"\x11" * 20, bytes(12) + b"\x22" * 20, b"\x01" * 32

    assert read_transfer(make_log(TRANSFER, one, two)) == Transfer(Token(ONE), ONE, TWO, TokenUnits(7))
    assert read_transfer(make_log(TRANSFER, no_address, two)) is None
    assert read_transfer(make_log(TRANSFER, one, no_address)) is None


def geth_row(**changes: Any) -> dict[str, Any]:
    return {"type": "CALL", "from": str(ONE), "to": str(TWO), "input": "0x", "value": "0x0", **changes}


def parity_row(*address: int, **changes: Any) -> dict[str, Any]:
    action = {"from": str(ONE), "to": str(TWO), "callType": "call", "input": "0x", "value": "0x0"}
    return {
        "type": "call",
        "action": {**action, **changes.pop("action", {})},
        "traceAddress": list(address),
        "blockHash": BLOCK,
        "transactionHash": HASH,
        **changes,
    }


def nested(depth: int) -> list[dict[str, Any]]:
    return [parity_row(*[0] * level) for level in range(depth)]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "each of the block's 1 transactions, came 0"),
        ([{"result": geth_row(), "txHash": "0x" + "cc" * 32}], "expected the trace of 0xaaaa"),
        ([{"result": geth_row(type="JUMP")}], "unknown type 'JUMP'"),
        ([{"result": geth_row(to=None)}], "without an address"),
        ([{"result": geth_row(type="CREATE", to=None)}], "without an address"),
        ([{"result": geth_row(to="0x12")}], "expected an address"),
        ([{"result": geth_row(value="0x" + "f" * 65)}], "expected a quantity"),
    ],
)
def test_a_tree_of_calls_that_is_none_is_refused_with_the_reason(rows: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_call_tracer(rows, [HASH])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([parity_row(blockHash="0x" + "cc" * 32)], "expected traces of block 0xbb"),
        ([parity_row(transactionHash="0x" + "cc" * 32)], "not in the block"),
        ([parity_row(), parity_row()], "there twice"),
        ([parity_row(0)], "out of order"),
        ([parity_row(), parity_row(1)], "out of order"),
        ([], "traces of the block's 1 transactions, came 0"),
        ([parity_row(type="jump")], "unknown type 'jump'"),
        ([parity_row(action={"callType": "selfdestruct"})], "unknown type 'selfdestruct'"),
        (nested(MAX_DEPTH + 1), "nested deeper"),
    ],
)
def test_flat_traces_that_are_none_are_refused_with_the_reason(rows: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_trace_block(rows, [HASH], BLOCK)


def program_call(depth: int, **changes: Any) -> list[Any]:
    row = {"type": "CALL", "from": str(ONE), "to": str(TWO), "value": None, "input": "0x", "failed": 0}
    return [depth, *{**row, **changes}.values()]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "at least the transaction's own call"),
        ([program_call(1)], "depth 1 after one at -1"),
        ([program_call(0), program_call(0)], "depth 0 after one at 0"),
        ([program_call(0), program_call(2)], "depth 2 after one at 0"),
        ([program_call(0, type="JUMP")], "unknown type"),
        ([program_call(0, to="0x")], "expected an address"),
        ([program_call(0), program_call(1)], "a selfdestruct is told so"),
        ([program_call(n, **{"from": str(TWO)}) for n in range(MAX_DEPTH + 1)], "nested deeper"),
    ],
)
def test_flat_calls_that_are_none_are_refused_with_the_reason(rows: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_call_program([{"result": {"calls": rows}}], [HASH])


def test_flat_calls_of_another_transaction_are_refused() -> None:
    row = {"result": {"calls": [program_call(0)]}, "txHash": BLOCK}
    with pytest.raises(ValueError, match="expected the trace of 0xaaaa"):
        parse_call_program([row], [HASH])


@pytest.mark.parametrize(
    "parse",
    [
        lambda: parse_call_program(
            [{"result": {"calls": [program_call(0), *[program_call(1, **{"from": str(TWO)})] * 2]}}], [HASH]
        ),
        lambda: parse_call_tracer([{"result": geth_row(calls=[geth_row()] * 2)}], [HASH]),
        lambda: parse_trace_block([parity_row(), parity_row(0), parity_row(1)], [HASH], BLOCK),
    ],
)
def test_more_calls_than_a_block_can_pay_for_are_refused(
    parse: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    parse()
    monkeypatch.setattr(call_trees, "MAX_CALLS", 2)
    with pytest.raises(ValueError, match="more than 2 calls"):
        parse()


def test_rewards_are_no_transactions() -> None:
    reward = {**parity_row(), "type": "reward", "transactionHash": None}
    (calls,) = parse_trace_block([parity_row(), reward], [HASH], BLOCK)
    assert calls.root.to == TWO


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([Step(3, StepKind.LOAD)], "depth 3 within 1 calls"),
        ([Step(0, StepKind.LOAD)], "depth 0"),
        ([Step(1, StepKind.CALL, callee=ONE), Step(2, StepKind.ENTER)], "not in the tree of calls"),
        ([Step(1, StepKind.LOAD)], "in the tree of calls and not in the steps"),
    ],
)
def test_steps_that_do_not_fit_the_tree_are_refused(steps: list[Step], words: str) -> None:
    root = make_call(children=[make_call()])
    with pytest.raises(ValueError, match=words):
        attach_steps(root, steps)


def test_more_steps_than_a_transaction_can_pay_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "MAX_STEPS", 2)
    monkeypatch.setattr(step_logs, "MAX_STEPS", 2)
    row = [1, "load", "0x0", "0x0"]

    assert len(parse_program({"steps": [row] * 2})) == 2
    with pytest.raises(ValueError, match="more than 2"):
        parse_program({"steps": [row] * 3})
    with pytest.raises(ValueError, match="at most 2"):
        attach_steps(make_call(), [Step(1, StepKind.LOAD)] * 3)


def test_more_frames_or_accesses_than_are_kept_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "MAX_FRAMES", 2)
    monkeypatch.setattr(execution, "MAX_KEPT_ACCESSES", 2)
    within = make_call(content=[make_call()])
    three = make_call(content=[make_call(content=[make_call()])])
    busy = make_call()
    attach_steps(busy, [Step(1, StepKind.LOAD)] * 3)

    assert len(outline(within, WATCHED).frames) == 2
    with pytest.raises(ValueError, match="more than 2 calls"):
        outline(three, WATCHED)
    with pytest.raises(ValueError, match="more than 2 storage accesses"):
        outline(busy, WATCHED)


def test_struct_logs_without_a_step_say_nothing() -> None:
    with pytest.raises(ValueError, match="does not keep them"):
        parse_struct_logs({"structLogs": []})


def test_a_vm_trace_that_uses_a_word_it_never_told_is_refused() -> None:
    operations = [{"pc": 0, "op": "CALLDATASIZE"}, {"pc": 1, "op": "SLOAD", "ex": {"push": ["0x1"]}}]
    with pytest.raises(ValueError, match="does not tell"):
        parse_vm_trace({"vmTrace": {"code": "0x", "ops": operations}}, make_call())


def test_a_vm_trace_without_code_and_names_is_refused() -> None:
    with pytest.raises(ValueError, match="of 0 bytes of code"):
        parse_vm_trace({"vmTrace": {"code": "0x", "ops": [{"pc": 0}]}}, make_call())


def test_a_vm_trace_is_read_by_its_code_where_names_are_not_told() -> None:
    def operation(at: int, *push: str) -> dict[str, Any]:
        return {"pc": at, "ex": {"push": list(push)}}

    # PUSH0 SLOAD PUSH1 1 ADD PUSH0 SSTORE, as Parity tells it
    operations = [operation(0, "0x0"), operation(1, "0x7"), operation(2, "0x1"), operation(4, "0x8")]
    operations += [operation(5, "0x0"), operation(6)]

    steps = parse_vm_trace({"vmTrace": {"code": "0x5f546001015f55", "ops": operations}}, make_call())

    assert steps == (
        Step(1, StepKind.LOAD, slot=0, value=7),
        Step(1, StepKind.STORE, slot=0, value=8),
    )


def test_a_transaction_that_was_not_replayed_is_missed() -> None:
    with pytest.raises(ValueError, match="not among the 1"):
        find_replayed([{"transactionHash": BLOCK}], HASH)


def struct_log(op: str, depth: int = 1, *stack: str) -> dict[str, Any]:
    return {"op": op, "depth": depth, "stack": list(stack)}


def test_more_raw_steps_than_an_answer_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_logs, "MAX_RAW_STEPS", 2)
    three = [{"pc": 0, "op": "PC"}] * 3

    with pytest.raises(ValueError, match="at most 2"):
        parse_struct_logs({"structLogs": [struct_log("PC")] * 3})
    with pytest.raises(ValueError, match="more than 2"):
        parse_vm_trace({"vmTrace": {"code": "0x", "ops": three}}, make_call())


def test_too_many_accesses_of_any_source_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_logs, "MAX_STEPS", 2)
    logs = [struct_log("SSTORE", 1, "0x1", "0x0")] * 3
    operations = [{"pc": 0, "op": "PUSH0", "ex": {"push": ["0x0"]}}] * 6 + [{"pc": 0, "op": "SSTORE"}] * 3

    with pytest.raises(ValueError, match="more than 2 storage accesses"):
        parse_struct_logs({"structLogs": logs})
    with pytest.raises(ValueError, match="more than 2 storage accesses"):
        parse_vm_trace({"vmTrace": {"code": "0x", "ops": operations}}, make_call())


def test_struct_logs_are_read_with_and_without_the_prefix_of_their_words() -> None:
    logs = [
        struct_log("SLOAD", 1, "0" * 63 + "5"),
        struct_log("CALL", 1, "0x0", str(TWO), "0x9"),
        struct_log("STOP", 2),
        struct_log("STOP", 1),
    ]

    assert parse_struct_logs({"structLogs": logs}) == (
        Step(1, StepKind.LOAD, slot=5, value=9),
        Step(1, StepKind.CALL, callee=TWO),
        Step(2, StepKind.ENTER),
    )


@pytest.mark.parametrize(
    ("parse", "words"),
    [
        (lambda: parse_program({"steps": [[1, "jump"]]}), "unknown form"),
        (lambda: parse_program({"steps": [[1, "load", "0x0"]]}), "unknown form"),
        (lambda: parse_struct_logs({"structLogs": [struct_log("SSTORE", 1, "0x0")]}), "at least 2 words"),
        (lambda: parse_vm_trace({"vmTrace": None}, make_call()), "came none"),
        (lambda: parse_vm_trace({"vmTrace": {"code": "0x", "ops": []}}, make_call()), "an empty one"),
        (
            lambda: parse_vm_trace(
                {"vmTrace": {"code": "0x", "ops": [{"pc": 0, "op": "FOO"}, {"pc": 1, "op": "STOP"}]}},
                make_call(),
            ),
            "unknown name 'FOO'",
        ),
    ],
)
def test_steps_that_are_none_are_refused_with_the_reason(parse: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse()


def test_a_list_of_replayed_transactions_must_be_one() -> None:
    with pytest.raises(TypeError, match="expected a list"):
        find_replayed({}, HASH)
