// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {IGuardianOffice, Outcome} from "../../src/interfaces/IGuardian.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {AnyAdapter, SymbolicGuardian} from "./SymbolicGuardian.sol";

/// @title EndsCheck: who ends a restriction, and when
/// @notice From any state of one action without a grace action. Where an end must succeed, a revert fails the check.
contract EndsCheck is SymbolicGuardian {
    /// @notice I7: the owner lifts at once and without a condition; a target that lets go is free, and the book says so.
    function check_I7_TheOwnerLiftsAtOnce(State memory state, uint256 time, bool isPaused) external {
        enter(state, time);
        vm.assume(state.until != 0);
        if (isPaused) valve.pause();

        assert(isDone(OWNER, abi.encodeCall(IGuardianOffice.lift, (ACTION))));

        assert(guardian.state(ACTION).until == 0 && !valve.paused());
    }

    /// @notice I7: the owner makes a restriction its own, whatever the adapter does; the target stays as it is.
    function check_I7_TheOwnerAdopts(State memory state, uint256 time, bool isPaused) external {
        enter(state, time);
        vm.assume(state.until != 0);
        if (isPaused) valve.pause();

        assert(isDone(OWNER, abi.encodeCall(IGuardianOffice.adopt, (ACTION))));

        assert(guardian.state(ACTION).until == 0 && valve.paused() == isPaused);
    }

    /// @notice I7: a disconnection succeeds whatever the adapter does, and no policy is approved after it.
    function check_I7_DisconnectSucceedsWhateverTheTargetDoes(State memory state, uint256 time) external {
        enter(state, time);
        store(ACTION, IAdapter(address(new AnyAdapter())), state);

        assert(isDone(OWNER, abi.encodeCall(IGuardianOffice.disconnect, ())));

        assert(guardian.policyHash() == bytes32(0));
    }

    /// @notice I6: nobody but the owner lifts, adopts or disconnects.
    function check_I6_OnlyTheOwnerEndsAtWill(State memory state, uint256 time, address caller) external {
        enter(state, time);
        vm.assume(caller != OWNER && caller != address(guardian));

        assert(!isDone(caller, abi.encodeCall(IGuardianOffice.lift, (ACTION))));
        assert(!isDone(caller, abi.encodeCall(IGuardianOffice.adopt, (ACTION))));
        assert(!isDone(caller, abi.encodeCall(IGuardianOffice.disconnect, ())));
        assert(!isDone(caller, abi.encodeWithSignature("liftOne(bytes32)", ACTION)));
    }

    /// @notice I5: anybody ends what is over, and a target that lets go is free after it. I6: nobody before.
    function check_I5_AnybodyEndsWhatIsOver(State memory state, uint256 time, bool isPaused, address caller)
        external
    {
        enter(state, time);
        vm.assume(caller != address(guardian));
        if (isPaused) valve.pause();

        bool isDone_ = isDone(caller, abi.encodeCall(IGuardianOffice.expire, (ACTION)));

        assert(isDone_ == (state.until != 0 && state.until <= time));
        if (isDone_) assert(guardian.state(ACTION).until == 0 && !valve.paused());
        else assert(guardian.state(ACTION).until == state.until && valve.paused() == isPaused);
    }

    /// @notice I6: an all-clear ends a restriction only with a quorum above the action's threshold that has seen the
    ///         restriction, after the owner's minimum, and never where the owner has not said that it may.
    function check_I6_AnAllClearNeedsTheQuorumAndTheHold(
        Alert calldata alert,
        bytes32 leaf,
        State memory state,
        uint32 minHold,
        uint256 time,
        uint128 signed,
        uint128 total
    ) external {
        enter(state, time);
        allowClear(minHold);
        verifier.find(signed, total);
        valve.pause();
        bytes32[] memory leaves = new bytes32[](1);
        leaves[0] = leaf;

        Outcome outcome = guardian.clear(alert, leaves, 0, ACTION, "", "");

        if (outcome != Outcome.Acted) {
            assert(guardian.state(ACTION).until == state.until && valve.paused());
            return;
        }
        unchecked {
            assert(10_000 * uint256(signed) > uint256(total) * state.thresholdBps);
        }
        assert(alert.verdict == AlertLib.VERDICT_CLEAR);
        assert(alert.observedAt > state.startedAt && time < state.until);
        assert(minHold != type(uint32).max && time >= uint256(state.startedAt) + minHold);
    }

    function isDone(address caller, bytes memory data) private returns (bool ok) {
        vm.prank(caller);
        (ok,) = address(guardian).call(data);
    }
}
