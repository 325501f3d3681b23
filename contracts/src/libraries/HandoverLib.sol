// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title HandoverLib: what operators sign when one set passes the watch to the next
/// @notice Twin of `consensus/handover.py`. The outgoing set signs it, and the incoming set accepts by signing
///         the same digest.
library HandoverLib {
    bytes32 internal constant HANDOVER_TYPEHASH =
        keccak256("TocsinHandover(bytes32 networkId,uint32 epoch,bytes32 setHash,bytes32 nextSetHash)");

    bytes internal constant HANDOVER_DST = "TOCSIN-HANDOVER-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";

    /// @notice The bytes that both sets sign.
    /// @param epoch       epoch of the outgoing set; an operator hands each epoch over once
    /// @param setHash     hash of the outgoing set, as this chain holds it
    /// @param nextSetHash hash of the incoming set, as this chain will hold it
    function digest(bytes32 networkId, uint32 epoch, bytes32 setHash, bytes32 nextSetHash)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(HANDOVER_TYPEHASH, networkId, epoch, setHash, nextSetHash));
    }
}
