// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IQuorumVerifier} from "./IQuorumVerifier.sol";
import {AlertLib} from "./libraries/AlertLib.sol";
import {Bls12381, G1Point, G2Point} from "./libraries/Bls12381.sol";
import {HeaderLib} from "./libraries/HeaderLib.sol";

/// @title QuorumVerifier: one aggregate BLS signature, checked against one operator set
/// @notice Design. The chain keeps one slot per epoch, the hash of the set's header; the header itself travels
///         in calldata with the certificate. The sum of all keys stands in the header; the keys and weights of
///         absent operators are shown against the header's leaves and come off. Quorum is settled before the
///         first precompile call, so a certificate that is short of weight costs its sender little; then one
///         hash to the curve and one pairing check with two pairs.
///
///         Trust. The genesis header is the deployer's word: whoever relies on this contract compares it with
///         the registry on the home chain. After that nobody has a right here; there is no owner. That the
///         header's total and sum agree with its leaves was checked when the set was captured (genesis) or
///         will be by the old set's signatures (handover, a later issue).
///
///         Precompiles. The constructor runs a known-answer test and aborts where they are missing: there a
///         pairing call would succeed, return nothing, and a careless reading accept any forgery. Gas limits
///         for them are measured at deployment (twice the cost found, at least a floor), as prices differ by
///         chain; a chain that raises its prices beyond that needs a new verifier.
///
///         Storage. slot 0-3: `_headerHashes`, header hash by epoch mod 4; slot 4: `currentEpoch` (4 bytes).
contract QuorumVerifier is IQuorumVerifier {
    /// @notice Entries of the ring of header hashes: current, previous, and room for the handover.
    uint256 public constant RING_SIZE = 4;

    /// @notice Floors of the measured gas limits: no chain's price list is read from a constant alone.
    uint256 public constant MIN_PAIRING_GAS_LIMIT = 250_000;
    uint256 public constant MIN_POINT_GAS_LIMIT = 60_000;

    uint256 private constant BPS = 10_000;

    /// @inheritdoc IQuorumVerifier
    bytes32 public immutable networkId;

    /// @notice Gas that a pairing check may use.
    uint256 public immutable pairingGasLimit;

    /// @notice Gas that any other precompile call may use.
    uint256 public immutable pointGasLimit;

    bytes32[RING_SIZE] private _headerHashes;

    /// @notice Newest epoch whose header stands in the ring.
    uint32 public currentEpoch;

    /// @notice An operator set took effect on this chain.
    event HeaderInstalled(uint32 indexed epoch, bytes32 indexed headerHash, bytes header);

    /// @notice The self-test of the constructor failed: this chain lacks `precompile`, or has another thing there.
    error PrecompilesMissing(address precompile);
    error NetworkIdZero();
    error HeaderLength(uint256 given, uint256 expected);
    error HeaderOutOfTime(uint64 captureTime, uint64 validUntil, uint256 time);
    error HeaderInvalid();
    error CertificateLength(uint256 given, uint256 expected);
    error HeaderMismatch(bytes32 given, bytes32 expected);
    error EpochMismatch(uint32 given, uint32 expected);
    error HeaderNotInstalled(uint32 epoch, bytes32 headerHash);
    error HeaderExpired(uint64 validUntil, uint256 time);
    error ModeInvalid(uint8 mode, uint16 count);
    error CountTooLarge(uint16 given, uint16 operators);
    error LeavesMismatch(bytes32 given, bytes32 expected);
    error IndexInvalid(uint16 index, uint16 atLeast, uint16 operators);
    error LeafMismatch(uint16 index);
    error QuorumNotReached(uint256 signedWeight, uint256 totalWeight, uint16 thresholdBps);
    error SignatureIsInfinity();
    error KeyIsInfinity();
    error SignatureInvalid();

    /// @param networkId_ network whose certificates are accepted
    /// @param header     header of that network's current operator set, 302 bytes
    constructor(bytes32 networkId_, bytes memory header) {
        if (networkId_ == bytes32(0)) revert NetworkIdZero();
        networkId = networkId_;
        (uint256 pairingGas, uint256 pointGas) = _selfTest();
        pairingGasLimit = pairingGas;
        pointGasLimit = pointGas;
        _installGenesis(header, pairingGas);
    }

    /// @inheritdoc IQuorumVerifier
    function verify(
        bytes32 digest,
        uint32 epoch,
        bytes32 headerHash,
        uint16 thresholdBps,
        bytes calldata certificate
    ) external view returns (uint128 signedWeight, uint128 totalWeight) {
        if (certificate.length < HeaderLib.ENTRIES_OFFSET) {
            revert CertificateLength(certificate.length, HeaderLib.ENTRIES_OFFSET);
        }
        _checkHeader(epoch, headerHash, certificate[:HeaderLib.HEADER_BYTES]);
        G1Point memory signature = Bls12381.readG1(certificate, HeaderLib.SIGNATURE_OFFSET);
        if (Bls12381.isInfinity(signature)) revert SignatureIsInfinity();

        totalWeight = HeaderLib.totalWeightOf(certificate);
        (uint256 listedWeight, bool listsAbsent) = _checkEntries(certificate);
        uint256 weight = listsAbsent ? totalWeight - listedWeight : listedWeight;
        // Strictly more, by cross-multiplication: a share that is rounded down could reach zero.
        if (weight * BPS <= uint256(totalWeight) * thresholdBps) {
            revert QuorumNotReached(weight, totalWeight, thresholdBps);
        }
        signedWeight = uint128(weight);

        G2Point memory key = _signersKey(certificate, listsAbsent);
        if (Bls12381.isInfinity(key)) revert KeyIsInfinity();
        G1Point memory hash = Bls12381.hashToG1(abi.encodePacked(digest), AlertLib.ALERT_DST, pointGasLimit);
        if (!Bls12381.isSignatureBy(signature, hash, key, pairingGasLimit)) revert SignatureInvalid();
    }

    /// @notice Hash of the header that stands for `epoch`, zero when it has left the ring or never came.
    function headerHashes(uint32 epoch) external view returns (bytes32) {
        if (epoch > currentEpoch || currentEpoch - epoch >= RING_SIZE) return bytes32(0);
        return _headerHashes[epoch % RING_SIZE];
    }

    // ---- verification

    function _checkHeader(uint32 epoch, bytes32 headerHash, bytes calldata header) private view {
        bytes32 given = keccak256(header);
        if (given != headerHash) revert HeaderMismatch(given, headerHash);
        uint32 headerEpoch = HeaderLib.epochOf(header);
        if (headerEpoch != epoch) revert EpochMismatch(headerEpoch, epoch);
        if (_headerHashes[epoch % RING_SIZE] != headerHash) revert HeaderNotInstalled(epoch, headerHash);
        uint64 validUntil = HeaderLib.validUntilOf(header);
        if (block.timestamp > validUntil) revert HeaderExpired(validUntil, block.timestamp);
    }

    /// @dev Everything about the listed operators except their keys' sum: shape, order, leaves, weight.
    function _checkEntries(bytes calldata certificate)
        private
        pure
        returns (uint256 weight, bool listsAbsent)
    {
        uint8 mode = uint8(certificate[HeaderLib.MODE_OFFSET]);
        uint16 count = _listedCount(certificate);
        listsAbsent = mode == HeaderLib.MODE_ABSENT;
        if (mode > HeaderLib.MODE_PRESENT || (count == 0 && !listsAbsent)) revert ModeInvalid(mode, count);

        uint16 operators = HeaderLib.countOf(certificate);
        if (count > operators) revert CountTooLarge(count, operators);
        uint256 entriesAt = HeaderLib.ENTRIES_OFFSET + (count == 0 ? 0 : uint256(operators) * 32);
        uint256 expected = entriesAt + uint256(count) * HeaderLib.ENTRY_BYTES;
        if (certificate.length != expected) revert CertificateLength(certificate.length, expected);
        if (count != 0) weight = _checkLeaves(certificate, entriesAt, operators);
    }

    /// @dev Each entry against its leaf, and the leaves against the header.
    function _checkLeaves(bytes calldata certificate, uint256 entriesAt, uint16 operators)
        private
        pure
        returns (uint256 weight)
    {
        bytes32 leavesHash = keccak256(certificate[HeaderLib.ENTRIES_OFFSET:entriesAt]);
        bytes32 expectedHash = HeaderLib.leavesHashOf(certificate);
        if (leavesHash != expectedHash) revert LeavesMismatch(leavesHash, expectedHash);

        uint16 atLeast = 0;
        for (uint256 at = entriesAt; at < certificate.length; at += HeaderLib.ENTRY_BYTES) {
            bytes calldata entry = certificate[at:at + HeaderLib.ENTRY_BYTES];
            uint16 index = uint16(bytes2(entry[0:2]));
            // Strictly rising, so nobody is counted twice.
            if (index < atLeast || index >= operators) revert IndexInvalid(index, atLeast, operators);
            atLeast = index + 1;
            if (keccak256(entry) != _leafOf(certificate, index)) revert LeafMismatch(index);
            weight += uint96(bytes12(entry[2:14]));
        }
    }

    function _leafOf(bytes calldata certificate, uint256 index) private pure returns (bytes32) {
        uint256 at = HeaderLib.ENTRIES_OFFSET + index * 32;
        return bytes32(certificate[at:at + 32]);
    }

    function _listedCount(bytes calldata certificate) private pure returns (uint16) {
        return uint16(bytes2(certificate[HeaderLib.COUNT_OFFSET:HeaderLib.ENTRIES_OFFSET]));
    }

    /// @dev Sum of the signers' keys: the entries' own, or the header's sum without the entries'.
    function _signersKey(bytes calldata certificate, bool listsAbsent)
        private
        view
        returns (G2Point memory key)
    {
        uint256 count = _listedCount(certificate);
        if (count == 0) return Bls12381.readG2(certificate, HeaderLib.APK_OFFSET);
        uint256 offset = certificate.length - count * HeaderLib.ENTRY_BYTES + HeaderLib.ENTRY_KEY_OFFSET;
        key = Bls12381.readG2(certificate, offset);
        offset += HeaderLib.ENTRY_BYTES;
        for (; offset < certificate.length; offset += HeaderLib.ENTRY_BYTES) {
            Bls12381.addG2(key, Bls12381.readG2(certificate, offset), pointGasLimit);
        }
        if (listsAbsent) {
            Bls12381.negate(key);
            Bls12381.addG2(key, Bls12381.readG2(certificate, HeaderLib.APK_OFFSET), pointGasLimit);
        }
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

    function _installGenesis(bytes memory header, uint256 pairingGas) private {
        if (header.length != HeaderLib.HEADER_BYTES) {
            revert HeaderLength(header.length, HeaderLib.HEADER_BYTES);
        }
        uint32 epoch;
        uint16 count;
        uint128 totalWeight;
        uint64 captureTime;
        uint64 validUntil;
        assembly ("memory-safe") {
            let words := add(header, 32)
            epoch := shr(224, mload(words))
            count := shr(240, mload(add(words, 4)))
            totalWeight := shr(128, mload(add(words, 6)))
            captureTime := shr(192, mload(add(words, 30)))
            validUntil := shr(192, mload(add(words, 38)))
        }
        if (captureTime > block.timestamp || validUntil < block.timestamp) {
            revert HeaderOutOfTime(captureTime, validUntil, block.timestamp);
        }
        if (count == 0 || totalWeight == 0) revert HeaderInvalid();
        // The pairing checks curve, subgroup and encoding of the sum of keys.
        G2Point memory apk = Bls12381.loadG2(header, HeaderLib.APK_OFFSET);
        if (Bls12381.isInfinity(apk)) revert KeyIsInfinity();
        Bls12381.isSignatureBy(Bls12381.generatorG1(), Bls12381.generatorG1(), apk, pairingGas);

        bytes32 headerHash = keccak256(header);
        _headerHashes[epoch % RING_SIZE] = headerHash;
        currentEpoch = epoch;
        emit HeaderInstalled(epoch, headerHash, header);
    }
}
