// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title BoundedCall: calls to targets that may be hostile
/// @notice A target may return megabytes; copying them would burn the gas that was kept back for afterwards.
library BoundedCall {
    /// @notice Most bytes of an answer that are ever copied.
    uint256 internal constant MAX_RETURN_BYTES = 256;

    /// @notice Calls with `gasLimit`; `returned` holds at most MAX_RETURN_BYTES.
    /// @dev False where there is no code: such a call would "succeed".
    function call(address target, uint256 gasLimit, bytes memory data)
        internal
        returns (bool ok, bytes memory returned)
    {
        if (target.code.length == 0) return (false, "");
        assembly ("memory-safe") {
            ok := call(gasLimit, target, 0, add(data, 32), mload(data), 0, 0)
        }
        returned = answer();
    }

    /// @notice As `call`, without a change of state.
    function read(address target, uint256 gasLimit, bytes memory data)
        internal
        view
        returns (bool ok, bytes memory returned)
    {
        if (target.code.length == 0) return (false, "");
        assembly ("memory-safe") {
            ok := staticcall(gasLimit, target, add(data, 32), mload(data), 0, 0)
        }
        returned = answer();
    }

    /// @notice Reads one word; false unless the call succeeds and returns at least 32 bytes.
    function readWord(address target, uint256 gasLimit, bytes memory data)
        internal
        view
        returns (bool ok, bytes32 word)
    {
        assembly ("memory-safe") {
            mstore(0x00, 0)
            ok := staticcall(gasLimit, target, add(data, 32), mload(data), 0x00, 32)
            ok := and(ok, gt(returndatasize(), 31))
            if ok { word := mload(0x00) }
        }
    }

    /// @notice The same for a function without parameters.
    function readWord(address target, uint256 gasLimit, bytes4 selector)
        internal
        view
        returns (bool ok, bytes32 word)
    {
        assembly ("memory-safe") {
            mstore(0x00, selector)
            ok := staticcall(gasLimit, target, 0x00, 4, 0x00, 32)
            ok := and(ok, gt(returndatasize(), 31))
            if ok { word := mload(0x00) }
        }
    }

    /// @notice What the last call returned, MAX_RETURN_BYTES of it at most.
    function answer() internal pure returns (bytes memory returned) {
        assembly ("memory-safe") {
            let size := returndatasize()
            if gt(size, MAX_RETURN_BYTES) { size := MAX_RETURN_BYTES }
            returned := mload(0x40)
            mstore(0x40, add(returned, 288))
            mstore(returned, size)
            returndatacopy(add(returned, 32), 0, size)
        }
    }
}
