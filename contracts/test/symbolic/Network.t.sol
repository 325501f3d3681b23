// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    ActionConfig,
    Dependency,
    IGuardian,
    IGuardianOffice,
    Level,
    LiftTerms,
    TankTerms
} from "../../src/interfaces/IGuardian.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {SymbolicGuardian} from "./SymbolicGuardian.sol";

/// @title NetworkCheck: what nobody but the owner can do, whatever they call and whatever the verifier finds
contract NetworkCheck is SymbolicGuardian {
    /// @notice I6: what governance has restricted at the target stays restricted, and out of the guardian's book.
    ///         One response or all-clear with one leaf, one end by time, or one grace that another action asks for.
    function check_I6_GovernancesRestrictionStays(
        Alert calldata alert,
        bytes32 leaf,
        State memory state,
        uint256 time,
        uint128 signed,
        uint128 total,
        uint32 minHold,
        uint8 choice
    ) external {
        enter(state, time);
        allowClear(minHold);
        vm.assume(state.until == 0);
        verifier.find(signed, total);
        valve.pause();
        bytes32[] memory leaves = new bytes32[](1);
        leaves[0] = leaf;

        if (choice == 0) guardian.respond(alert, leaves, 0, ACTION, "", "");
        else if (choice == 1) guardian.clear(alert, leaves, 0, ACTION, "", "");
        else grace(bytes32("other"), type(uint24).max);

        assert(valve.paused() && guardian.state(ACTION).until == 0);
    }

    /// @notice I6: nobody but the owner ends by `expire` what governance has restricted, since the book has none.
    function check_I6_NothingExpiresThatTheBookHasNot(State memory state, uint256 time, bytes32 actionId)
        external
    {
        enter(state, time);
        vm.assume(state.until == 0);
        valve.pause();

        (bool ok,) = address(guardian).call(abi.encodeCall(IGuardianOffice.expire, (actionId)));

        assert(!ok && valve.paused());
    }

    /// @notice I5: a grace lasts no longer than asked for and than its own action may, and never cuts short or prolongs
    ///         a restriction that runs.
    function check_I5_AGraceFitsItsAction(
        State memory state,
        uint256 time,
        uint24 graceSeconds,
        bool isPaused
    ) external {
        enter(state, time);
        if (isPaused) valve.pause();

        grace(bytes32("other"), graceSeconds);

        uint256 until = guardian.state(ACTION).until;
        if (until == state.until) return;
        assert(until <= time + state.maxDuration && until <= time + graceSeconds);
        assert(state.until <= time && valve.paused());
    }

    /// @notice I1, I6: nobody but the owner changes actions, their terms, the policy, the tank, or takes money out.
    function check_I6_OnlyTheOwnerChangesTerms(
        State memory state,
        ActionConfig memory config,
        LiftTerms memory lift,
        TankTerms memory tank,
        bytes32 word,
        address payable caller,
        uint256 time
    ) external {
        enter(state, time);
        vm.assume(caller != OWNER && caller != address(guardian));
        vm.assume(uint8(config.level) <= uint8(Level.Pause));

        assertRefused(caller, abi.encodeCall(IGuardianOffice.initialize, (caller, word)));
        assertRefused(caller, abi.encodeCall(IGuardianOffice.setPolicy, (word)));
        assertRefused(caller, abi.encodeCall(IGuardianOffice.setAction, (word, config)));
        assertRefused(caller, abi.encodeCall(IGuardianOffice.removeAction, (word)));
        assertRefused(caller, abi.encodeCall(IGuardianOffice.setLiftTerms, (word, lift)));
        assertRefused(caller, abi.encodeCall(IGuardianOffice.setPredecessor, (word, ACTION)));
        assertRefused(caller, abi.encodeCall(IGuardianOffice.setMaxCauseDepth, (uint8(uint256(word)))));
        assertRefused(caller, abi.encodeCall(IGuardianOffice.setDependencies, (new Dependency[](1))));
        assertRefused(caller, abi.encodeCall(IGuardianOffice.setTank, (tank)));
        assertRefused(caller, abi.encodeCall(IGuardianOffice.withdraw, (caller, uint256(word))));
        assertRefused(caller, abi.encodeCall(IGuardianOffice.beginGrace, (word, ACTION, 1)));
        assertRefused(caller, abi.encodeCall(IGuardian.completeOwnershipHandover, (caller)));
        assertRefused(caller, abi.encodeWithSignature("transferOwnership(address)", caller));
        assertRefused(caller, abi.encodeWithSignature("renounceOwnership()"));
    }

    // ---- internals

    function assertRefused(address caller, bytes memory data) private {
        vm.prank(caller);
        (bool ok,) = address(guardian).call(data);
        assert(!ok);
    }

    /// @dev As the end of another action asks for it.
    function grace(bytes32 ended, uint24 graceSeconds) private {
        vm.prank(address(guardian));
        guardian.beginGrace(ended, ACTION, graceSeconds);
    }
}
