// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IGuardianOffice, LiftTerms} from "../interfaces/IGuardian.sol";
import {Mark, Standing, Terms} from "../libraries/ActionWords.sol";
import {AdapterLib} from "../libraries/AdapterLib.sol";
import {BoundedCall} from "../libraries/BoundedCall.sol";
import {TimeBudget} from "../libraries/TimeBudget.sol";
import {GuardianTank} from "./GuardianTank.sol";

/// @title GuardianRestrictions: how a restriction begins and how it ends
/// @notice A restriction begins when the effect is read back from the target, and ends by its time, by the owner,
///         or by an all-clear. State is written first, then the target is called; a call that fails takes the
///         state back with it. Where something must be tried without stopping the rest (a grace action, the
///         next release of a disconnection), this contract calls itself, so that a failure leaves no trace, and
///         one for want of gas is told apart from the target's own.
abstract contract GuardianRestrictions is GuardianTank {
    // ---- begin

    /// @dev The standing with a restriction of `duration` seconds from now on, taken from the action's budget.
    function _begun(bytes32 actionId, Standing standing, uint256 duration, Mark mark)
        internal
        view
        returns (Standing)
    {
        (bool ok, uint256 fullAt) = TimeBudget.spend(
            standing.budgetFullAt(), block.timestamp, duration, standing.budget(), standing.window()
        );
        if (!ok) revert BudgetSpent(actionId, fullAt - standing.window());
        unchecked {
            return standing.begun(block.timestamp, block.timestamp + duration, fullAt, mark);
        }
    }

    // ---- end

    /// @dev Ends a restriction: the book first, then the grace action, then the target, so that nothing happens
    ///      between the two. A grace has no grace.
    function _end(bytes32 actionId, Standing standing, uint256 endedAt) internal returns (bool released) {
        bool isGrace = standing.mark() == Mark.Grace;
        _close(actionId, standing, endedAt);
        if (!isGrace) _tryGrace(actionId);
        released = AdapterLib.release(_actions[actionId].terms.adapter(), actionId);
        if (!released) _actions[actionId].standing = _actions[actionId].standing.leftToOwner();
    }

    /// @dev The unused part goes back into the budget.
    function _close(bytes32 actionId, Standing standing, uint256 endedAt) internal {
        uint256 fullAt = standing.budgetFullAt();
        if (standing.until() > endedAt) {
            fullAt = TimeBudget.giveBack(
                fullAt, endedAt, standing.until() - endedAt, standing.budget(), standing.window()
            );
        }
        _actions[actionId].standing =
            standing.ended(endedAt, endedAt + _actions[actionId].terms.cooldown(), fullAt);
    }

    function _tryGrace(bytes32 ended) private {
        LiftTerms memory terms = _liftTerms[ended];
        if (terms.graceAction == bytes32(0)) return;
        (bool ok, bytes memory reason) = BoundedCall.call(
            address(this),
            gasleft(),
            abi.encodeCall(IGuardianOffice.beginGrace, (ended, terms.graceAction, terms.graceSeconds))
        );
        if (ok) return;
        _requireNotStarved(reason, _actions[terms.graceAction].terms.minGas());
        emit GraceFailed(terms.graceAction, ended, reason);
    }

    /// @dev What this contract's own call to itself failed with: no word at all means that the gas ran out here,
    ///      since whatever a target does is wrapped in an error. Who sends too little must not choose what fails.
    function _requireNotStarved(bytes memory reason, uint256 minGas) internal view {
        if (reason.length < 4 || bytes4(reason) == GasTooLow.selector) {
            revert GasTooLow(gasleft(), minGas, AdapterLib.RESERVE_GAS);
        }
    }
}
