// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IInterchainSecurityModule, ISM_ROUTING} from "../../src/standards/IInterchainSecurityModule.sol";
import {GuardedIsm} from "../../src/standards/GuardedIsm.sol";
import {IRestrictions} from "../../src/standards/IRestrictions.sol";
import {FixedIsm, MailApp, Mailbox} from "../mocks/Mailbox.sol";
import {Guarded} from "../support/Guarded.sol";

contract GuardedIsmTest is Guarded {
    Mailbox internal mailbox = new Mailbox();
    MailApp internal app = new MailApp();
    FixedIsm internal inner = new FixedIsm(5, "signatures");
    GuardedIsm internal ism;

    function setUp() public {
        setUpGuardian();
        ism = new GuardedIsm(inner, IRestrictions(address(guardian)), PAUSE);
        app.setModule(ism);
    }

    function messageOf(bytes memory body) internal view returns (bytes memory) {
        return
            abi.encodePacked(
                uint8(3), uint32(0), uint32(1), bytes32("sender"), uint32(2), abi.encode(app), body
            );
    }

    function expectRestricted(uint64 until) internal {
        bytes memory reason = abi.encodeWithSelector(
            GuardedIsm.Restricted.selector, keccak256(messageOf("late")), PAUSE, until
        );
        vm.expectRevert(reason);
        mailbox.process("signatures", messageOf("late"));
        vm.expectRevert(reason);
        ism.route(messageOf("late"));
    }

    function test_InnerModuleDecidesWhileNothingIsInForce() public {
        mailbox.process("signatures", messageOf("hello"));

        assertEq(app.last(), "hello");
        vm.expectRevert("Mailbox: ISM verification failed");
        mailbox.process("forged", messageOf("another"));
    }

    function test_RelayersMakeTheInnerModulesMetadata() public view {
        assertEq(ism.moduleType(), ISM_ROUTING);
        assertEq(address(ism.route(messageOf("hello"))), address(inner));
    }

    function test_RevertIf_ActionIsInForce() public {
        deliver(makeAlert());

        expectRestricted(untilOf(PAUSE));
        assertEq(app.last(), "");
    }

    function test_MessagesGoOnWhenItIsOver() public {
        deliver(makeAlert());
        uint64 until = untilOf(PAUSE);

        vm.warp(until - 1);
        expectRestricted(until);
        vm.warp(until);
        mailbox.process("signatures", messageOf("late"));

        assertEq(app.last(), "late");
    }

    function test_MessagesGoOnWhenTheOwnerLifts() public {
        deliver(makeAlert());

        vm.prank(owner);
        guardian.lift(PAUSE);
        mailbox.process("signatures", messageOf("late"));

        assertEq(app.last(), "late");
    }

    function test_AnotherActionStopsNothing() public {
        app.setModule(new GuardedIsm(inner, IRestrictions(address(guardian)), "another"));
        deliver(makeAlert());

        mailbox.process("signatures", messageOf("hello"));

        assertEq(app.last(), "hello");
    }

    function test_RevertIf_OneOfItsAddressesIsNobody() public {
        address nobody = makeAddr("nobody");

        vm.expectRevert();
        this.deployWith(IInterchainSecurityModule(nobody), IRestrictions(address(guardian)));
        vm.expectRevert();
        this.deployWith(inner, IRestrictions(nobody));
    }

    /// @dev As a call, so that a test goes on after a refusal however forge links the contract.
    function deployWith(IInterchainSecurityModule inner_, IRestrictions restrictions) external {
        new GuardedIsm(inner_, restrictions, PAUSE);
    }
}
