// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {G2Point, Bls12381} from "../libraries/Bls12381.sol";
import {CertificateLib} from "../libraries/CertificateLib.sol";
import {HeaderLib} from "../libraries/HeaderLib.sol";
import {KeyPages} from "../libraries/KeyPages.sol";
import {PlacementLib} from "../libraries/PlacementLib.sol";
import {SuccessionTerms} from "./OperatorSetChain.sol";
import {QuorumVerifier} from "./QuorumVerifier.sol";

/// @title PagedQuorumVerifier: a QuorumVerifier that knows the operators' keys already
/// @notice Design. In a flat certificate a listed operator costs 206 bytes, and any makes all leaves travel, 32
///         bytes each: with many operators most of the gas is for bytes. Here keys are written to pages
///         once per chain, and a certificate may carry a placement instead: 14 bytes for each operator of the
///         set, which say on which page its key stands and what it weighs. Header, digest and signature are
///         the same, so whoever holds a flat certificate can make the paged one, and the other way round.
///
///           header 302 | signature 96 | mode u8 | k u16 | placement | k * index u16
///
///         Mode 2 lists the absent, mode 3 the present, k of them, at least one; with nobody absent the flat
///         form is shorter than any. Modes 0 and 1 are the flat ones.
///
///         Before the first paged certificate of a set two things must be there, each done by anybody: the
///         keys (`addKeys`, for those that no page has yet), and the set's placement (`bind`). Until then a
///         paged certificate is refused, a flat one is not. A handover's incoming set is not installed while
///         it is checked, hence its certificate is flat; the outgoing one's may be paged.
///
///         Trust. As QuorumVerifier: a page may hold anything, as `bind` makes every leaf anew from what the
///         placement points at, and holds them against the header of an installed set. Code never changes,
///         so a certificate reads what `bind` has read. A page's id is the hash of its content, so
///         pages that strangers write take nothing from anybody. The first to bind chooses among true
///         placements, at most 8 pages long; it stands while the set does.
///
///         Storage. slots 0-5 as OperatorSetChain; slots 6-9 `_bindings`, for even and odd epochs: headerHash
///         32, commitment 32. The current set and the previous one never share an entry: after a handover
///         their epochs differ by one, after a reset there is no previous one.
contract PagedQuorumVerifier is QuorumVerifier {
    /// @dev `commitment` is the hash of header and placement: one word to read for a certificate. `headerHash`
    ///      says whose it is.
    struct Binding {
        bytes32 headerHash;
        bytes32 commitment;
    }

    /// @notice The listed are the operators who did not sign, by index into the placement.
    uint8 public constant MODE_PAGED_ABSENT = 2;
    /// @notice The listed are the operators who signed, by index into the placement.
    uint8 public constant MODE_PAGED_PRESENT = 3;

    Binding[2] private _bindings;

    /// @notice A page was written; its code is a STOP and then `keys`.
    event PageWritten(bytes32 indexed page, bytes keys);
    /// @notice From here on certificates of this set may carry `placement`.
    event PlacementBound(uint32 indexed epoch, bytes32 indexed headerHash, bytes placement);

    error PlacementLength(uint256 given, uint256 expected);
    /// @notice No placement of this set is bound: call `bind` first, or send the flat certificate.
    error PlacementNotBound(uint32 epoch, bytes32 headerHash);
    /// @notice Another placement of this set is bound: take that of its `PlacementBound` event.
    error PlacementMismatch(bytes32 commitment, bytes32 bound);

    /// @param networkId_ network whose certificates are accepted
    /// @param header     header of that network's current operator set, 302 bytes
    /// @param terms      how other sets may follow
    constructor(bytes32 networkId_, bytes memory header, SuccessionTerms memory terms)
        QuorumVerifier(networkId_, header, terms)
    {}

    // ---- anyone

    /// @notice Writes a page of keys; the same keys in the same order are the same page, and are written once.
    /// @param keys one to 127 public keys of 192 raw bytes
    /// @return page id of the page
    function addKeys(bytes calldata keys) external returns (bytes32 page) {
        bool written;
        (page, written) = KeyPages.write(keys);
        if (written) emit PageWritten(page, keys);
    }

    /// @notice Lets certificates of an installed set carry `placement`. A set that has one keeps it: returns
    ///         false and does nothing.
    /// @dev Reverts with SetNotInstalled, KeyPages.PageMissing, CertificateLib.LeavesMismatch where keys,
    ///      weights or their order differ from the header's, and on another length.
    /// @param header    header of the current or the previous set, 302 bytes
    /// @param placement where its operators' keys are; the layout stands in PlacementLib
    function bind(bytes calldata header, bytes calldata placement) external returns (bool bound) {
        if (header.length != HeaderLib.HEADER_BYTES) {
            revert SetLength(header.length, HeaderLib.HEADER_BYTES);
        }
        uint32 epoch = HeaderLib.epochOf(header);
        bytes32 headerHash = keccak256(header);
        if (headerHash != setHashes(epoch)) revert SetNotInstalled(epoch, headerHash);
        Binding storage binding = _bindings[epoch & 1];
        if (binding.headerHash == headerHash) return false;

        _requireTrue(header, placement);
        binding.headerHash = headerHash;
        binding.commitment = _commitment(header, placement);
        emit PlacementBound(epoch, headerHash, placement);
        return true;
    }

    // ---- views

    /// @notice The contract whose code is the page of this id; zero where nobody has written it.
    function pageAt(bytes32 page) external view returns (address) {
        address at = KeyPages.addressOf(page);
        return at.code.length == 0 ? address(0) : at;
    }

    /// @notice keccak256(header | placement) of the placement that certificates under this header carry; zero
    ///         where none is bound, or has been and made room.
    function boundPlacement(bytes32 headerHash) external view returns (bytes32 commitment) {
        for (uint256 i = 0; i < 2; ++i) {
            if (_bindings[i].headerHash == headerHash) return _bindings[i].commitment;
        }
    }

    // ---- certificates

    /// @inheritdoc QuorumVerifier
    function _measure(bytes calldata certificate)
        internal
        view
        override
        returns (uint256 signedWeight, uint256 totalWeight)
    {
        uint8 mode = CertificateLib.modeOf(certificate);
        if (mode < MODE_PAGED_ABSENT) return super._measure(certificate);
        uint16 count = CertificateLib.countOf(certificate);
        if (mode > MODE_PAGED_PRESENT || count == 0) revert CertificateLib.ModeInvalid(mode, count);
        uint16 operators = HeaderLib.countOf(certificate);
        if (count > operators) revert CertificateLib.CountTooLarge(count, operators);
        (bytes calldata placement, bytes calldata indices) = _split(certificate);

        _requireBound(certificate[:HeaderLib.HEADER_BYTES], placement);
        totalWeight = HeaderLib.totalWeightOf(certificate);
        uint256 listed = PlacementLib.weigh(placement, indices, operators);
        signedWeight = mode == MODE_PAGED_ABSENT ? totalWeight - listed : listed;
    }

    /// @inheritdoc QuorumVerifier
    function _signersKey(bytes calldata certificate) internal view override returns (G2Point memory key) {
        uint8 mode = CertificateLib.modeOf(certificate);
        if (mode < MODE_PAGED_ABSENT) return super._signersKey(certificate);
        (bytes calldata placement, bytes calldata indices) = _split(certificate);
        key = PlacementLib.sumKeys(placement, indices, pointGasLimit);
        if (mode == MODE_PAGED_ABSENT) {
            Bls12381.negate(key);
            Bls12381.addG2(key, Bls12381.readG2(certificate, HeaderLib.APK_OFFSET), pointGasLimit);
        }
    }

    /// @dev Reverts unless the certificate ends exactly where its header, its page count and its k say.
    function _split(bytes calldata certificate)
        private
        pure
        returns (bytes calldata placement, bytes calldata indices)
    {
        uint256 offset = HeaderLib.ENTRIES_OFFSET;
        uint256 pages = certificate.length == offset ? 0 : uint8(certificate[offset]);
        uint256 indicesAt = offset + PlacementLib.lengthOf(pages, HeaderLib.countOf(certificate));
        uint256 expected = indicesAt + CertificateLib.countOf(certificate) * PlacementLib.INDEX_BYTES;
        if (certificate.length != expected) {
            revert CertificateLib.CertificateLength(certificate.length, expected);
        }
        return (certificate[offset:indicesAt], certificate[indicesAt:]);
    }

    function _requireBound(bytes calldata header, bytes calldata placement) private view {
        uint32 epoch = HeaderLib.epochOf(header);
        Binding storage binding = _bindings[epoch & 1];
        bytes32 commitment = _commitment(header, placement);
        if (commitment == binding.commitment) return;
        if (binding.headerHash != keccak256(header)) revert PlacementNotBound(epoch, keccak256(header));
        revert PlacementMismatch(commitment, binding.commitment);
    }

    // ---- binding

    function _requireTrue(bytes calldata header, bytes calldata placement) private view {
        uint16 operators = HeaderLib.countOf(header);
        uint256 pages = placement.length == 0 ? 0 : uint8(placement[0]);
        uint256 expectedLength = PlacementLib.lengthOf(pages, operators);
        if (placement.length != expectedLength) revert PlacementLength(placement.length, expectedLength);
        bytes32 given = PlacementLib.leavesHash(placement, operators);
        bytes32 expected = HeaderLib.leavesHashOf(header);
        if (given != expected) revert CertificateLib.LeavesMismatch(given, expected);
    }

    function _commitment(bytes calldata header, bytes calldata placement) private pure returns (bytes32) {
        // A header always has the same length, so nothing can move from one to the other.
        // slither-disable-next-line encode-packed-collision
        return keccak256(abi.encodePacked(header, placement));
    }
}
