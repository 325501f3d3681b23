// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title AnchorLib: the chain's own memory of its blocks
/// @notice BLOCKHASH for the last 256, EIP-2935 for the last 8191 where it is present. Beyond, nothing is known:
///         the quorum's word stands alone there.
/// @dev Where `block.number` counts something else, an implementation of its own is needed (`ArbitrumGuardian`).
library AnchorLib {
    /// @notice EIP-2935 system contract.
    address internal constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    uint256 private constant HISTORY_GAS = 50_000;

    uint256 private constant HISTORY_BLOCKS = 8191;
    uint256 private constant BLOCKHASH_BLOCKS = 256;

    /// @notice Hash of that block; zero where this chain cannot tell.
    function blockHash(uint256 blockNumber) internal view returns (bytes32 hash) {
        hash = blockhash(blockNumber);
        if (hash == bytes32(0)) hash = _fromHistory(blockNumber);
    }

    /// @notice How many past blocks it can tell of; zero where it can tell of none.
    function range() internal view returns (uint256 blocks) {
        if (HISTORY.code.length != 0) return HISTORY_BLOCKS;
        // Zero is how the chain says that it does not know.
        // slither-disable-next-line incorrect-equality
        return blockhash(block.number - 1) == bytes32(0) ? 0 : BLOCKHASH_BLOCKS;
    }

    function _fromHistory(uint256 blockNumber) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(0x00, blockNumber)
            let ok := staticcall(HISTORY_GAS, HISTORY, 0x00, 32, 0x00, 32)
            if and(ok, eq(returndatasize(), 32)) { hash := mload(0x00) }
        }
    }
}
