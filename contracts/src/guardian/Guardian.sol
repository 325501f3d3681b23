// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {BatchItem, IGuardianOffice, IGuardianResponse, Outcome} from "../interfaces/IGuardian.sol";
import {IAdapter} from "../interfaces/IAdapter.sol";
import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";
import {Action, Standing, Terms} from "../libraries/ActionWords.sol";
import {AdapterLib} from "../libraries/AdapterLib.sol";
import {Alert, AlertLib} from "../libraries/AlertLib.sol";
import {AnchorLib} from "../libraries/AnchorLib.sol";
import {BoundedCall} from "../libraries/BoundedCall.sol";
import {QuorumLib} from "../libraries/QuorumLib.sol";
import {QuorumCall} from "../libraries/QuorumCall.sol";
import {GuardianChecks} from "./GuardianChecks.sol";
import {GuardianOffice} from "./GuardianOffice.sol";

/// @title Guardian: brakes one protocol on the word of a quorum, for a bounded time
/// @notice Design. A clone without an upgrade path; verifier and network are immutables of the implementation.
///         The owner fixes actions beforehand, each with an adapter that holds the right on one target; the
///         guardian itself holds no right on anybody. Anyone may deliver a certificate: the alert must be about
///         a policy that the owner approved, be in its time window, name a block of this chain where this chain
///         can tell, and carry this chain, this guardian, the action and its parameters in one of its leaves.
///         The threshold comes from storage. The effect is read back from the target. When the restriction is
///         already there nothing happens, and nothing reverts.
///
///         Two halves. Deliveries are here; what is in no hurry (the owner's terms, ends, questions) is the
///         `GuardianOffice`, which this contract creates and calls by `delegatecall` for every function that it
///         does not know. Both run on GuardianStorage; IGuardian is the whole.
///
///           GuardianStorage ─ GuardianTank ─ GuardianRestrictions ─┬─ GuardianChecks ─ Guardian
///                         └─ GuardianTerms ───────────────────────┴─ GuardianEnds ─ GuardianReadiness ─ GuardianOffice
///
///         What it cannot do. Lift what it did not set; keep a restriction beyond `maxDuration`, or an action
///         restricted for more than its budget in any window; move funds, upgrade, or call anything but the
///         adapters that the owner named. `adopt` turns a restriction into governance's own. When governance
///         lifts at the target and sets the same restriction itself within the same time, the two cannot be told
///         apart here: it adopts to keep it. Time is counted by the book: a target stays restricted until
///         somebody calls `expire`, which anyone may.
///
///         Trust. The owner is the protocol's governance: it may lift at once, and name adapters and policies.
///         The verifier is trusted to count. Targets are not trusted: they get `minGas`, what they return is
///         copied up to 256 bytes, and what they claim is read back. A submitter chooses time, gas and bytes
///         of delivery only; nothing depends on who it is, but whom the tank pays.
///
///         Storage: as GuardianStorage.
contract Guardian is IGuardianResponse, GuardianChecks {
    using AlertLib for Alert;

    /// @dev What the verifier found, on its way into the event.
    struct Quorum {
        bytes32 digest;
        uint32 epoch;
        uint128 signedWeight;
        uint128 totalWeight;
    }

    IQuorumVerifier private immutable _verifier;
    bytes32 private immutable _networkId;
    address private immutable _office;

    /// @param verifier_ counts signatures for every clone of this implementation
    constructor(IQuorumVerifier verifier_) {
        _verifier = verifier_;
        _networkId = verifier_.networkId();
        address office = address(new GuardianOffice(verifier_));
        _office = office;
        // The implementation itself guards nothing: its owner is nobody.
        // The office was created two lines above.
        // slither-disable-next-line controlled-delegatecall
        (bool ok,) = office.delegatecall(abi.encodeCall(IGuardianOffice.initialize, (address(1), bytes32(0))));
        assert(ok);
    }

    /// @notice Fills the tank.
    receive() external payable {
        emit Deposited(msg.sender, msg.value);
    }

    /// @dev Whatever is not below is the office's.
    fallback() external {
        address office = _office;
        assembly ("memory-safe") {
            let pointer := mload(0x40)
            calldatacopy(pointer, 0, calldatasize())
            let ok := delegatecall(gas(), office, pointer, calldatasize(), 0, 0)
            returndatacopy(pointer, 0, returndatasize())
            if iszero(ok) { revert(pointer, returndatasize()) }
            return(pointer, returndatasize())
        }
    }

    // ---- anyone

    /// @inheritdoc IGuardianResponse
    function respond(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        uint256 leafIndex,
        bytes32 actionId,
        bytes calldata params,
        bytes calldata certificate
    ) external nonReentrant returns (Outcome) {
        _checkLeaf(actionLeaves, leafIndex, actionId, params);
        return _respond(alert, actionLeaves, actionId, params, certificate);
    }

    /// @inheritdoc IGuardianResponse
    function respondMany(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        BatchItem[] calldata items,
        bytes calldata certificate
    ) external nonReentrant returns (Outcome[] memory outcomes) {
        outcomes = new Outcome[](items.length);
        uint16 lowestBps = _lowestThreshold(alert, items);
        if (lowestBps == 0) {
            for (uint256 i = 0; i < items.length; ++i) {
                bool isSet = _actions[items[i].actionId].terms.isSet();
                outcomes[i] = isSet ? Outcome.AlreadyActive : Outcome.Failed;
            }
            return outcomes;
        }
        _checkAlert(alert, AlertLib.VERDICT_THREAT);
        Quorum memory quorum = _certify(alert, actionLeaves, lowestBps, certificate);
        bool isPaid = false;
        for (uint256 i = 0; i < items.length; ++i) {
            uint256 gasBefore = gasleft();
            outcomes[i] = _tryOne(alert, actionLeaves, items[i], quorum);
            bool isEffect = outcomes[i] == Outcome.Acted && !_actions[items[i].actionId].terms.isAlertOnly();
            if (isEffect) isPaid = true;
            // What has no effect is at the sender's cost, else a batch could be stuffed at the tank's.
            else _gasAtStart -= gasBefore - gasleft();
        }
        if (isPaid) _refundDelivery(certificate.length);
    }

    /// @inheritdoc IGuardianResponse
    function clear(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        uint256 leafIndex,
        bytes32 actionId,
        bytes calldata params,
        bytes calldata certificate
    ) external nonReentrant returns (Outcome) {
        _checkLeaf(actionLeaves, leafIndex, actionId, params);
        Action storage action = _actions[actionId];
        Terms terms = _requireTerms(action, actionId);
        Standing standing = action.standing;
        if (block.timestamp >= standing.until()) return Outcome.NotActive;
        _checkAlert(alert, AlertLib.VERDICT_CLEAR);
        _checkHold(alert, actionId, standing);
        Quorum memory quorum = _certify(alert, actionLeaves, terms.thresholdBps(), certificate);
        bool released = _end(actionId, standing, block.timestamp);
        emit Cleared(quorum.digest, actionId, uint40(block.timestamp), released);
        _refundDelivery(certificate.length);
        return Outcome.Acted;
    }

    // ---- itself

    /// @notice One action of a batch whose certificate was verified. Only this guardian itself.
    function respondOne(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        BatchItem calldata item,
        Quorum calldata quorum
    ) external onlySelf returns (Outcome) {
        bytes32 actionId = item.actionId;
        _checkLeaf(actionLeaves, item.leafIndex, actionId, item.params);
        Action storage action = _actions[actionId];
        Terms terms = _requireTerms(action, actionId);
        Standing standing = action.standing;
        if (_isKnown(alert, terms, standing)) return Outcome.AlreadyActive;
        if (!QuorumLib.isAbove(quorum.signedWeight, quorum.totalWeight, terms.thresholdBps())) {
            revert BelowThreshold(quorum.signedWeight, quorum.totalWeight, terms.thresholdBps());
        }
        if (terms.isAlertOnly()) {
            _tell(alert, action, actionId, terms, quorum);
            return Outcome.Acted;
        }
        bool isRestricted = AdapterLib.isRestricted(terms.adapter());
        if (isRestricted && standing.until() == 0) return Outcome.AlreadyActive;
        standing = _admit(alert, actionId, terms, standing);
        action.standing = standing;
        if (!isRestricted) AdapterLib.engage(terms.adapter(), actionId, terms.minGas(), item.params);
        _emitResponded(actionId, standing, quorum);
        return Outcome.Acted;
    }

    // ---- views

    /// @inheritdoc IGuardianResponse
    function anchorRange() external view virtual returns (uint256 blocks) {
        return AnchorLib.range();
    }

    // ---- internals

    function _respond(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        bytes32 actionId,
        bytes calldata params,
        bytes calldata certificate
    ) private returns (Outcome) {
        Action storage action = _actions[actionId];
        Terms terms = _requireTerms(action, actionId);
        Standing standing = action.standing;
        if (block.timestamp < standing.until()) return Outcome.AlreadyActive;
        _checkAlert(alert, AlertLib.VERDICT_THREAT);
        if (terms.isAlertOnly()) {
            if (alert.observedAtOf() <= standing.observedAfter()) return Outcome.AlreadyActive;
            Quorum memory heard = _certify(alert, actionLeaves, terms.thresholdBps(), certificate);
            _tell(alert, action, actionId, terms, heard);
            return Outcome.Acted;
        }
        bool isRestricted = AdapterLib.isRestricted(terms.adapter());
        // Restricted without us: governance's own, or left to it. It stays theirs, and we do not touch it.
        if (isRestricted && standing.until() == 0) return Outcome.AlreadyActive;
        standing = _admit(alert, actionId, terms, standing);
        Quorum memory quorum = _certify(alert, actionLeaves, terms.thresholdBps(), certificate);
        action.standing = standing;
        if (!isRestricted) AdapterLib.engage(terms.adapter(), actionId, terms.minGas(), params);
        _emitResponded(actionId, standing, quorum);
        _refundDelivery(certificate.length);
        return Outcome.Acted;
    }

    function _requireTerms(Action storage action, bytes32 actionId) private view returns (Terms terms) {
        terms = action.terms;
        if (!terms.isSet()) revert UnknownAction(actionId);
    }

    /// @dev Whether there is nothing to do: the network's restriction is in force, or such an alert was told.
    function _isKnown(Alert calldata alert, Terms terms, Standing standing) private view returns (bool) {
        if (block.timestamp < standing.until()) return true;
        return terms.isAlertOnly() && alert.observedAtOf() <= standing.observedAfter();
    }

    /// @dev The threshold comes from storage.
    function _certify(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        uint16 thresholdBps,
        bytes calldata certificate
    ) private view returns (Quorum memory) {
        bytes32 digest = AlertLib.digest(
            _networkId, alert, AlertLib.slotId(alert), AlertLib.actionsHash(actionLeaves)
        );
        (uint128 signedWeight, uint128 totalWeight) =
            QuorumCall.verify(_verifier, digest, alert.epochOf(), alert.headerHash, thresholdBps, certificate);
        return Quorum({
            digest: digest,
            epoch: uint32(alert.epochOf()),
            signedWeight: signedWeight,
            totalWeight: totalWeight
        });
    }

    function _emitResponded(bytes32 actionId, Standing standing, Quorum memory quorum) private {
        emit Responded(quorum.digest, actionId, uint40(standing.until()), quorum.epoch, quorum.signedWeight);
    }

    function _tell(
        Alert calldata alert,
        Action storage action,
        bytes32 actionId,
        Terms terms,
        Quorum memory quorum
    ) private {
        uint256 observedAfter = alert.observedAtOf() + terms.cooldown();
        action.standing = action.standing.observed(observedAfter);
        emit Alerted(quorum.digest, actionId, uint40(observedAfter), quorum.epoch, quorum.signedWeight);
    }

    /// @dev The lowest threshold among the actions that have something to do; zero where none has.
    function _lowestThreshold(Alert calldata alert, BatchItem[] calldata items)
        private
        view
        returns (uint16 lowestBps)
    {
        for (uint256 i = 0; i < items.length; ++i) {
            Terms terms = _actions[items[i].actionId].terms;
            if (!terms.isSet() || _isKnown(alert, terms, _actions[items[i].actionId].standing)) continue;
            if (lowestBps == 0 || terms.thresholdBps() < lowestBps) lowestBps = terms.thresholdBps();
        }
    }

    function _tryOne(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        BatchItem calldata item,
        Quorum memory quorum
    ) private returns (Outcome) {
        (bool ok, bytes memory answer) = BoundedCall.call(
            address(this), gasleft(), abi.encodeCall(this.respondOne, (alert, actionLeaves, item, quorum))
        );
        if (ok) return abi.decode(answer, (Outcome));
        _requireNotStarved(answer, _actions[item.actionId].terms.minGas());
        emit BatchItemFailed(quorum.digest, item.actionId, answer);
        return Outcome.Failed;
    }
}
