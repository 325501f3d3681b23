// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../interfaces/IAdapter.sol";
import {IGuardianResponse, IGuardianOffice, Level} from "../interfaces/IGuardian.sol";
import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";
import {Mark, Standing, Terms} from "../libraries/ActionWords.sol";
import {AdapterLib} from "../libraries/AdapterLib.sol";
import {BoundedCall} from "../libraries/BoundedCall.sol";
import {GuardianEnds} from "./GuardianEnds.sol";

/// @title GuardianReadiness: could the guardian act now?
/// @notice A guardian that lost its right is silent, not loud. `readiness` reads what can be read; `dryRun` does
///         the real thing and undoes it by always reverting. Watchers ask both, again and again.
abstract contract GuardianReadiness is GuardianEnds {
    /// @notice Gas for asking an adapter whether it is ready; it asks the target's access control in turn.
    uint256 public constant READY_GAS = 1_000_000;

    /// @inheritdoc IGuardianOffice
    IQuorumVerifier public immutable verifier;

    /// @inheritdoc IGuardianOffice
    bytes32 public immutable networkId;

    constructor(IQuorumVerifier verifier_) {
        verifier = verifier_;
        networkId = verifier_.networkId();
    }

    /// @inheritdoc IGuardianOffice
    function readiness(bytes32 actionId) external view returns (bool ok, bytes32 reason) {
        if (!_actions[actionId].terms.isSet()) return (false, "UNKNOWN_ACTION");
        if (_policyHash == bytes32(0)) return (false, "POLICY_UNSET");
        // The epoch does not matter to readiness.
        // slither-disable-next-line unused-return
        (, uint64 validUntil) = verifier.currentSet();
        if (validUntil < block.timestamp) return (false, "NO_VALID_SET");
        if (!_actions[actionId].terms.isAlertOnly()) {
            (ok, reason) = _canRestrict(actionId);
            if (!ok) return (false, reason);
        }
        if (IGuardianResponse(address(this)).anchorRange() == 0) return (true, "ANCHOR_UNCHECKED");
        if (address(this).balance < _tank.maxPerResponse) return (true, "TANK_LOW");
        return (true, bytes32(0));
    }

    /// @inheritdoc IGuardianOffice
    function dryRun(bytes32 actionId, bytes calldata params) external {
        _lock();
        (bool ok, bytes memory reason) =
            BoundedCall.call(address(this), gasleft(), abi.encodeCall(this.tryAction, (actionId, params)));
        revert DryRun(ok, reason);
    }

    /// @notice The part of a dry run that is undone. Only this guardian itself.
    function tryAction(bytes32 actionId, bytes calldata params) external onlySelf {
        Terms terms = _actions[actionId].terms;
        if (!terms.isSet()) revert UnknownAction(actionId);
        if (terms.isAlertOnly()) return;
        if (AdapterLib.isRestricted(terms.adapter())) revert AlreadyRestricted(actionId);
        AdapterLib.engage(terms.adapter(), actionId, terms.minGas(), params);
    }

    function _canRestrict(bytes32 actionId) private view returns (bool ok, bytes32 reason) {
        Terms terms = _actions[actionId].terms;
        Standing standing = _actions[actionId].standing;
        if (standing.mark() == Mark.LeftToOwner && !AdapterLib.isFree(terms.adapter())) {
            return (false, "LEFT_TO_OWNER");
        }
        if (block.timestamp >= standing.until() && budgetLeft(actionId) < terms.maxDuration()) {
            return (false, "BUDGET_SPENT");
        }
        (bool answered, bytes memory answer) =
            BoundedCall.read(address(terms.adapter()), READY_GAS, abi.encodeCall(IAdapter.ready, ()));
        if (!answered || answer.length < 64) return (false, "ADAPTER_FAILED");
        (uint256 isReady, bytes32 why) = abi.decode(answer, (uint256, bytes32));
        return (isReady == 1, why);
    }
}
