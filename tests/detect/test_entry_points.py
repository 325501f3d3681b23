"""Which functions of a new contract are tried, and with what."""

from __future__ import annotations

import pytest

from consensus.errors import Reason, Refused
from node.detect.entry_points import MAX_ENTRY_POINTS, find_entry_points
from node.detect.new_contract import MAX_CODE_BYTES
from node.trace import Account
from tests.detect.test_new_contract import LOAN, TOKEN, code_of, selector
from tests.simulate.worlds import assemble

DEPLOYER = Account("0x" + "ee" * 20)
ONE = (1).to_bytes(32, "big")
AN_ADDRESS = assemble(f"0x04 CALLDATALOAD 0x{'ff' * 20}") + bytes.fromhex("1650")
A_NUMBER = assemble("0x24 CALLDATALOAD 0x01 ADD POP")
BYTES = assemble("0x04 CALLDATALOAD 0x04 ADD DUP1 CALLDATALOAD SWAP1 0x20 ADD 0x00 CALLDATACOPY")
STORE = assemble("0x01 0x00 SSTORE STOP")


def test_simple_functions_are_called_with_the_deployer_and_ones() -> None:
    (plain,) = find_entry_points(code_of("go()")[:-1] + STORE, DEPLOYER)
    (filled,) = find_entry_points(
        code_of("go(address,uint256)")[:-1] + AN_ADDRESS + A_NUMBER + STORE, DEPLOYER
    )

    assert (plain.selector, plain.data) == (selector("go()"), bytes.fromhex(selector("go()")))
    assert filled.data[4:] == bytes(12) + bytes.fromhex(DEPLOYER[2:]) + ONE


def test_functions_of_other_arguments_are_left_out() -> None:
    many = b"".join(assemble(f"0x{4 + 32 * place:02x} CALLDATALOAD 0x01 ADD POP") for place in range(4))

    assert find_entry_points(code_of("go()")[:-1] + BYTES + STORE, DEPLOYER) == ()
    assert find_entry_points(code_of("go()")[:-1] + many + STORE, DEPLOYER) == ()
    assert len(find_entry_points(code_of("go()")[:-1] + many[: len(many) // 4 * 3] + STORE, DEPLOYER)) == 1


def test_callbacks_and_what_every_token_has_are_left_out() -> None:
    found = find_entry_points(code_of("go()", LOAN, *TOKEN)[:-1] + STORE, DEPLOYER)

    assert [each.selector for each in found] == [selector("go()")]


def test_functions_that_only_look_are_left_out() -> None:
    start = code_of("look()")[:-1]
    not_payable = bytes.fromhex(f"34801560{len(start) + 9:02x}575f5ffd5b50")  # as compilers write it
    look = assemble("0x00 SLOAD 0x00 MSTORE 0x20 0x00 RETURN")

    assert find_entry_points(start + not_payable + look, DEPLOYER) == ()
    assert len(find_entry_points(start + not_payable + STORE, DEPLOYER)) == 1


def test_at_most_so_many_are_taken_and_the_order_in_the_code_does_not_matter() -> None:
    names = [f"go{number}()" for number in range(MAX_ENTRY_POINTS + 1)]

    found = find_entry_points(code_of(*names)[:-1] + STORE, DEPLOYER)

    assert [each.selector for each in found] == sorted(map(selector, names))[:MAX_ENTRY_POINTS]
    assert found == find_entry_points(code_of(*reversed(names))[:-1] + STORE, DEPLOYER)


def test_more_code_than_any_chain_takes_is_refused() -> None:
    with pytest.raises(Refused) as raised:
        find_entry_points(bytes(MAX_CODE_BYTES + 1), DEPLOYER)
    assert raised.value.reason is Reason.OVERSIZED
