// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {BoundedCall} from "../libraries/BoundedCall.sol";
import {FixedCallAdapter} from "./FixedCallAdapter.sol";

/// @notice The part of a Safe that its modules use.
interface ISafe {
    function execTransactionFromModuleReturnData(
        address to,
        uint256 valueWei,
        bytes memory data,
        uint8 operation
    ) external returns (bool success, bytes memory returned);
    function isModuleEnabled(address module) external view returns (bool);
}

/// @title SafeModuleAdapter: a fixed call that the protocol's Safe makes on the target
/// @notice The Safe holds the right on the target, and this adapter is one of its modules. A module may make a Safe
///         do anything; this one can make it do the two fixed calls, on the one target, without value, and never by
///         delegatecall. The Safe itself cannot be the target: its own functions would hand out the Safe. Owners
///         take the right away with `disableModule`, or bound it further with a module guard.
///
///         The right probe says how the target names the Safe as the one in charge; see TargetAdapter. Empty: by its
///         AccessManager.
///
///         Storage: as FixedCallAdapter; slot 5 `_rightProbe` (bytes, fixed in the constructor).
contract SafeModuleAdapter is FixedCallAdapter {
    uint8 private constant CALL = 0;

    /// @notice The Safe that makes the calls.
    address public immutable safe;

    bytes private _rightProbe;

    /// @notice The target may not be the Safe itself.
    error TargetIsSafe(address safe);

    constructor(
        address guardian_,
        address target_,
        address safe_,
        bytes memory engageCall_,
        bytes memory releaseCall_,
        bytes memory probeCall_,
        Compare compare_,
        bytes32 expected_,
        bytes memory rightProbe_
    ) FixedCallAdapter(guardian_, target_, engageCall_, releaseCall_, probeCall_, compare_, expected_) {
        _requireCode(safe_);
        if (target_ == safe_) revert TargetIsSafe(safe_);
        safe = safe_;
        _rightProbe = rightProbe_;
    }

    function _callTarget(bytes memory data) internal override returns (bytes memory returned) {
        bool ok;
        (ok, returned) = BoundedCall.call(
            safe,
            gasleft(),
            abi.encodeCall(ISafe.execTransactionFromModuleReturnData, (target, 0, data, CALL))
        );
        // A Safe does not revert with the call that it makes: it tells in the first word of its answer.
        if (!ok || bytes32(returned) != bytes32(uint256(1))) revert TargetFailed(target, returned);
    }

    function _rightHolder() internal view override returns (address) {
        return safe;
    }

    function _holdsRight(bytes4 engageSelector, bytes4 releaseSelector)
        internal
        view
        override
        returns (bool ok, bytes32 reason)
    {
        bytes32 word;
        (ok, word) =
            BoundedCall.readWord(safe, READ_GAS, abi.encodeCall(ISafe.isModuleEnabled, (address(this))));
        if (!ok || uint256(word) != 1) return (false, "MODULE_NOT_ENABLED");
        return _mayCallBoth(engageSelector, releaseSelector, _rightProbe);
    }
}
