// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {Level} from "../interfaces/IGuardian.sol";
import {Mark, Standing, Terms} from "../libraries/ActionWords.sol";
import {AdapterLib} from "../libraries/AdapterLib.sol";
import {Alert, AlertLib} from "../libraries/AlertLib.sol";
import {AnchorLib} from "../libraries/AnchorLib.sol";
import {GuardianRestrictions} from "./GuardianRestrictions.sol";

/// @title GuardianChecks: may this alert do this, here and now?
/// @notice Everything but the signatures, and all before them: what is refused here costs its sender little. None
///         of it depends on who sends.
abstract contract GuardianChecks is GuardianRestrictions {
    using AlertLib for Alert;

    // ---- of the delivery

    /// @dev Chain and address are read here and never cached: a fork of the chain is another chain.
    function _checkLeaf(
        bytes32[] calldata actionLeaves,
        uint256 leafIndex,
        bytes32 actionId,
        bytes calldata params
    ) internal view {
        uint256 leaves = actionLeaves.length;
        if (leaves > AlertLib.MAX_ACTIONS) revert LeafCountInvalid(leaves, AlertLib.MAX_ACTIONS);
        if (leafIndex >= leaves) revert LeafIndexOutOfRange(leafIndex, leaves);
        bytes32 paramsHash = EfficientHashLib.hashCalldata(params);
        bytes32 expected = AlertLib.actionLeaf(block.chainid, address(this), actionId, paramsHash);
        bytes32 given = actionLeaves[leafIndex];
        if (given != expected) revert LeafMismatch(given, expected);
    }

    // ---- of the alert, whatever it asks for

    function _checkAlert(Alert calldata alert, uint256 verdict) internal view {
        if (alert.verdictOf() != verdict) revert VerdictMismatch(alert.verdictOf(), verdict);
        bytes32 approved = _policyHash;
        if (alert.policyHash != approved || approved == bytes32(0)) {
            revert PolicyNotApproved(alert.policyHash, approved);
        }
        _checkWindow(alert.observedAtOf(), alert.expiresAtOf());
        if (alert.isInduced()) _checkCause(alert);
        if (alert.sourceChainId == block.chainid) _checkAnchor(alert.anchorNumber, alert.anchorHash);
    }

    function _checkWindow(uint256 observedAt, uint256 expiresAt) private view {
        if (observedAt > block.timestamp) revert AlertFromFuture(observedAt, block.timestamp);
        if (expiresAt < block.timestamp) revert AlertExpired(expiresAt, block.timestamp);
        // From the two lines above: observedAt <= now <= expiresAt.
        unchecked {
            if (expiresAt == observedAt || expiresAt - observedAt > AlertLib.MAX_TTL) {
                revert AlertWindowInvalid(observedAt, expiresAt, AlertLib.MAX_TTL);
            }
        }
    }

    /// @dev An induced alert follows from another guardian's response: the owner must have said that it depends
    ///      on others, and how long a chain of causes it accepts.
    function _checkCause(Alert calldata alert) private view {
        uint8 depth = alert.causeDepth;
        if (depth == 0 || alert.causeDigest == bytes32(0)) revert CauseInvalid(alert.causeDigest, depth);
        if (_dependencies.length == 0) revert NoDependencies();
        if (depth > _maxCauseDepth) revert CauseTooDeep(depth, _maxCauseDepth);
    }

    /// @dev An alert about a block that never was. Out of the chain's memory the quorum's word stands alone.
    function _checkAnchor(uint256 number, bytes32 hash) private view {
        uint256 current = _blockNumber();
        if (number >= current) revert AnchorNotPast(number, current);
        bytes32 known = _blockHash(number);
        if (known != hash && known != bytes32(0)) revert AnchorUnknownBlock(number, hash);
    }

    // ---- of the action

    /// @dev Where the action will stand once the alert has restricted; reverts where the alert may not.
    function _admit(Alert calldata alert, bytes32 actionId, Terms terms, Standing standing)
        internal
        view
        returns (Standing)
    {
        uint256 over = standing.until();
        // Ran out and not yet cleared: what `expire` would write.
        uint256 observedAfter = over == 0 ? standing.observedAfter() : over + terms.cooldown();
        if (alert.observedAtOf() <= observedAfter) revert AlertTooOld(alert.observedAtOf(), observedAfter);
        if (alert.isInduced() && terms.level() != Level.Limit) _checkPredecessor(actionId);
        return _begun(actionId, standing, terms.maxDuration(), Mark.None);
    }

    /// @dev Limits before pauses: what follows from another's response may freeze or pause only while the limit
    ///      that the owner named is in force, by the book and by the target's own word.
    function _checkPredecessor(bytes32 actionId) private view {
        bytes32 predecessor = _predecessors[actionId];
        Terms terms = _actions[predecessor].terms;
        if (
            terms.level() != Level.Limit || block.timestamp >= _actions[predecessor].standing.until()
                || !AdapterLib.isRestricted(terms.adapter())
        ) revert PredecessorNotInForce(actionId, predecessor);
    }

    /// @dev An all-clear must have seen the restriction that it ends, and wait for the owner's minimum.
    function _checkHold(Alert calldata alert, bytes32 actionId, Standing standing) internal view {
        uint256 startedAt = standing.startedAt();
        if (alert.observedAtOf() <= startedAt) revert AlertTooOld(alert.observedAtOf(), startedAt);
        uint32 minHold = _liftTerms[actionId].minHold;
        if (minHold == type(uint32).max) revert AllClearNotAllowed(actionId);
        uint256 heldUntil = startedAt + minHold;
        if (block.timestamp < heldUntil) revert HeldUntil(heldUntil, block.timestamp);
    }

    // ---- this chain's blocks

    function _blockNumber() internal view virtual returns (uint256) {
        return block.number;
    }

    function _blockHash(uint256 number) internal view virtual returns (bytes32) {
        return AnchorLib.blockHash(number);
    }
}
