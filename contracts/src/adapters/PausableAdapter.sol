// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IAdapter} from "../interfaces/IAdapter.sol";
import {TargetAdapter} from "./TargetAdapter.sol";

/// @notice What OpenZeppelin Pausable contracts usually offer.
interface IPausable {
    function pause() external;
    function unpause() external;
    function paused() external view returns (bool);
}

/// @title PausableAdapter: pauses a target with `pause()`, `unpause()` and `paused()`
/// @notice The right to pause comes from the target: a role PAUSER_ROLE, an AccessManager role for the two
///         selectors, or a `pauser()` that names this adapter. Never make this adapter the owner of the
///         target: it could not hand ownership back; `OwnerCallAdapter` can. Where the manager grants `pause` without
///         `unpause`, readiness says so and the owner lifts.
///
///         Storage: none.
contract PausableAdapter is TargetAdapter {
    bytes32 private constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    constructor(address guardian_, address target_) TargetAdapter(guardian_, target_) {}

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone. `params` must be empty.
    function engage(bytes calldata params) external onlyGuardian {
        _refuseParameters(params);
        _callTarget(abi.encodeCall(IPausable.pause, ()));
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone.
    function release() external onlyGuardian returns (bool released) {
        if (_managerAllows(IPausable.pause.selector) && !_managerAllows(IPausable.unpause.selector)) {
            return false;
        }
        _callTarget(abi.encodeCall(IPausable.unpause, ()));
        return true;
    }

    /// @inheritdoc IAdapter
    function engaged() external view returns (bool) {
        return _requireFlag(IPausable.paused.selector);
    }

    /// @inheritdoc IAdapter
    function ready() external view returns (bool ok, bytes32 reason) {
        (ok,) = _readFlag(abi.encodeCall(IPausable.paused, ()));
        if (!ok) return (false, "PAUSED_NOT_READABLE");
        if (_managerAllows(IPausable.pause.selector)) {
            if (!_managerAllows(IPausable.unpause.selector)) return (false, "NO_RIGHT_TO_UNPAUSE");
            return (true, bytes32(0));
        }
        if (_grants(abi.encodePacked(IAccessControl.hasRole.selector, PAUSER_ROLE))) {
            return (true, bytes32(0));
        }
        if (_grants(abi.encodeWithSignature("pauser()"))) return (true, bytes32(0));
        return (false, "NO_RIGHT_TO_PAUSE");
    }
}
