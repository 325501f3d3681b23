// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381, G1Point, G2Point} from "../../src/libraries/Bls12381.sol";
import {HandoverLib} from "../../src/libraries/HandoverLib.sol";
import {OperatorRegistry, Registration} from "../../src/registry/OperatorRegistry.sol";
import {Possession} from "../../src/registry/Possession.sol";
import {Registered} from "../support/Registered.sol";
import {Signer} from "../support/Signer.sol";

contract RegistrationTest is Registered {
    /// @dev Alice's, with key 1, as it would be accepted.
    function valid() private view returns (Registration memory) {
        return registration(alice, 1, MIN_STAKE);
    }

    function expectRefused(Registration memory given, bytes memory reason) private {
        uint256 before = token.balanceOf(alice);
        vm.prank(alice);
        vm.expectRevert(reason);
        registry.register(given);
        assertEq(registry.count(), 0);
        assertEq(token.balanceOf(alice), before);
    }

    function expectPossessionRefused(bytes memory proof) private {
        Registration memory given = valid();
        given.possession = proof;
        expectRefused(given, abi.encodePacked(Possession.PossessionInvalid.selector));
    }

    function expectPointRefused(bytes memory publicKey) private {
        Registration memory given = valid();
        given.publicKey = publicKey;
        expectRefused(given, abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.PAIRING));
    }

    function vector(string memory name) private view returns (bytes memory) {
        return vm.parseJsonBytes(vm.readFile("../tests/vectors/contracts.json"), name);
    }

    function test_RegisteredOperatorReadsBack() public {
        Registration memory given = registration(alice, 1, 250e18);

        vm.expectEmit(address(registry));
        emit OperatorRegistry.OperatorRegistered(alice, given.publicKey, given.peerId, given.metadata);
        vm.prank(alice);
        registry.register(given);

        (bool active, bool isSlashed, bytes memory publicKey, bytes memory peerId) = registry.operator(alice);
        assertTrue(active);
        assertFalse(isSlashed);
        assertEq(publicKey, Signer.publicKey(Signer.key(1)));
        assertEq(peerId, abi.encodePacked("peer", uint256(1)));
        assertEq(registry.count(), 1);
        assertEq(registry.operatorAt(0), alice);
        assertEq(registry.operatorOfKey(keccak256(given.publicKey)), alice);
        assertEq(registry.operatorOfPeerId(keccak256(given.peerId)), alice);
        assertEq(stake.stakeOf(alice), 250e18);
    }

    function test_RegistryHoldsNoTokens() public {
        register(alice, 1, 250e18);

        assertEq(token.balanceOf(address(registry)), 0);
        assertEq(token.balanceOf(address(stake)), 250e18);
    }

    // ---- whose key

    function test_T01_KeyMadeFromTheOthersHasNoPossession() public {
        register(bob, 2, MIN_STAKE);
        register(carol, 3, MIN_STAKE);
        // What alice registers is x*G minus the keys of bob and carol: with it the sum of all would be x*G.
        uint256 x = Signer.key(1);
        G2Point memory rogue = Bls12381.loadG2(Signer.publicKey(Signer.key(2)), 0);
        Bls12381.addG2(rogue, Bls12381.loadG2(Signer.publicKey(Signer.key(3)), 0), 100_000);
        Bls12381.negate(rogue);
        Bls12381.addG2(rogue, Bls12381.loadG2(Signer.publicKey(x), 0), 100_000);
        Registration memory given = valid();
        given.publicKey = Bls12381.rawG2(rogue);
        bytes32 digest = registry.possessionDigest(alice, given.publicKey);
        given.possession = Signer.sign(x, digest, AlertLib.POSSESSION_DST);

        vm.prank(alice);
        vm.expectRevert(Possession.PossessionInvalid.selector);
        registry.register(given);
    }

    function test_T01_PossessionOfAnotherOperatorIsRefused() public {
        expectPossessionRefused(possession(Signer.key(1), bob));
    }

    function test_T01_PossessionForAnotherRegistryIsRefused() public {
        expectPossessionRefused(possession(Signer.key(1), alice, address(this), block.chainid));
    }

    function test_T01_PossessionForAnotherChainIsRefused() public {
        expectPossessionRefused(possession(Signer.key(1), alice, address(registry), block.chainid + 1));
    }

    function test_T01_PossessionOnAForkOfTheChainIsRefused() public {
        Registration memory given = valid();

        vm.chainId(block.chainid + 1);
        expectRefused(given, abi.encodePacked(Possession.PossessionInvalid.selector));
    }

    function test_T02_PossessionDependsOnTheKey() public {
        // Alice's own proof of key 2 does not serve for another key, whose secret she need not know.
        Registration memory given = valid();
        given.possession = possession(Signer.key(2), alice);

        expectRefused(given, abi.encodePacked(Possession.PossessionInvalid.selector));
    }

    function test_T02_PossessionByAnotherKeyIsRefused() public {
        // The digest of key 1, signed by key 2.
        bytes32 digest = registry.possessionDigest(alice, Signer.publicKey(Signer.key(1)));
        expectPossessionRefused(Signer.sign(Signer.key(2), digest, AlertLib.POSSESSION_DST));
    }

    function test_T03_SignaturesUnderTheTagsOfAlertAndHandoverAreNoPossession() public {
        bytes32 digest = registry.possessionDigest(alice, Signer.publicKey(Signer.key(1)));

        expectPossessionRefused(Signer.sign(Signer.key(1), digest, AlertLib.ALERT_DST));
        expectPossessionRefused(Signer.sign(Signer.key(1), digest, HandoverLib.HANDOVER_DST));
    }

    // ---- what is a key

    function test_T04_KeyAndSignatureAtInfinityAreRefused() public {
        // With both at infinity the pairing alone would be true.
        Registration memory given = valid();
        given.publicKey = new bytes(192);
        expectRefused(given, abi.encodePacked(Possession.KeyIsInfinity.selector));
        given.possession = new bytes(96);
        expectRefused(given, abi.encodePacked(Possession.KeyIsInfinity.selector));

        given.publicKey = Signer.publicKey(Signer.key(1));
        expectRefused(given, abi.encodePacked(Possession.PossessionIsInfinity.selector));
    }

    function test_T05_KeyThatIsNotCanonicalIsRefused() public {
        // A second writing of a used key would otherwise have another hash.
        expectPointRefused(vector(".g2_not_canonical"));
    }

    function test_T05_KeyWithSwappedCoordinatesIsRefused() public {
        bytes memory raw = Signer.publicKey(Signer.key(1));
        bytes memory swapped = new bytes(192);
        for (uint256 i = 0; i < 48; ++i) {
            (swapped[i], swapped[48 + i]) = (raw[48 + i], raw[i]);
            (swapped[96 + i], swapped[144 + i]) = (raw[144 + i], raw[96 + i]);
        }
        expectPointRefused(swapped);
    }

    function test_T05_KeyWithFlagsOfACompressedOneIsRefused() public {
        bytes memory flagged = Signer.publicKey(Signer.key(1));
        flagged[0] = flagged[0] | 0x80;
        expectPointRefused(flagged);
    }

    function test_T05_PossessionThatIsNotCanonicalIsRefused() public {
        Registration memory given = valid();
        // x + p, where it fits into 48 bytes: it does for two of three points.
        for (uint256 seed = 1;; ++seed) {
            given = registration(alice, seed, MIN_STAKE);
            G1Point memory point = abi.decode(abi.encodePacked(pad(given.possession)), (G1Point));
            unchecked {
                uint256 low = point.xLow + Bls12381.P_LOW;
                uint256 high = point.xHigh + Bls12381.P_HIGH + (low < point.xLow ? 1 : 0);
                if (high >> 128 != 0) continue;
                (point.xHigh, point.xLow) = (high, low);
            }
            given.possession = Signer.rawG1(point);
            break;
        }

        expectRefused(given, abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.PAIRING));
    }

    function test_T06_KeyOffTheCurveIsRefused() public {
        bytes memory publicKey = Signer.publicKey(Signer.key(1));
        publicKey[191] = bytes1(uint8(publicKey[191]) ^ 1);
        expectPointRefused(publicKey);
    }

    function test_T06_KeyOffTheSubgroupIsRefused() public {
        bytes memory publicKey = vector(".g2_off_subgroup");
        // The addition takes it: only the pairing stands between such a key and the sum of all.
        G2Point memory sum = Bls12381.loadG2(Signer.publicKey(Signer.key(1)), 0);
        Bls12381.addG2(sum, Bls12381.loadG2(publicKey, 0), 100_000);

        expectPointRefused(publicKey);
    }

    function test_RevertIf_KeyOrPossessionHasAnotherLength() public {
        Registration memory given = valid();
        bytes memory publicKey = given.publicKey;
        given.publicKey = bytes.concat(publicKey, hex"00");
        expectRefused(given, abi.encodeWithSelector(Possession.PublicKeyLength.selector, 193, 192));
        given.publicKey = publicKey;
        given.possession = bytes.concat(given.possession, hex"00");
        expectRefused(given, abi.encodeWithSelector(Possession.PossessionLength.selector, 97, 96));
        given.possession = "";
        expectRefused(given, abi.encodeWithSelector(Possession.PossessionLength.selector, 0, 96));
    }

    // ---- once, and for ever

    function test_T01_KeyIsItsFirstOperatorsForEver() public {
        register(bob, 1, MIN_STAKE);
        Registration memory given = valid();
        given.peerId = "another";
        bytes32 hash = keccak256(given.publicKey);
        bytes memory reason = abi.encodeWithSelector(OperatorRegistry.KeyUsed.selector, hash, bob);

        vm.prank(alice);
        vm.expectRevert(reason);
        registry.register(given);
        // Nor after bob has left for good; not even by bob.
        Registration memory again = registration(bob, 1, MIN_STAKE);
        vm.startPrank(bob);
        registry.exit();
        pass(DELAY);
        stake.release();
        vm.expectRevert(reason);
        registry.register(again);
        vm.stopPrank();
        vm.prank(alice);
        vm.expectRevert(reason);
        registry.register(given);
        assertEq(registry.operatorOfKey(hash), bob);
    }

    function test_RevertIf_RegisteredTwice() public {
        register(alice, 1, MIN_STAKE);
        Registration memory given = registration(alice, 2, MIN_STAKE);

        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.AlreadyRegistered.selector, alice));
        registry.register(given);
    }

    function test_RevertIf_PeerIdIsAnothers() public {
        register(bob, 2, MIN_STAKE);
        Registration memory given = valid();
        given.peerId = abi.encodePacked("peer", uint256(2));
        bytes memory reason =
            abi.encodeWithSelector(OperatorRegistry.PeerIdUsed.selector, keccak256(given.peerId), bob);

        vm.prank(alice);
        vm.expectRevert(reason);
        registry.register(given);
        vm.prank(bob);
        registry.exit();
        vm.prank(alice);
        vm.expectRevert(reason);
        registry.register(given);
    }

    function test_OperatorThatComesBackKeepsItsPeerId() public {
        register(alice, 1, MIN_STAKE);
        vm.startPrank(alice);
        registry.exit();
        Registration memory given = registration(alice, 2, MIN_STAKE);
        given.peerId = abi.encodePacked("peer", uint256(1));

        registry.register(given);

        (bool active,, bytes memory publicKey, bytes memory peerId) = registry.operator(alice);
        assertTrue(active);
        assertEq(publicKey, given.publicKey);
        assertEq(peerId, given.peerId);
    }

    // ---- bounds

    function test_RevertIf_PeerIdIsEmptyOrTooLong() public {
        Registration memory given = valid();
        given.peerId = "";
        expectRefused(given, abi.encodeWithSelector(OperatorRegistry.PeerIdLength.selector, 0, 64));
        given.peerId = new bytes(65);
        expectRefused(given, abi.encodeWithSelector(OperatorRegistry.PeerIdLength.selector, 65, 64));
        given.peerId = new bytes(64);
        vm.prank(alice);
        registry.register(given);
    }

    function test_RevertIf_MetadataIsTooLong() public {
        Registration memory given = valid();
        given.metadata = string(new bytes(257));
        expectRefused(given, abi.encodeWithSelector(OperatorRegistry.MetadataLength.selector, 257, 256));
        given.metadata = string(new bytes(256));
        vm.prank(alice);
        registry.register(given);
    }

    function test_T21_StakeBelowTheMinimumBuysNoSeat() public {
        expectRefused(
            registration(alice, 1, MIN_STAKE - 1),
            abi.encodeWithSelector(OperatorRegistry.StakeTooSmall.selector, MIN_STAKE - 1, MIN_STAKE)
        );
    }

    function pad(bytes memory raw) private pure returns (bytes memory) {
        return bytes.concat(bytes16(0), slice(raw, 0, 48), bytes16(0), slice(raw, 48, 96));
    }
}
