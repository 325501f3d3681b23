// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {BoundedCall} from "../libraries/BoundedCall.sol";
import {IAdapter} from "../interfaces/IAdapter.sol";

/// @title TargetAdapter: what all adapters share
/// @notice One guardian, one target, both fixed; calls to the target are bounded in what they return.
abstract contract TargetAdapter is IAdapter {
    /// @notice Gas for one read of a target or a role contract.
    uint256 internal constant READ_GAS = 100_000;

    /// @inheritdoc IAdapter
    address public immutable guardian;

    /// @notice The contract that this adapter restricts.
    address public immutable target;

    error GuardianZero();
    error TargetHasNoCode(address target);

    modifier onlyGuardian() {
        if (msg.sender != guardian) revert NotGuardian(msg.sender, guardian);
        _;
    }

    constructor(address guardian_, address target_) {
        if (guardian_ == address(0)) revert GuardianZero();
        if (target_.code.length == 0) revert TargetHasNoCode(target_);
        guardian = guardian_;
        target = target_;
    }

    /// @inheritdoc IAdapter
    function floorBps() external view virtual returns (uint16) {
        return 0;
    }

    function _refuseParameters(bytes calldata params) internal pure {
        if (params.length != 0) revert ParametersNotTaken(params.length);
    }

    function _callTarget(bytes memory data) internal returns (bytes memory returned) {
        bool ok;
        (ok, returned) = BoundedCall.call(target, gasleft(), data);
        if (!ok) revert TargetFailed(target, returned);
    }

    function _readTarget(bytes memory data) internal view returns (bool ok, bytes32 word) {
        return BoundedCall.readWord(target, READ_GAS, data);
    }

    /// @dev Whether the target's AccessManager, if it has one, lets this adapter call `selector` without delay.
    function _managerAllows(bytes4 selector) internal view returns (bool) {
        (bool ok, bytes32 word) = _readTarget(abi.encodeWithSignature("authority()"));
        address manager = address(uint160(uint256(word)));
        if (!ok || manager.code.length == 0) return false;
        // Immediate is the first word of (bool immediate, uint32 delay).
        (ok, word) = BoundedCall.readWord(
            manager, READ_GAS, abi.encodeCall(IAccessManager.canCall, (address(this), target, selector))
        );
        return ok && word == bytes32(uint256(1));
    }

    /// @dev Whether the target answers `data` with this adapter's address.
    function _targetNames(bytes memory data) internal view returns (bool) {
        (bool ok, bytes32 word) = _readTarget(data);
        return ok && word == bytes32(uint256(uint160(address(this))));
    }
}
