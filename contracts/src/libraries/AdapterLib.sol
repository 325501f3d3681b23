// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../interfaces/IAdapter.sol";
import {IGuardianEvents} from "../interfaces/IGuardianEvents.sol";
import {BoundedCall} from "./BoundedCall.sol";

/// @title AdapterLib: how a guardian talks to an adapter, and so to a target that may be hostile
/// @notice Gas is bounded and kept back, answers are bounded, and what is said is read back.
/// @dev For `using AdapterLib for IAdapter`.
library AdapterLib {
    /// @notice Gas for one question to an adapter.
    uint256 internal constant READ_GAS = 150_000;

    /// @notice Gas kept back while an adapter acts: for reading its effect, the events and the payment.
    uint256 internal constant RESERVE_GAS = 210_000;

    /// @notice Whether the target says that it is restricted, by whomever. No answer is no.
    function isRestricted(IAdapter adapter) internal view returns (bool) {
        (bool ok, bytes32 word) = BoundedCall.readWord(address(adapter), READ_GAS, IAdapter.engaged.selector);
        return ok && word == bytes32(uint256(1));
    }

    /// @notice Whether the target says that it is not restricted. No answer is no.
    function isFree(IAdapter adapter) internal view returns (bool) {
        (bool ok, bytes32 word) = BoundedCall.readWord(address(adapter), READ_GAS, IAdapter.engaged.selector);
        return ok && word == bytes32(0);
    }

    /// @notice Restricts the target and reads the effect back.
    /// @dev 63/64 of the gas left must cover `minGas`, so a submitter cannot starve the call; one that is
    ///      starved after it reverts whole, and the certificate can be delivered again.
    function engage(IAdapter adapter, bytes32 actionId, uint256 minGas, bytes calldata params) internal {
        unchecked {
            if (gasleft() * 63 < minGas * 64 + 63 * RESERVE_GAS) {
                revert IGuardianEvents.GasTooLow(gasleft(), minGas, RESERVE_GAS);
            }
        }
        if (!_callEngage(adapter, minGas, params)) {
            revert IGuardianEvents.ActionFailed(actionId, BoundedCall.answer());
        }
        if (!isRestricted(adapter)) revert IGuardianEvents.EffectMissing(actionId);
    }

    /// @notice Lifts what was set. A target that says it is not restricted needs no call; one that says nothing
    ///         is told.
    /// @return released false where the owner has to lift at the target
    function release(IAdapter adapter, bytes32 actionId) internal returns (bool released) {
        if (isFree(adapter)) return true;
        (bool ok, bytes memory returned) =
            BoundedCall.call(address(adapter), gasleft(), abi.encodeCall(IAdapter.release, ()));
        if (!ok || returned.length < 32) revert IGuardianEvents.ActionFailed(actionId, returned);
        return bytes32(returned) == bytes32(uint256(1)) && isFree(adapter);
    }

    /// @dev `adapter.engage(params)`, from calldata straight into the call. Also true where there is no code: the
    ///      effect is read back.
    function _callEngage(IAdapter adapter, uint256 gasLimit, bytes calldata params)
        private
        returns (bool ok)
    {
        bytes4 selector = IAdapter.engage.selector;
        assembly ("memory-safe") {
            let pointer := mload(0x40)
            mstore(pointer, selector)
            mstore(add(pointer, 4), 32)
            mstore(add(pointer, 36), params.length)
            calldatacopy(add(pointer, 68), params.offset, params.length)
            ok := call(gasLimit, adapter, 0, pointer, add(68, params.length), 0, 0)
        }
    }
}
