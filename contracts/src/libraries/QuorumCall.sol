// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";

/// @title QuorumCall: asks the verifier without copying the certificate twice
/// @notice The same as calling `IQuorumVerifier.verify`, about 400 gas cheaper: a certificate goes from calldata
///         straight into the call. The verifier's own error comes through.
library QuorumCall {
    function verify(
        IQuorumVerifier verifier,
        bytes32 digest,
        uint256 epoch,
        bytes32 headerHash,
        uint256 thresholdBps,
        bytes calldata certificate
    ) internal view returns (uint128 signedWeight, uint128 totalWeight) {
        bytes4 selector = IQuorumVerifier.verify.selector;
        assembly ("memory-safe") {
            let pointer := mload(0x40)
            mstore(pointer, selector)
            mstore(add(pointer, 4), digest)
            mstore(add(pointer, 36), epoch)
            mstore(add(pointer, 68), headerHash)
            mstore(add(pointer, 100), thresholdBps)
            mstore(add(pointer, 132), 160)
            mstore(add(pointer, 164), certificate.length)
            calldatacopy(add(pointer, 196), certificate.offset, certificate.length)
            if iszero(staticcall(gas(), verifier, pointer, add(196, certificate.length), 0x00, 64)) {
                returndatacopy(pointer, 0, returndatasize())
                revert(pointer, returndatasize())
            }
            signedWeight := mload(0x00)
            totalWeight := mload(0x20)
            // No code answers with nothing. Weights have 128 bits.
            if or(lt(returndatasize(), 64), shr(128, or(signedWeight, totalWeight))) { revert(0, 0) }
        }
    }
}
