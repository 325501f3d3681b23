// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {OperatorRegistry} from "../../src/registry/OperatorRegistry.sol";
import {SuccessionTerms} from "../../src/verifier/OperatorSetChain.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {FeeToken} from "../mocks/FeeToken.sol";
import {Signer} from "../support/Signer.sol";

abstract contract Registered is Test {
    uint96 internal constant MIN_BOND = 100e18;

    DemoToken internal token;
    OperatorRegistry internal registry;
    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        token = new DemoToken("Bond", "BOND");
        registry = new OperatorRegistry(token, MIN_BOND, 1 hours, 7 days, 14 days);
        fund(alice);
        fund(bob);
    }

    function fund(address account) internal {
        token.mint(account, 1_000_000e18);
        vm.prank(account);
        token.approve(address(registry), type(uint256).max);
    }

    function possession(uint256 secret, address operator, address registry_, uint256 chainId)
        internal
        view
        returns (bytes memory)
    {
        bytes32 digest = keccak256(
            abi.encode(
                keccak256(
                    "TocsinPossession(bytes32 networkId,uint256 chainId,address registry,address operator,bytes32 publicKeyHash)"
                ),
                registry.networkId(),
                chainId,
                registry_,
                operator,
                keccak256(Signer.publicKey(secret))
            )
        );
        return Signer.sign(secret, digest, AlertLib.POSSESSION_DST);
    }

    function possession(uint256 secret, address operator) internal view returns (bytes memory) {
        return possession(secret, operator, address(registry), block.chainid);
    }

    function register(address operator, uint256 seed, uint128 bond) internal {
        uint256 secret = Signer.key(seed);
        bytes memory proof = possession(secret, operator);
        bytes memory publicKey = Signer.publicKey(secret);
        vm.prank(operator);
        registry.register(publicKey, proof, abi.encodePacked("peer", seed), bond);
    }
}

contract RegisterTest is Registered {
    function test_RegisteredOperatorReadsBack() public {
        register(alice, 1, 250e18);

        (uint96 bond, bool active, uint64 withdrawableAt, bytes memory publicKey, bytes memory peerId) =
            registry.operator(alice);
        assertEq(bond, 250e18);
        assertTrue(active);
        assertEq(withdrawableAt, 0);
        assertEq(publicKey, Signer.publicKey(Signer.key(1)));
        assertEq(peerId, abi.encodePacked("peer", uint256(1)));
        assertEq(registry.count(), 1);
        assertEq(registry.operatorAt(0), alice);
        assertEq(token.balanceOf(address(registry)), 250e18);
    }

    function expectRefused(bytes memory publicKey, bytes memory proof, bytes memory reason) internal {
        vm.prank(alice);
        vm.expectRevert(reason);
        registry.register(publicKey, proof, "peer", MIN_BOND);
    }

    function expectPossessionRefused(bytes memory proof) internal {
        expectRefused(
            Signer.publicKey(Signer.key(1)),
            proof,
            abi.encodePacked(OperatorRegistry.PossessionInvalid.selector)
        );
    }

    function test_RevertIf_PossessionIsOfAnotherOperator() public {
        expectPossessionRefused(possession(Signer.key(1), bob));
    }

    function test_RevertIf_PossessionIsForAnotherRegistry() public {
        expectPossessionRefused(possession(Signer.key(1), alice, address(this), block.chainid));
    }

    function test_RevertIf_PossessionIsForAnotherChain() public {
        expectPossessionRefused(possession(Signer.key(1), alice, address(registry), block.chainid + 1));
    }

    function test_RevertIf_PossessionIsByAnotherKey() public {
        // The digest of key 1, signed by key 2: what a rogue key would need.
        bytes32 digest = registry.possessionDigest(alice, Signer.publicKey(Signer.key(1)));
        expectPossessionRefused(Signer.sign(Signer.key(2), digest, AlertLib.POSSESSION_DST));
    }

    function test_RevertIf_PossessionHasTheTagOfAlerts() public {
        bytes32 digest = registry.possessionDigest(alice, Signer.publicKey(Signer.key(1)));
        expectPossessionRefused(Signer.sign(Signer.key(1), digest, AlertLib.ALERT_DST));
    }

    function test_RevertIf_PossessionIsMissingOrInfinity() public {
        bytes memory publicKey = Signer.publicKey(Signer.key(1));
        expectRefused(
            publicKey, "", abi.encodeWithSelector(OperatorRegistry.PossessionLength.selector, 0, 96)
        );
        expectRefused(
            publicKey, new bytes(96), abi.encodePacked(OperatorRegistry.PossessionIsInfinity.selector)
        );
        bytes memory proof = possession(Signer.key(1), alice);
        expectRefused(
            publicKey,
            bytes.concat(proof, hex"00"),
            abi.encodeWithSelector(OperatorRegistry.PossessionLength.selector, 97, 96)
        );
    }

    function test_RevertIf_KeyIsInfinity() public {
        // With key and signature at infinity the pairing alone would be true.
        bytes memory proof = possession(Signer.key(1), alice);
        expectRefused(new bytes(192), proof, abi.encodePacked(OperatorRegistry.KeyIsInfinity.selector));
    }

    function test_RevertIf_KeyHasAnotherLength() public {
        bytes memory publicKey = bytes.concat(Signer.publicKey(Signer.key(1)), hex"00");
        bytes memory proof = possession(Signer.key(1), alice);
        expectRefused(
            publicKey, proof, abi.encodeWithSelector(OperatorRegistry.PublicKeyLength.selector, 193, 192)
        );
    }

    function expectPointRefused(bytes memory publicKey) internal {
        bytes memory proof = possession(Signer.key(1), alice);
        expectRefused(
            publicKey, proof, abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.PAIRING)
        );
    }

    function test_RevertIf_KeyIsOffTheCurve() public {
        bytes memory publicKey = Signer.publicKey(Signer.key(1));
        publicKey[191] = bytes1(uint8(publicKey[191]) ^ 1);
        expectPointRefused(publicKey);
    }

    function test_RevertIf_KeyIsOffTheSubgroup() public {
        string memory json = vm.readFile("../tests/vectors/contracts.json");
        expectPointRefused(vm.parseJsonBytes(json, ".g2_off_subgroup"));
    }

    function test_RevertIf_KeysCoordinatesAreSwapped() public {
        bytes memory raw = Signer.publicKey(Signer.key(1));
        bytes memory swapped = new bytes(192);
        for (uint256 i = 0; i < 48; ++i) {
            (swapped[i], swapped[48 + i]) = (raw[48 + i], raw[i]);
            (swapped[96 + i], swapped[144 + i]) = (raw[144 + i], raw[96 + i]);
        }
        expectPointRefused(swapped);
    }

    function test_RevertIf_KeyIsNotCanonical() public {
        string memory json = vm.readFile("../tests/vectors/contracts.json");
        expectPointRefused(vm.parseJsonBytes(json, ".g2_not_canonical"));
    }

    function test_RevertIf_KeyWasUsed() public {
        register(bob, 1, MIN_BOND);
        bytes memory publicKey = Signer.publicKey(Signer.key(1));
        bytes memory proof = possession(Signer.key(1), alice);
        bytes memory reason = abi.encodeWithSelector(OperatorRegistry.KeyUsed.selector, keccak256(publicKey));

        expectRefused(publicKey, proof, reason);
        // Nor after its owner has left for good.
        vm.startPrank(bob);
        registry.requestExit();
        vm.warp(block.timestamp + 14 days);
        registry.withdraw();
        vm.stopPrank();
        expectRefused(publicKey, proof, reason);
    }

    function test_RevertIf_RegisteredTwice() public {
        register(alice, 1, MIN_BOND);
        bytes memory publicKey = Signer.publicKey(Signer.key(2));
        bytes memory proof = possession(Signer.key(2), alice);
        expectRefused(
            publicKey, proof, abi.encodeWithSelector(OperatorRegistry.AlreadyRegistered.selector, alice)
        );
    }

    function test_RevertIf_PeerIdIsUsedOrHasAnotherLength() public {
        register(bob, 1, MIN_BOND);
        bytes memory publicKey = Signer.publicKey(Signer.key(2));
        bytes memory proof = possession(Signer.key(2), alice);
        vm.startPrank(alice);

        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorRegistry.PeerIdUsed.selector, keccak256(abi.encodePacked("peer", uint256(1)))
            )
        );
        registry.register(publicKey, proof, abi.encodePacked("peer", uint256(1)), MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.PeerIdLength.selector, 0, 64));
        registry.register(publicKey, proof, "", MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.PeerIdLength.selector, 65, 64));
        registry.register(publicKey, proof, new bytes(65), MIN_BOND);
    }

    function test_RevertIf_BondIsTooSmallOrTooLarge() public {
        bytes memory publicKey = Signer.publicKey(Signer.key(1));
        bytes memory proof = possession(Signer.key(1), alice);
        vm.startPrank(alice);

        vm.expectRevert(
            abi.encodeWithSelector(OperatorRegistry.BondTooSmall.selector, MIN_BOND - 1, MIN_BOND)
        );
        registry.register(publicKey, proof, "peer", MIN_BOND - 1);
        uint128 large = uint128(type(uint96).max) + 1;
        vm.expectRevert(
            abi.encodeWithSelector(OperatorRegistry.BondTooLarge.selector, large, type(uint96).max)
        );
        registry.register(publicKey, proof, "peer", large);
    }

    function test_RevertIf_TokenChargesOnTransfer() public {
        FeeToken fee = new FeeToken();
        registry = new OperatorRegistry(fee, MIN_BOND, 1 hours, 7 days, 14 days);
        fee.mint(alice, 1000e18);
        vm.prank(alice);
        fee.approve(address(registry), type(uint256).max);
        bytes memory publicKey = Signer.publicKey(Signer.key(1));
        bytes memory proof = possession(Signer.key(1), alice);

        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(OperatorRegistry.BondNotReceived.selector, MIN_BOND - 1, MIN_BOND)
        );
        registry.register(publicKey, proof, "peer", MIN_BOND);
    }

    function test_RevertIf_RegistryIsFull() public {
        for (uint256 i = 0; i < 128; ++i) {
            address operator = address(uint160(0x1000 + i));
            fund(operator);
            register(operator, 100 + i, MIN_BOND);
        }
        bytes memory publicKey = Signer.publicKey(Signer.key(1));
        bytes memory proof = possession(Signer.key(1), alice);

        expectRefused(publicKey, proof, abi.encodeWithSelector(OperatorRegistry.RegistryFull.selector, 128));
        uint256 before = gasleft();
        registry.capture();
        assertLt(before - gasleft(), 8_000_000, "a full set can be captured well within EIP-7825's cap");
    }

    function test_RevertIf_Misconfigured() public {
        vm.expectRevert(OperatorRegistry.TokenZero.selector);
        new OperatorRegistry(IERC20(address(0)), MIN_BOND, 1, 1, 2);
        vm.expectRevert(OperatorRegistry.MinBondZero.selector);
        new OperatorRegistry(token, 0, 1, 1, 2);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.UnbondingTooShort.selector, 2, 2));
        new OperatorRegistry(token, MIN_BOND, 1, 2, 2);
    }
}

contract CaptureTest is Registered {
    function setUp() public override {
        super.setUp();
        register(alice, 1, 250e18);
        register(bob, 2, 150e18);
    }

    /// @dev The header and the leaves, put together here by hand.
    function test_CaptureEmitsWhatItHashes() public {
        bytes memory first = abi.encodePacked(uint16(0), uint96(250e18), Signer.publicKey(Signer.key(1)));
        bytes memory second = abi.encodePacked(uint16(1), uint96(150e18), Signer.publicKey(Signer.key(2)));
        bytes memory header = abi.encodePacked(
            uint32(1),
            uint16(2),
            uint128(400e18),
            uint64(block.number),
            uint64(block.timestamp),
            uint64(block.timestamp + 7 days),
            bytes32(0),
            keccak256(abi.encodePacked(keccak256(first), keccak256(second))),
            Signer.publicKey(addmod(Signer.key(1), Signer.key(2), Signer.ORDER))
        );
        address[] memory operators = new address[](2);
        (operators[0], operators[1]) = (alice, bob);

        vm.expectEmit(address(registry));
        emit OperatorRegistry.EpochCaptured(
            1, keccak256(header), header, bytes.concat(first, second), operators
        );
        registry.capture();

        assertEq(registry.headerHash(1), keccak256(header));
        // A verifier takes it, and a certificate of both passes.
        QuorumVerifier verifier =
            new QuorumVerifier(registry.networkId(), header, SuccessionTerms(address(0), 1, 0, 0));
        bytes memory signature =
            Signer.sign(addmod(Signer.key(1), Signer.key(2), Signer.ORDER), "digest", AlertLib.ALERT_DST);
        (uint128 signed,) = verifier.verify(
            "digest", 1, keccak256(header), 6667, abi.encodePacked(header, signature, uint8(0), uint16(0))
        );
        assertEq(signed, 400e18);
    }

    function test_EpochsAreChained() public {
        (, bytes32 firstHash) = registry.capture();
        vm.warp(block.timestamp + 1 hours);
        vm.recordLogs();
        (uint32 epoch,) = registry.capture();
        (bytes memory header,,) = abi.decode(vm.getRecordedLogs()[0].data, (bytes, bytes, address[]));

        bytes32 previous;
        assembly {
            previous := mload(add(header, 78))
        }
        assertEq(epoch, 2);
        assertEq(previous, firstHash);
    }

    function test_RevertIf_CapturedTooEarly() public {
        registry.capture();
        uint256 notBefore = vm.getBlockTimestamp() + 1 hours;
        vm.warp(notBefore - 1);

        vm.expectRevert(
            abi.encodeWithSelector(OperatorRegistry.CaptureTooEarly.selector, notBefore - 1, notBefore)
        );
        registry.capture();
        vm.warp(notBefore);
        registry.capture();
    }

    function test_RevertIf_NobodyIsActive() public {
        vm.prank(alice);
        registry.requestExit();
        vm.prank(bob);
        registry.requestExit();

        vm.expectRevert(OperatorRegistry.NoOperators.selector);
        registry.capture();
    }

    function test_AddedBondCounts() public {
        vm.prank(bob);
        registry.addBond(50e18);

        (uint96 bond,,,,) = registry.operator(bob);
        assertEq(bond, 200e18);
        assertEq(token.balanceOf(address(registry)), 450e18);
    }

    function test_RevertIf_AddedBondIsZeroTooLargeOrNotAnOperators() public {
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.NotActive.selector, address(this)));
        registry.addBond(1);
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.BondTooSmall.selector, 0, 1));
        registry.addBond(0);
        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorRegistry.BondTooLarge.selector, uint256(type(uint96).max) + 150e18, type(uint96).max
            )
        );
        registry.addBond(type(uint96).max);
    }

    function test_LeaverIsOutOfTheNextSetAndIsPaidAfterTheDelay() public {
        uint256 before = token.balanceOf(alice);
        vm.prank(alice);
        registry.requestExit();
        uint64 at = uint64(vm.getBlockTimestamp()) + 14 days;

        assertEq(registry.count(), 1);
        assertEq(registry.operatorAt(0), bob);
        vm.warp(at - 1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.NotWithdrawable.selector, at - 1, at));
        registry.withdraw();
        vm.warp(at);
        vm.prank(alice);
        registry.withdraw();
        assertEq(token.balanceOf(alice), before + 250e18);
    }

    function test_RevertIf_WithdrawnWithoutLeavingOrTwice() public {
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.NotWithdrawable.selector, block.timestamp, 0));
        registry.withdraw();
        registry.requestExit();
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.NotActive.selector, alice));
        registry.requestExit();
        vm.warp(block.timestamp + 14 days);
        registry.withdraw();
        vm.expectRevert(
            abi.encodeWithSelector(OperatorRegistry.NotWithdrawable.selector, vm.getBlockTimestamp(), 0)
        );
        registry.withdraw();
    }
}
