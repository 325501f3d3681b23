// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title AnchorLib: is this block part of this chain?
/// @notice The chain's own memory of its blocks: BLOCKHASH for the last 256, EIP-2935 for the last 8191 where
///         it is present. Beyond, the answer is `Unknown`: the quorum's word stands alone there.
/// @dev On chains where `block.number` counts something else (Arbitrum), use a guardian built for them.
library AnchorLib {
    enum Anchor {
        Unknown,
        Matches,
        Differs,
        NotPast
    }

    /// @notice EIP-2935 system contract.
    address internal constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    uint256 private constant HISTORY_GAS = 50_000;

    function check(uint256 blockNumber, bytes32 hash) internal view returns (Anchor) {
        if (blockNumber >= block.number) return Anchor.NotPast;
        bytes32 known = blockhash(blockNumber);
        if (known == bytes32(0)) known = _fromHistory(blockNumber);
        if (known == bytes32(0)) return Anchor.Unknown;
        return known == hash ? Anchor.Matches : Anchor.Differs;
    }

    function _fromHistory(uint256 blockNumber) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(0x00, blockNumber)
            let ok := staticcall(HISTORY_GAS, HISTORY, 0x00, 32, 0x00, 32)
            if and(ok, eq(returndatasize(), 32)) { hash := mload(0x00) }
        }
    }
}
