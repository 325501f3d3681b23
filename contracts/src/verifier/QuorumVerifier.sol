// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";
import {AlertLib} from "../libraries/AlertLib.sol";
import {Bls12381, G1Point, G2Point} from "../libraries/Bls12381.sol";
import {CertificateLib} from "../libraries/CertificateLib.sol";
import {HandoverLib} from "../libraries/HandoverLib.sol";
import {HeaderLib} from "../libraries/HeaderLib.sol";
import {QuorumLib} from "../libraries/QuorumLib.sol";
import {OperatorSetChain, SuccessionTerms} from "./OperatorSetChain.sol";

/// @title QuorumVerifier: one aggregate BLS signature, checked against one operator set
/// @notice Design. OperatorSetChain says which sets may act; the header travels in calldata with the
///         certificate. The sum of all keys stands in the header; the keys and weights of absent operators are
///         shown against the header's leaves and come off. Quorum is settled before the first precompile call,
///         so a certificate that is short of weight costs its sender little; then one hash to the curve and one
///         pairing check with two pairs.
///
///         Trust. As OperatorSetChain. That a header's total and sum agree with its leaves was checked by the
///         operators who signed it in, and for the genesis by whoever relies on it.
///
///         Precompiles. The constructor runs a known-answer test and aborts where they are missing: there a
///         pairing call would succeed, return nothing, and a careless reading accept any forgery. Gas limits
///         for them are measured at deployment (twice the cost found, at least a floor), as prices differ by
///         chain; a chain that raises its prices beyond that needs a new verifier.
///
///         Storage: as OperatorSetChain.
contract QuorumVerifier is OperatorSetChain {
    /// @notice Floors of the measured gas limits: no chain's price list is read from a constant alone.
    uint256 public constant MIN_PAIRING_GAS_LIMIT = 250_000;
    /// @notice Floor of the limit for every other precompile call.
    uint256 public constant MIN_POINT_GAS_LIMIT = 60_000;

    /// @notice Gas that a pairing check may use.
    uint256 public immutable pairingGasLimit;

    /// @notice Gas that any other precompile call may use.
    uint256 public immutable pointGasLimit;

    /// @notice The self-test of the constructor failed: this chain lacks `precompile`, or has another thing there.
    error PrecompilesMissing(address precompile);
    error QuorumNotReached(uint256 signedWeight, uint256 totalWeight, uint16 thresholdBps);
    error HandoverQuorumNotReached(uint32 epoch, uint256 signedWeight, uint256 totalWeight);

    /// @param networkId_ network whose certificates are accepted
    /// @param header     header of that network's current operator set, 302 bytes
    /// @param terms      how other sets may follow
    constructor(bytes32 networkId_, bytes memory header, SuccessionTerms memory terms)
        OperatorSetChain(networkId_, header, terms)
    {
        (pairingGasLimit, pointGasLimit) = _selfTest();
        // The pairing checks curve, subgroup and encoding of the sum of keys.
        G2Point memory apk = Bls12381.loadG2(header, HeaderLib.APK_OFFSET);
        // Reverts where the key is no point of the group; what it answers about this signature means nothing.
        // slither-disable-next-line unused-return
        Bls12381.isSignatureBy(Bls12381.generatorG1(), Bls12381.generatorG1(), apk, pairingGasLimit);
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
        (uint256 signed, uint256 total) = _measure(certificate);
        if (!QuorumLib.isAbove(signed, total, thresholdBps)) {
            revert QuorumNotReached(signed, total, thresholdBps);
        }
        _requireSigned(certificate, CertificateLib.hashOf(digest, AlertLib.ALERT_DST, pointGasLimit));
        return (uint128(signed), uint128(total));
    }

    // ---- for variants with another way to list operators

    function _measure(bytes calldata certificate)
        internal
        view
        virtual
        returns (uint256 signedWeight, uint256 totalWeight)
    {
        return CertificateLib.measure(certificate);
    }

    function _signersKey(bytes calldata certificate) internal view virtual returns (G2Point memory) {
        return CertificateLib.signersKey(certificate, pointGasLimit);
    }

    // ---- succession

    /// @dev Here a set is its header alone: no certificate could name other bytes. With a sum of keys at infinity
    ///      those who are listed as absent could sign for all others, by the negative of their own keys.
    function _requireSound(bytes memory set, HeaderLib.Header memory) internal pure override {
        if (set.length != HeaderLib.HEADER_BYTES) revert SetLength(set.length, HeaderLib.HEADER_BYTES);
        G2Point memory apk = Bls12381.loadG2(set, HeaderLib.APK_OFFSET);
        if (Bls12381.isInfinity(apk)) revert CertificateLib.KeyIsInfinity();
    }

    function _setOf(bytes calldata certificate) internal pure override returns (bytes calldata) {
        return CertificateLib.headerOf(certificate);
    }

    function _requireHandoverSigned(bytes32 digest, bytes calldata outgoing, bytes calldata incoming)
        internal
        view
        override
    {
        _requireTwoThirds(outgoing);
        _requireTwoThirds(incoming);
        G1Point memory hash = CertificateLib.hashOf(digest, HandoverLib.HANDOVER_DST, pointGasLimit);
        _requireSigned(outgoing, hash);
        _requireSigned(incoming, hash);
    }

    function _requireTwoThirds(bytes calldata certificate) private view {
        (uint256 signed, uint256 total) = _measure(certificate);
        if (!QuorumLib.isAboveTwoThirds(signed, total)) {
            revert HandoverQuorumNotReached(HeaderLib.epochOf(certificate), signed, total);
        }
    }

    function _requireSigned(bytes calldata certificate, G1Point memory hash) private view {
        CertificateLib.requireSignedBy(certificate, _signersKey(certificate), hash, pairingGasLimit);
    }

    // ---- deployment

    /// @dev Presence first: each call below has a valid input, so it must succeed and return its full size.
    ///      Then known answers: RFC 9380 J.9.1 with message "abc"; e(G1, -G2) * e(G1, G2) == 1;
    ///      e(G1, -G2) * e(H("abc"), G2) != 1.
    function _selfTest() private view returns (uint256 pairingGas, uint256 pointGas) {
        _requirePrecompile(Bls12381.MAP_FP_TO_G1, 64, 128);
        _requirePrecompile(Bls12381.G1_ADD, 256, 128);
        _requirePrecompile(Bls12381.G2_ADD, 512, 256);
        _requirePrecompile(Bls12381.PAIRING, 384, 32);

        uint256 before = gasleft();
        G1Point memory hash =
            Bls12381.hashToG1("abc", "QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_", gasleft() / 32);
        pointGas = _atLeast(2 * (before - gasleft()), MIN_POINT_GAS_LIMIT);
        if (
            hash.xHigh != 0x03567bc5ef9c690c2ab2ecdf6a96ef1c
                || hash.xLow != 0x139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903
                || hash.yHigh != 0x0b9c15f3fe6e5cf4211f346271d7b01c
                || hash.yLow != 0x8f3b28be689c8429c85b67af215533311f0b8dfaaa154fa6b88176c229f2885d
        ) revert PrecompilesMissing(Bls12381.MAP_FP_TO_G1);

        G1Point memory one = Bls12381.generatorG1();
        G2Point memory key = Bls12381.generatorG2();
        before = gasleft();
        bool truth = Bls12381.isSignatureBy(one, one, key, gasleft());
        pairingGas = _atLeast(2 * (before - gasleft()), MIN_PAIRING_GAS_LIMIT);
        if (!truth || Bls12381.isSignatureBy(one, hash, key, pairingGas)) {
            revert PrecompilesMissing(Bls12381.PAIRING);
        }
    }

    /// @dev Zeros are a valid input for each: the field element 0, or points at infinity.
    function _requirePrecompile(address precompile, uint256 inputBytes, uint256 outputBytes) private view {
        (bool ok, bytes memory output) = precompile.staticcall(new bytes(inputBytes));
        if (!ok || output.length != outputBytes) revert PrecompilesMissing(precompile);
    }

    function _atLeast(uint256 measured, uint256 floor) private pure returns (uint256) {
        return measured > floor ? measured : floor;
    }
}
