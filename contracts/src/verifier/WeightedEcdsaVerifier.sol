// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ECDSA} from "solady/utils/ECDSA.sol";
import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";
import {EcdsaCertificateLib} from "../libraries/EcdsaCertificateLib.sol";
import {HeaderLib} from "../libraries/HeaderLib.sol";
import {QuorumLib} from "../libraries/QuorumLib.sol";
import {OperatorSetChain, SuccessionTerms} from "./OperatorSetChain.sol";

/// @title WeightedEcdsaVerifier: one ECDSA signature per signer, checked against one operator set
/// @notice Design. For chains without the BLS12-381 precompiles, and cheaper than a pairing below about 33
///         operators. OperatorSetChain says which sets may act. A set's bytes are the BLS header, which alerts
///         name on every chain, and an address and a weight for each operator; a certificate carries the set and
///         as many signatures as the threshold needs. Quorum is settled before the first signature is looked at.
///
///         Operators sign the alert's digest under a type hash of this kind of vote, and a handover under
///         another, so that a signature has one meaning. Order, length and s are bound: a certificate has one
///         encoding for its signers, though other signers give another one for the same alert.
///
///         Trust. As OperatorSetChain. That a set's addresses are those of the registry is checked by the
///         operators who sign it in, and for the genesis by whoever relies on it. No keys are summed, so none
///         needs a proof of possession: who names an address without its key has no vote. The registry slashes
///         for BLS signatures; votes given here are no evidence there.
///
///         Precompiles. The constructor asks ecrecover for a known answer and aborts where there is none.
///
///         Storage: as OperatorSetChain.
contract WeightedEcdsaVerifier is OperatorSetChain {
    address private constant ECRECOVER = address(0x01);

    /// @notice The self-test of the constructor failed: this chain lacks `precompile`, or has another thing there.
    error PrecompilesMissing(address precompile);
    error QuorumNotReached(uint256 signedWeight, uint256 totalWeight, uint16 thresholdBps);
    error HandoverQuorumNotReached(uint32 epoch, uint256 signedWeight, uint256 totalWeight);

    /// @param networkId_ network whose certificates are accepted
    /// @param set        that network's current operator set: header, addresses and weights
    /// @param terms      how other sets may follow
    constructor(bytes32 networkId_, bytes memory set, SuccessionTerms memory terms)
        OperatorSetChain(networkId_, set, terms)
    {
        _selfTest();
    }

    /// @inheritdoc IQuorumVerifier
    function verify(
        bytes32 digest,
        uint32 epoch,
        bytes32 headerHash,
        uint16 thresholdBps,
        bytes calldata certificate
    ) external view returns (uint128 signedWeight, uint128 totalWeight) {
        _requireActing(epoch, headerHash, certificate);
        (uint256 signed, uint256 total) = EcdsaCertificateLib.measure(certificate);
        if (!QuorumLib.isAbove(signed, total, thresholdBps)) {
            revert QuorumNotReached(signed, total, thresholdBps);
        }
        EcdsaCertificateLib.requireSigned(certificate, digest, EcdsaCertificateLib.ECDSA_ALERT_TYPEHASH);
        return (uint128(signed), uint128(total));
    }

    // ---- succession

    function _setOf(bytes calldata certificate) internal pure override returns (bytes calldata) {
        return EcdsaCertificateLib.setOf(certificate);
    }

    function _requireSound(bytes memory set, HeaderLib.Header memory header) internal pure override {
        uint256 expected = EcdsaCertificateLib.setBytes(header.count);
        if (set.length != expected) revert SetLength(set.length, expected);
        EcdsaCertificateLib.requireSound(set, header);
    }

    function _requireHandoverSigned(bytes32 digest, bytes calldata outgoing, bytes calldata incoming)
        internal
        view
        override
    {
        _requireTwoThirds(outgoing);
        _requireTwoThirds(incoming);
        EcdsaCertificateLib.requireSigned(outgoing, digest, EcdsaCertificateLib.ECDSA_HANDOVER_TYPEHASH);
        EcdsaCertificateLib.requireSigned(incoming, digest, EcdsaCertificateLib.ECDSA_HANDOVER_TYPEHASH);
    }

    function _requireTwoThirds(bytes calldata certificate) private pure {
        (uint256 signed, uint256 total) = EcdsaCertificateLib.measure(certificate);
        if (!QuorumLib.isAboveTwoThirds(signed, total)) {
            revert HandoverQuorumNotReached(HeaderLib.epochOf(certificate), signed, total);
        }
    }

    // ---- deployment

    /// @dev A signature of the key 1, against the message that it signs and against another one.
    function _selfTest() private view {
        bytes32 r = 0x7076c67f80c16ef7714b9c2c8b3d8252af8e9be354e450358b301c12a681159a;
        bytes32 vs = 0x31b2128069fd2814803adc3d89a10d034562a67256a6caa4de3091333062732b;
        address signer = 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf;
        if (
            ECDSA.tryRecover(keccak256("tocsin"), r, vs) != signer
                || ECDSA.tryRecover(keccak256("Tocsin"), r, vs) == signer
        ) {
            revert PrecompilesMissing(ECRECOVER);
        }
    }
}
