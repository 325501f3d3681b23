// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {SuccessionTerms} from "../../src/verifier/OperatorSetChain.sol";
import {Signer} from "./Signer.sol";

/// @title Network: an operator set with real keys, and its certificates. For tests.
abstract contract Network is Test {
    uint256 internal constant START = 1_800_000_000;
    uint32 internal constant EPOCH = 5;
    address internal constant VERIFIER_OWNER = address(0x0E4E);
    bytes32 internal constant NETWORK_ID = keccak256("network of the tests");

    uint96[] internal weights;
    bytes[] internal entries;
    bytes32[] internal leaves;
    bytes internal header;
    bytes32 internal headerHash;
    QuorumVerifier internal verifier;

    /// @dev Seven operators of 100 each, unless a test says otherwise.
    function setUpNetwork() internal {
        uint96[] memory equal = new uint96[](7);
        for (uint256 i = 0; i < 7; ++i) {
            equal[i] = 100;
        }
        setUpNetwork(equal);
    }

    function setUpNetwork(uint96[] memory weights_) internal {
        if (vm.getBlockTimestamp() < START) vm.warp(START);
        header = makeHeader(
            weights_, EPOCH, uint64(vm.getBlockTimestamp()), uint64(vm.getBlockTimestamp() + 30 days)
        );
        headerHash = keccak256(header);
        verifier = new QuorumVerifier(NETWORK_ID, header, successionTerms());
    }

    function successionTerms() internal pure returns (SuccessionTerms memory) {
        return SuccessionTerms({
            owner: VERIFIER_OWNER, minEpochInterval: 1 hours, grace: 30 minutes, resetDelay: 3 days
        });
    }

    /// @dev Also fills `weights`, `entries` and `leaves`.
    function makeHeader(uint96[] memory weights_, uint32 epoch, uint64 captureTime, uint64 validUntil)
        internal
        returns (bytes memory)
    {
        weights = weights_;
        delete entries;
        delete leaves;
        uint256 sum = 0;
        uint128 total = 0;
        for (uint256 i = 0; i < weights_.length; ++i) {
            bytes memory entry = abi.encodePacked(uint16(i), weights_[i], Signer.publicKey(Signer.key(i)));
            entries.push(entry);
            leaves.push(keccak256(entry));
            sum = addmod(sum, Signer.key(i), Signer.ORDER);
            total += weights_[i];
        }
        return abi.encodePacked(
            epoch,
            uint16(weights_.length),
            total,
            uint64(1),
            captureTime,
            validUntil,
            bytes32(0),
            keccak256(abi.encodePacked(leaves)),
            Signer.publicKey(sum)
        );
    }

    /// @dev Certificate of all but the absent, which it lists (mode 0).
    function certify(bytes32 digest, uint256[] memory absent) internal view returns (bytes memory) {
        return assemble(signatureWithout(digest, absent), HeaderLib.MODE_ABSENT, absent);
    }

    /// @dev Certificate of the present, which it lists (mode 1).
    function certifyPresent(bytes32 digest, uint256[] memory present) internal view returns (bytes memory) {
        return assemble(signatureOf(digest, present), HeaderLib.MODE_PRESENT, present);
    }

    function assemble(bytes memory signature, uint8 mode, uint256[] memory listed)
        internal
        view
        returns (bytes memory certificate)
    {
        certificate = abi.encodePacked(header, signature, mode, uint16(listed.length));
        if (listed.length == 0) return certificate;
        certificate = abi.encodePacked(certificate, leaves);
        for (uint256 i = 0; i < listed.length; ++i) {
            certificate = bytes.concat(certificate, entries[listed[i]]);
        }
    }

    function signatureOf(bytes32 digest, uint256[] memory present) internal view returns (bytes memory) {
        uint256 sum = 0;
        for (uint256 i = 0; i < present.length; ++i) {
            sum = addmod(sum, Signer.key(present[i]), Signer.ORDER);
        }
        return Signer.sign(sum, digest, AlertLib.ALERT_DST);
    }

    function signatureWithout(bytes32 digest, uint256[] memory absent) internal view returns (bytes memory) {
        uint256 sum = 0;
        for (uint256 i = 0; i < entries.length; ++i) {
            sum = addmod(sum, Signer.key(i), Signer.ORDER);
        }
        for (uint256 i = 0; i < absent.length; ++i) {
            sum = addmod(sum, Signer.ORDER - Signer.key(absent[i]), Signer.ORDER);
        }
        return Signer.sign(sum, digest, AlertLib.ALERT_DST);
    }

    // ---- short lists

    function none() internal pure returns (uint256[] memory) {
        return new uint256[](0);
    }

    function list(uint256 a) internal pure returns (uint256[] memory indices) {
        indices = new uint256[](1);
        indices[0] = a;
    }

    function list(uint256 a, uint256 b) internal pure returns (uint256[] memory indices) {
        indices = new uint256[](2);
        (indices[0], indices[1]) = (a, b);
    }

    function list(uint256 a, uint256 b, uint256 c) internal pure returns (uint256[] memory indices) {
        indices = new uint256[](3);
        (indices[0], indices[1], indices[2]) = (a, b, c);
    }

    // ---- gas

    /// @dev What a transaction pays for this call. `to` must not have been touched in this test: what a test has
    ///      deployed or called itself is warm, and too cheap by the price of a slot.
    function transactionGas(address to, bytes memory data) internal returns (uint256) {
        uint256 gas = gasleft();
        (bool ok,) = to.call(data);
        gas -= gasleft();
        assertTrue(ok, "the call itself");
        return wholeTransaction(data, gas - 2_600); // a transaction's own target is warm
    }

    /// @dev Base, calldata and execution; EIP-7623 asks at least 10 per token, of which a nonzero byte has four.
    function wholeTransaction(bytes memory data, uint256 execution) internal pure returns (uint256) {
        uint256 tokens = 0;
        for (uint256 i = 0; i < data.length; ++i) {
            tokens += data[i] == 0 ? 1 : 4;
        }
        uint256 paid = 4 * tokens + execution;
        uint256 floor = 10 * tokens;
        return 21_000 + (paid > floor ? paid : floor);
    }

    // ---- altered bytes

    function slice(bytes memory data, uint256 from, uint256 to) internal pure returns (bytes memory part) {
        part = new bytes(to - from);
        for (uint256 i = from; i < to; ++i) {
            part[i - from] = data[i];
        }
    }

    function replace(bytes memory data, uint256 offset, bytes memory with_)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(slice(data, 0, offset), with_, slice(data, offset + with_.length, data.length));
    }
}
