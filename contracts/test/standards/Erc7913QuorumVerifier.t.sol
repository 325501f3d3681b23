// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC7913SignatureVerifier} from "@openzeppelin/contracts/interfaces/IERC7913.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SignerERC7913} from "@openzeppelin/contracts/utils/cryptography/signers/SignerERC7913.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {Erc7913QuorumVerifier} from "../../src/standards/Erc7913QuorumVerifier.sol";
import {EcdsaNetwork} from "../support/EcdsaNetwork.sol";

/// @title Owned by a signer of ERC-7913, as OpenZeppelin's accounts are. For tests.
contract QuorumOwned is SignerERC7913 {
    constructor(bytes memory signer) SignerERC7913(signer) {}

    function isSigned(bytes32 hash, bytes calldata signature) external view returns (bool) {
        return _rawSignatureValidation(hash, signature);
    }
}

contract Erc7913QuorumVerifierTest is EcdsaNetwork {
    bytes32 internal constant DIGEST = keccak256("an alert");
    bytes4 internal constant MAGIC = IERC7913SignatureVerifier.verify.selector;
    bytes4 internal constant INVALID = 0xffffffff;

    Erc7913QuorumVerifier internal quorum;

    function setUp() public {
        setUpNetwork();
        quorum = new Erc7913QuorumVerifier(verifier);
    }

    function keyOf(uint16 thresholdBps) internal pure returns (bytes memory) {
        return abi.encodePacked(NETWORK_ID, thresholdBps);
    }

    function signerOf(uint16 thresholdBps) internal view returns (bytes memory) {
        return abi.encodePacked(address(quorum), keyOf(thresholdBps));
    }

    function signatureBy(bytes memory certificate) internal view returns (bytes memory) {
        return abi.encodePacked(EPOCH, headerHash, certificate);
    }

    function isValid(uint16 thresholdBps, bytes32 hash, bytes memory signature) internal view returns (bool) {
        return SignatureChecker.isValidSignatureNow(signerOf(thresholdBps), hash, signature);
    }

    // ---- OpenZeppelin's callers

    function test_QuorumIsASigner() public view {
        bytes memory signature = signatureBy(certify(DIGEST, list(1, 6)));

        assertEq(quorum.verify(keyOf(6667), DIGEST, signature), MAGIC);
        assertTrue(isValid(6667, DIGEST, signature));
    }

    function test_QuorumByEcdsaIsASigner() public {
        setUpEcdsa();
        quorum = new Erc7913QuorumVerifier(ecdsa);

        assertTrue(isValid(6667, DIGEST, signatureBy(certifyFirst(5, DIGEST))));
        assertFalse(isValid(6667, DIGEST, signatureBy(certifyFirst(4, DIGEST))));
    }

    function test_QuorumIsOneSignerAmongOthers() public {
        (address person, uint256 key) = makeAddrAndKey("person");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, DIGEST);
        bytes[] memory signers = new bytes[](2);
        bytes[] memory signatures = new bytes[](2);
        (signers[0], signatures[0]) = (abi.encodePacked(person), abi.encodePacked(r, s, v));
        (signers[1], signatures[1]) = (signerOf(6667), signatureBy(certify(DIGEST, none())));

        assertTrue(SignatureChecker.areValidSignaturesNow(DIGEST, signers, signatures));
        signatures[1] = signatureBy(certify(DIGEST, list(0, 1, 2)));
        assertFalse(SignatureChecker.areValidSignaturesNow(DIGEST, signers, signatures));
    }

    function test_AccountOwnedByTheQuorum() public {
        QuorumOwned account = new QuorumOwned(signerOf(6667));

        assertTrue(account.isSigned(DIGEST, signatureBy(certify(DIGEST, none()))));
        assertFalse(account.isSigned(keccak256("another"), signatureBy(certify(DIGEST, none()))));
    }

    // ---- who counts

    function test_T19_ThresholdIsTheKeysAndNotTheSignatures() public view {
        bytes memory half = signatureBy(certify(DIGEST, list(0, 1, 2)));

        assertTrue(isValid(5000, DIGEST, half));
        assertFalse(isValid(6667, DIGEST, half));
    }

    function test_AThirdIsNoQuorum() public view {
        bytes memory signature = signatureBy(certify(DIGEST, none()));

        assertTrue(isValid(3334, DIGEST, signature));
        assertEq(quorum.verify(keyOf(3333), DIGEST, signature), INVALID);
        assertEq(quorum.verify(keyOf(0), DIGEST, signature), INVALID);
    }

    function test_WholeWeightCannotBeExceeded() public view {
        bytes memory signature = signatureBy(certify(DIGEST, none()));

        assertTrue(isValid(9999, DIGEST, signature));
        assertEq(quorum.verify(keyOf(10_000), DIGEST, signature), INVALID);
        assertEq(quorum.verify(keyOf(type(uint16).max), DIGEST, signature), INVALID);
    }

    function test_T22_AnotherNetworkIsInvalid() public view {
        bytes memory key = abi.encodePacked(keccak256("another network"), uint16(6667));

        assertEq(quorum.verify(key, DIGEST, signatureBy(certify(DIGEST, none()))), INVALID);
    }

    function test_T23_AnotherEpochOrHeaderIsInvalid() public view {
        bytes memory certificate = certify(DIGEST, none());

        assertEq(
            quorum.verify(keyOf(6667), DIGEST, abi.encodePacked(EPOCH + 1, headerHash, certificate)), INVALID
        );
        assertEq(
            quorum.verify(keyOf(6667), DIGEST, abi.encodePacked(EPOCH, keccak256("x"), certificate)), INVALID
        );
    }

    // ---- says invalid, and never reverts

    function testFuzz_AnotherHashIsInvalid(bytes32 other) public view {
        vm.assume(other != DIGEST);

        assertEq(quorum.verify(keyOf(6667), other, signatureBy(certify(DIGEST, none()))), INVALID);
    }

    function testFuzz_AnyBytesAreInvalid(bytes calldata key, bytes32 hash, bytes calldata signature)
        public
        view
    {
        assertEq(quorum.verify(key, hash, signature), INVALID);
        assertEq(quorum.verify(keyOf(6667), hash, signature), INVALID);
    }

    function test_KeysOfAnotherLengthAreInvalid() public view {
        bytes memory signature = signatureBy(certify(DIGEST, none()));

        assertEq(quorum.verify("", DIGEST, signature), INVALID);
        assertEq(quorum.verify(slice(keyOf(6667), 0, 33), DIGEST, signature), INVALID);
        assertEq(quorum.verify(bytes.concat(keyOf(6667), hex"00"), DIGEST, signature), INVALID);
    }

    function test_ShortSignaturesAreInvalid() public view {
        bytes memory signature = signatureBy(certify(DIGEST, none()));

        for (uint256 length = 0; length < 40; ++length) {
            assertEq(quorum.verify(keyOf(6667), DIGEST, slice(signature, 0, length)), INVALID);
        }
        assertEq(quorum.verify(keyOf(6667), DIGEST, bytes.concat(signature, hex"00")), INVALID);
    }

    function test_RevertIf_ThereIsNoVerifier() public {
        vm.expectRevert();
        new Erc7913QuorumVerifier(IQuorumVerifier(makeAddr("nobody")));
    }
}
