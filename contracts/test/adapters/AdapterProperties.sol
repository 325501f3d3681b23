// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {TargetAdapter} from "../../src/adapters/TargetAdapter.sol";

/// @title AdapterProperties: what holds for every adapter, whatever it does
/// @notice The suite of an adapter sets `adapter` and `target`, without the right on the target, and says below what
///         is its own.
abstract contract AdapterProperties is Test {
    /// @dev Never ends; answers with a megabyte; fails with a megabyte; answers everything with all ones.
    bytes private constant BURNS_GAS = hex"5b5f56";
    bytes private constant RETURNS_MEGABYTE = hex"620f42405ff3";
    bytes private constant REVERTS_MEGABYTE = hex"620f42405ffd";
    bytes internal constant ANSWERS_ALL_ONES = hex"5f195f5260205ff3";

    /// @dev What the guardian gives for each, at the least.
    uint256 private constant GUARDIAN_READ_GAS = 150_000;
    uint256 private constant GUARDIAN_READY_GAS = 1_000_000;

    address internal guardian = makeAddr("guardian");
    address internal governance = makeAddr("governance");

    IAdapter internal adapter;
    address internal target;

    // ---- what each adapter says of itself

    /// @dev Gives the adapter the right that it needs.
    function grantRight() internal virtual;

    /// @dev The reason that readiness names without it.
    function missingRight() internal pure virtual returns (bytes32);

    /// @dev Whether the target is restricted, asked without the adapter.
    function isRestricted() internal view virtual returns (bool);

    /// @dev Governance ends the restriction at the target.
    function liftByGovernance() internal virtual;

    /// @dev Parameters that `engage` takes.
    function parameters() internal view virtual returns (bytes memory) {
        return "";
    }

    /// @dev Whether a release gives back what engaging took.
    function gives() internal pure virtual returns (bool) {
        return true;
    }

    /// @dev Share of the weight that it asks for beyond its level's floor, bps.
    function floorBps() internal pure virtual returns (uint16) {
        return 0;
    }

    // ---- steps

    function engage() internal {
        bytes memory params = parameters();
        vm.prank(guardian);
        adapter.engage(params);
    }

    function release() internal returns (bool) {
        vm.prank(guardian);
        return adapter.release();
    }

    function expectReady(bytes32 expected) internal view {
        (bool ok, bytes32 reason) = adapter.ready();
        assertEq(reason, expected);
        assertEq(ok, expected == bytes32(0));
    }

    // ---- properties

    function testFuzz_RevertIf_CallerIsNotItsGuardian(address caller) public {
        vm.assume(caller != guardian);
        grantRight();
        bytes memory params = parameters();
        bytes memory reason = abi.encodeWithSelector(IAdapter.NotGuardian.selector, caller, guardian);

        vm.startPrank(caller);
        vm.expectRevert(reason);
        adapter.engage(params);
        vm.expectRevert(reason);
        adapter.release();

        assertFalse(isRestricted());
    }

    function testFuzz_RevertIf_ParametersAreNotOfTheLengthThatItTakes(bytes memory params) public {
        uint256 taken = parameters().length;
        vm.assume(params.length != taken);
        grantRight();

        vm.prank(guardian);
        vm.expectRevert(
            taken == 0
                ? abi.encodeWithSelector(IAdapter.ParametersNotTaken.selector, params.length)
                : abi.encodeWithSelector(TargetAdapter.ParametersInvalid.selector, params.length, taken)
        );
        adapter.engage(params);

        assertFalse(isRestricted());
    }

    function test_AsksForNoMoreWeightThanItsEffectDeserves() public view {
        assertEq(adapter.floorBps(), floorBps());
    }

    function test_ReadinessNamesTheMissingRight() public {
        expectReady(missingRight());

        grantRight();
        expectReady(bytes32(0));
    }

    function test_RevertIf_TheRightIsMissing() public virtual {
        bytes memory params = parameters();

        vm.prank(guardian);
        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        adapter.engage(params);

        assertFalse(isRestricted());
    }

    function test_EngagedIsWhatTheTargetSays() public {
        grantRight();
        assertFalse(adapter.engaged());

        engage();
        assertTrue(isRestricted());
        assertTrue(adapter.engaged());
        liftByGovernance();
        assertFalse(isRestricted());
        assertFalse(adapter.engaged());
    }

    function test_ReleaseEndsTheRestrictionOrLeavesItToTheOwner() public {
        grantRight();
        engage();

        assertEq(release(), gives());
        assertEq(isRestricted(), !gives());
        assertEq(adapter.engaged(), !gives());
    }

    function test_T33_OfATargetWithoutCodeNothingIsKnownAndNothingDone() public virtual {
        grantRight();
        bytes memory params = parameters();
        vm.etch(target, "");

        vm.expectRevert(abi.encodeWithSelector(TargetAdapter.TargetUnreadable.selector, target));
        adapter.engaged();
        (bool ok,) = adapter.ready();
        assertFalse(ok);
        vm.prank(guardian);
        vm.expectRevert();
        adapter.engage(params);
    }

    function test_T33_HostileTargetCannotKeepTheAdapterFromAnswering() public virtual {
        grantRight();
        bytes[4] memory codes = [BURNS_GAS, RETURNS_MEGABYTE, REVERTS_MEGABYTE, ANSWERS_ALL_ONES];

        for (uint256 i = 0; i < codes.length; i++) {
            vm.etch(target, codes[i]);

            uint256 before = gasleft();
            try adapter.engaged() {} catch {}
            assertLt(before - gasleft(), GUARDIAN_READ_GAS);
            before = gasleft();
            (bool ok, bytes32 reason) = adapter.ready();
            assertLt(before - gasleft(), GUARDIAN_READY_GAS);
            assertTrue(ok || reason != bytes32(0), "a reason is given");
        }
    }

    /// @dev A megabyte costs the target 2.2 million gas to write. Copied, it would cost as much again.
    function test_T33_WhatAHostileTargetAnswersIsNotCopied() public virtual {
        grantRight();
        bytes memory params = parameters();
        vm.etch(target, REVERTS_MEGABYTE);

        vm.prank(guardian);
        (bool ok, bytes memory reason) =
            address(adapter).call{gas: 4_000_000}(abi.encodeCall(IAdapter.engage, (params)));

        assertFalse(ok);
        assertLt(reason.length, 600);
    }

    function test_RevertIf_ConstructedForNobodyOrNothing() public virtual {
        vm.expectRevert(TargetAdapter.GuardianZero.selector);
        this.constructOutside(address(0), target);
        vm.expectRevert(abi.encodeWithSelector(TargetAdapter.TargetHasNoCode.selector, governance));
        this.constructOutside(guardian, governance);
    }

    /// @dev As a call, so that a test goes on after a refusal however forge links the adapter.
    function constructOutside(address guardian_, address target_) external returns (IAdapter) {
        return construct(guardian_, target_);
    }

    /// @dev Constructs another adapter like `adapter`.
    function construct(address guardian_, address target_) internal virtual returns (IAdapter);
}
