// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IGuardianOffice} from "../interfaces/IGuardian.sol";
import {Mark, Standing, Terms} from "../libraries/ActionWords.sol";
import {AdapterLib} from "../libraries/AdapterLib.sol";
import {BoundedCall} from "../libraries/BoundedCall.sol";
import {GuardianRestrictions} from "./GuardianRestrictions.sol";
import {GuardianTerms} from "./GuardianTerms.sol";

/// @title GuardianEnds: who ends a restriction without a quorum
/// @notice Time, through anybody; and the owner, at once and without a condition.
abstract contract GuardianEnds is GuardianTerms, GuardianRestrictions {
    // ---- the owner

    /// @inheritdoc IGuardianOffice
    function lift(bytes32 actionId) external onlyOwner nonReentrant {
        _lift(actionId);
    }

    /// @inheritdoc IGuardianOffice
    function adopt(bytes32 actionId) external onlyOwner nonReentrant {
        Standing standing = _requireActive(actionId);
        _close(actionId, standing, block.timestamp);
        emit Adopted(actionId, uint40(block.timestamp));
    }

    /// @inheritdoc IGuardianOffice
    /// @dev Each release gets an equal share of the gas, so that a target that burns its share leaves the others
    ///      theirs.
    function disconnect() external onlyOwner nonReentrant {
        _setPolicy(bytes32(0));
        emit Disconnected();
        bytes32[] memory active = _activeActions();
        for (uint256 i = 0; i < active.length; ++i) {
            uint256 share = gasleft() / (active.length - i + 1);
            (bool ok, bytes memory reason) =
                BoundedCall.call(address(this), share, abi.encodeCall(this.liftOne, (active[i])));
            if (!ok) emit ReleaseFailed(active[i], reason);
        }
    }

    // ---- anyone

    /// @inheritdoc IGuardianOffice
    function expire(bytes32 actionId) external nonReentrant {
        Standing standing = _requireActive(actionId);
        // The time at which it was over, not the time of this call: nobody moves the cooldown by waiting.
        uint256 endedAt = standing.until();
        if (block.timestamp < endedAt) revert NotYetExpired(uint40(endedAt), block.timestamp);
        bool released = _end(actionId, standing, endedAt);
        emit Expired(actionId, uint40(endedAt), released);
        _refundExpiry();
    }

    // ---- itself

    /// @notice One release of a disconnection. Only this guardian itself.
    function liftOne(bytes32 actionId) external onlySelf {
        _lift(actionId);
    }

    /// @inheritdoc IGuardianOffice
    function beginGrace(bytes32 ended, bytes32 graceAction, uint24 graceSeconds) external onlySelf {
        Terms terms = _actions[graceAction].terms;
        if (terms.isAlertOnly()) revert UnknownAction(graceAction);
        Standing standing = _actions[graceAction].standing;
        // In force already, by the network or by governance: that is what the grace is for.
        if (block.timestamp < standing.until()) return;
        bool isRestricted = AdapterLib.isRestricted(terms.adapter());
        if (isRestricted && standing.until() == 0) return;
        if (graceSeconds > terms.maxDuration()) graceSeconds = terms.maxDuration();
        standing = _begun(graceAction, standing, graceSeconds, Mark.Grace);
        _actions[graceAction].standing = standing;
        // Without parameters: an empty piece of calldata.
        if (!isRestricted) AdapterLib.engage(terms.adapter(), graceAction, terms.minGas(), msg.data[:0]);
        emit GraceBegun(graceAction, ended, uint40(standing.startedAt()), uint40(standing.until()));
    }

    /// @dev Those without a grace action come first: what they restrict may be what another's grace sets next.
    function _activeActions() private view returns (bytes32[] memory active) {
        bytes32[] memory ids = _actionIds;
        active = new bytes32[](ids.length);
        uint256 count = 0;
        for (uint256 i = 0; i < 2 * ids.length; ++i) {
            bytes32 actionId = ids[i % ids.length];
            bool isTurn = (_liftTerms[actionId].graceAction == bytes32(0)) == (i < ids.length);
            if (isTurn && _actions[actionId].standing.until() != 0) active[count++] = actionId;
        }
        assembly ("memory-safe") {
            mstore(active, count)
        }
    }

    function _requireActive(bytes32 actionId) private view returns (Standing standing) {
        standing = _actions[actionId].standing;
        if (standing.until() == 0) revert NotActive(actionId);
    }

    function _lift(bytes32 actionId) private {
        bool released = _end(actionId, _requireActive(actionId), block.timestamp);
        emit Lifted(actionId, uint40(block.timestamp), released);
    }
}
