// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC7913SignatureVerifier} from "@openzeppelin/contracts/interfaces/IERC7913.sol";
import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";

/// @title Erc7913QuorumVerifier: the quorum as a signer of ERC-7913
/// @notice Design. Whoever takes ERC-7913 signers, as OpenZeppelin's SignatureChecker does, can take a share of
///         Tocsin's operators as one of them.
///
///             signer     address of this contract 20 | key
///             key        networkId 32 | thresholdBps u16
///             hash       the digest of an alert
///             signature  epoch u32 | headerHash 32 | certificate, as `IQuorumVerifier.verify` takes it
///
///         The threshold stands in the key, which is the caller's: it comes from its storage, never with the
///         signature. One of a third or less is no quorum and signs nothing.
///
///         Operators sign digests of alerts and nothing else, so that is what a caller has to compute, by AlertLib.
///         This contract says who signed it. That the alert is in its time, under a policy that the caller knows,
///         and about the caller at all, is for the caller to check, as a guardian does.
///
///         Trust: that of the verifier. Stateless.
contract Erc7913QuorumVerifier is IERC7913SignatureVerifier {
    uint256 private constant KEY_BYTES = 34;
    uint256 private constant CERTIFICATE_OFFSET = 36;
    uint256 private constant BPS = 10_000;
    bytes4 private constant INVALID = 0xffffffff;

    /// @notice Who counts.
    IQuorumVerifier public immutable verifier;

    /// @notice Network that a key must name.
    bytes32 public immutable networkId;

    /// @param verifier_ who counts
    constructor(IQuorumVerifier verifier_) {
        verifier = verifier_;
        networkId = verifier_.networkId();
    }

    /// @inheritdoc IERC7913SignatureVerifier
    /// @dev Anyone may call. Never reverts for what it is given. With too little gas for the verifier, too, it says invalid.
    function verify(bytes calldata key, bytes32 hash, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        if (key.length != KEY_BYTES || signature.length < CERTIFICATE_OFFSET) return INVALID;
        if (bytes32(key[:32]) != networkId) return INVALID;
        uint16 thresholdBps = uint16(bytes2(key[32:]));
        if (uint256(thresholdBps) * 3 < BPS) return INVALID;
        // The verifier reverts unless the share was exceeded; the standard has no place for the weights.
        // slither-disable-next-line unused-return
        try verifier.verify(
            hash,
            uint32(bytes4(signature[:4])),
            bytes32(signature[4:CERTIFICATE_OFFSET]),
            thresholdBps,
            signature[CERTIFICATE_OFFSET:]
        ) {
            return IERC7913SignatureVerifier.verify.selector;
        } catch {
            return INVALID;
        }
    }
}
