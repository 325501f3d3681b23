// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {ActionState, BatchItem, Level, Outcome} from "../../src/interfaces/IGuardian.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {SymbolicGuardian} from "./SymbolicGuardian.sol";

/// @title RespondCheck: what a delivery can do
/// @notice Any alert, with one leaf or two, from any state of the action. The certificate is empty: AnyVerdict says
///         what it is worth. A delivery that reverts does nothing, which the chain itself sees to.
contract RespondCheck is SymbolicGuardian {
    /// @notice I1: a response that took effect had more than its action's share of the weight behind it.
    function check_I1_RespondedOnlyAboveTheThreshold(
        Alert calldata alert,
        bytes32 leaf,
        State memory state,
        uint256 time,
        uint128 signed,
        uint128 total
    ) external {
        Outcome outcome = respond(alert, leaf, state, time, signed, total);

        if (outcome != Outcome.Acted) assert(guardian.state(ACTION).until == state.until && !valve.paused());
        else assert(isAbove(signed, total, state.thresholdBps));
    }

    /// @notice I1: so does each of two actions in one batch: one that restricts, and one that only tells.
    function check_I1_BatchedOnlyAboveTheThreshold(
        Alert calldata alert,
        bytes32[2] calldata leaves_,
        State memory state,
        State memory told,
        uint256 time,
        uint128 signed,
        uint128 total
    ) external {
        enter(state, time);
        told.level = uint8(Level.Alert);
        vm.assume(told.mark <= 2);
        store(TELL, IAdapter(address(0)), told);
        verifier.find(signed, total);
        bytes32[] memory leaves = new bytes32[](2);
        (leaves[0], leaves[1]) = (leaves_[0], leaves_[1]);
        BatchItem[] memory items = new BatchItem[](2);
        items[0] = BatchItem({leafIndex: 0, actionId: ACTION, params: ""});
        items[1] = BatchItem({leafIndex: 1, actionId: TELL, params: ""});

        Outcome[] memory outcomes = guardian.respondMany(alert, leaves, items, "");

        if (outcomes[0] == Outcome.Acted) assert(isAbove(signed, total, state.thresholdBps));
        if (outcomes[1] == Outcome.Acted) assert(isAbove(signed, total, told.thresholdBps));
    }

    /// @notice I4: an alert acts only when it was observed after all that has ended or was set; so no alert acts twice.
    function check_I4_RespondedOnlyToWhatIsNewer(
        Alert calldata alert,
        bytes32 leaf,
        State memory state,
        uint256 time,
        uint128 signed,
        uint128 total
    ) external {
        if (respond(alert, leaf, state, time, signed, total) != Outcome.Acted) return;

        assert(alert.observedAt > state.observedAfter || state.until != 0);
        // One that ran out and was not cleared counts as ended when it was over.
        assert(alert.observedAt > uint256(state.until) + state.cooldown || state.until == 0);
        assert(alert.observedAt <= time && time <= alert.expiresAt);
        assert(state.until <= time);
    }

    /// @notice I5: a response lasts for the action's `maxDuration` from now on, and its target is restricted by then.
    function check_I5_RespondedForTheMaxDuration(
        Alert calldata alert,
        bytes32 leaf,
        State memory state,
        uint256 time,
        uint128 signed,
        uint128 total
    ) external {
        if (respond(alert, leaf, state, time, signed, total) != Outcome.Acted) return;

        ActionState memory after_ = guardian.state(ACTION);
        assert(after_.until == time + state.maxDuration && after_.startedAt == time);
        assert(after_.budgetFullAt <= time + state.window);
        assert(valve.paused());
    }

    // ---- internals

    function respond(
        Alert calldata alert,
        bytes32 leaf,
        State memory state,
        uint256 time,
        uint128 signed,
        uint128 total
    ) private returns (Outcome) {
        enter(state, time);
        verifier.find(signed, total);
        bytes32[] memory leaves = new bytes32[](1);
        leaves[0] = leaf;
        return guardian.respond(alert, leaves, 0, ACTION, "", "");
    }

    function isAbove(uint128 signed, uint128 total, uint16 thresholdBps) private pure returns (bool) {
        unchecked {
            return 10_000 * uint256(signed) > uint256(total) * thresholdBps;
        }
    }
}
