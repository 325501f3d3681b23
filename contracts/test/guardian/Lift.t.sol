// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {ActionState, IGuardianEvents} from "../../src/interfaces/IGuardianEvents.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice Ends without a quorum: by time through anybody, and by the owner.
contract LiftTest is Guarded {
    function setUp() public {
        setUpGuardian();
        deliver(makeAlert());
    }

    function test_AnyoneExpires() public {
        uint40 until = untilOf(PAUSE);
        vm.warp(until + 1 hours);

        vm.expectEmit(address(guardian));
        emit IGuardianEvents.Expired(PAUSE, until, true);
        vm.prank(makeAddr("stranger"));
        guardian.expire(PAUSE);

        assertFalse(target.paused());
        ActionState memory state = stateOf(PAUSE);
        assertEq(state.until, 0);
        assertEq(state.lastEndedAt, until);
        assertEq(state.observedAfter, until + COOLDOWN);
    }

    function test_RevertIf_ExpiredTooEarly() public {
        uint40 until = untilOf(PAUSE);
        vm.warp(until - 1);

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotYetExpired.selector, until, until - 1));
        guardian.expire(PAUSE);
        vm.warp(until);
        guardian.expire(PAUSE);
    }

    function test_RevertIf_ExpiredTwice() public {
        vm.warp(untilOf(PAUSE));
        guardian.expire(PAUSE);

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotActive.selector, PAUSE));
        guardian.expire(PAUSE);
    }

    function test_ExpiryNeedsNothingOfATargetThatGovernanceOpened() public {
        target.unpause();
        vm.warp(untilOf(PAUSE));
        vm.expectCall(address(target), abi.encodeCall(target.unpause, ()), 0);

        guardian.expire(PAUSE);

        assertEq(untilOf(PAUSE), 0);
        assertFalse(target.paused());
    }

    function test_OwnerLifts() public {
        vm.prank(owner);
        vm.expectEmit(address(guardian));
        emit IGuardianEvents.Lifted(PAUSE, uint40(vm.getBlockTimestamp()), true);
        guardian.lift(PAUSE);

        assertFalse(target.paused());
        assertEq(untilOf(PAUSE), 0);
        assertEq(stateOf(PAUSE).observedAfter, vm.getBlockTimestamp() + COOLDOWN);
    }

    function test_RevertIf_StrangerLiftsOrAdopts() public {
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.lift(PAUSE);
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.adopt(PAUSE);
    }

    function test_AdoptedRestrictionStays() public {
        uint40 until = untilOf(PAUSE);
        vm.prank(owner);
        vm.expectEmit(address(guardian));
        emit IGuardianEvents.Adopted(PAUSE, uint40(vm.getBlockTimestamp()));
        guardian.adopt(PAUSE);
        vm.warp(until + 1);

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotActive.selector, PAUSE));
        guardian.expire(PAUSE);
        assertTrue(target.paused());
    }

    function test_RevertIf_NothingToLiftOrAdopt() public {
        vm.startPrank(owner);
        guardian.lift(PAUSE);

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotActive.selector, PAUSE));
        guardian.lift(PAUSE);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotActive.selector, PAUSE));
        guardian.adopt(PAUSE);
    }
}
