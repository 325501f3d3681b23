// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {NetworkTerms, OperatorRegistry, Registration, Removal} from "../../src/registry/OperatorRegistry.sol";
import {Possession} from "../../src/registry/Possession.sol";
import {OracleStake} from "../mocks/OracleStake.sol";
import {Registered} from "../support/Registered.sol";
import {Signer} from "../support/Signer.sol";

contract ExitTest is Registered {
    function setUp() public override {
        super.setUp();
        register(alice, 1, 250e18);
        register(bob, 2, 150e18);
        register(carol, 3, MIN_STAKE);
    }

    function test_LeaverIsOutOfTheNextSetAndItsPlaceIsTaken() public {
        vm.expectEmit(address(registry));
        emit OperatorRegistry.OperatorRemoved(alice, Removal.Exit);
        vm.prank(alice);
        registry.exit();

        (,, address[] memory operators) = capture();
        assertEq(operators.length, 2);
        assertEq(operators[0], carol);
        assertEq(operators[1], bob);
        assertEq(registry.operatorAt(0), carol);
        // Carol moved; leaving from her new place leaves the others where they are.
        vm.prank(carol);
        registry.exit();
        assertEq(registry.count(), 1);
        assertEq(registry.operatorAt(0), bob);
    }

    function test_LeaversKeyAndPeerIdStayForTheHeadersThatCarryThem() public {
        vm.prank(alice);
        registry.exit();

        (bool active,, bytes memory publicKey, bytes memory peerId) = registry.operator(alice);
        assertFalse(active);
        assertEq(publicKey, Signer.publicKey(Signer.key(1)));
        assertEq(peerId, abi.encodePacked("peer", uint256(1)));
    }

    function test_LeaversStakeIsFreeAfterTheDelay() public {
        uint256 before = token.balanceOf(alice);
        vm.prank(alice);
        registry.exit();

        assertEq(stake.stakeOf(alice), 0);
        assertEq(stake.slashableOf(alice), 250e18);
        pass(DELAY);
        vm.prank(alice);
        stake.release();
        assertEq(token.balanceOf(alice), before + 250e18);
        assertEq(stake.slashableOf(alice), 0);
    }

    function test_RevertIf_NotActive() public {
        bytes memory reason = abi.encodeWithSelector(OperatorRegistry.NotActive.selector, alice);
        Registration memory given = registration(alice, 9, MIN_STAKE);
        vm.startPrank(alice);
        registry.exit();

        vm.expectRevert(reason);
        registry.exit();
        vm.expectRevert(reason);
        registry.rotateKey(given.publicKey, given.possession);
        vm.expectRevert(reason);
        registry.changePeerId("peer");
        vm.expectRevert(reason);
        registry.changeMetadata("metadata");
        vm.expectRevert(reason);
        registry.eject(alice);
    }

    function test_ViewOfAStrangerIsEmpty() public {
        (bool active, bool isSlashed, bytes memory publicKey, bytes memory peerId) =
            registry.operator(makeAddr("stranger"));

        assertFalse(active || isSlashed);
        assertEq(publicKey.length + peerId.length, 0);
    }
}

contract RotationTest is Registered {
    function setUp() public override {
        super.setUp();
        register(alice, 1, 250e18);
        register(bob, 2, 150e18);
    }

    function rotate(address operator, uint256 seed) private {
        Registration memory given = registration(operator, seed, 0);
        vm.prank(operator);
        registry.rotateKey(given.publicKey, given.possession);
    }

    function keyIn(bytes memory leafPreimages, uint256 index) private pure returns (bytes memory) {
        uint256 at = index * HeaderLib.ENTRY_BYTES;
        return slice(leafPreimages, at + HeaderLib.ENTRY_KEY_OFFSET, at + HeaderLib.ENTRY_BYTES);
    }

    function test_NewKeyCountsFromTheNextCapture() public {
        (bytes memory header, bytes memory before,) = capture();

        vm.expectEmit(address(registry));
        emit OperatorRegistry.KeyRotated(alice, Signer.publicKey(Signer.key(7)));
        rotate(alice, 7);

        assertEq(registry.headerHash(1), keccak256(header), "the captured set goes on");
        pass(INTERVAL);
        (, bytes memory later,) = capture();
        assertEq(keyIn(before, 0), Signer.publicKey(Signer.key(1)));
        assertEq(keyIn(later, 0), Signer.publicKey(Signer.key(7)));
        assertEq(keyIn(later, 1), Signer.publicKey(Signer.key(2)));
        (,, bytes memory publicKey, bytes memory peerId) = registry.operator(alice);
        assertEq(publicKey, Signer.publicKey(Signer.key(7)));
        assertEq(peerId, abi.encodePacked("peer", uint256(1)), "the peer id stays");
    }

    function test_OldKeyStaysItsOperatorsForEver() public {
        rotate(alice, 7);

        assertEq(registry.operatorOfKey(keccak256(Signer.publicKey(Signer.key(1)))), alice);
        assertEq(registry.operatorOfKey(keccak256(Signer.publicKey(Signer.key(7)))), alice);
        Registration memory back = registration(alice, 1, 0);
        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(OperatorRegistry.KeyUsed.selector, keccak256(back.publicKey), alice)
        );
        registry.rotateKey(back.publicKey, back.possession);
    }

    function test_T01_RotationNeedsPossession() public {
        Registration memory given = registration(bob, 7, 0);

        vm.prank(alice);
        vm.expectRevert(Possession.PossessionInvalid.selector);
        registry.rotateKey(given.publicKey, given.possession);
    }

    function test_T03_RotationRefusesTheTagOfAlerts() public {
        bytes memory publicKey = Signer.publicKey(Signer.key(7));
        bytes32 digest = registry.possessionDigest(alice, publicKey);
        bytes memory signature = Signer.sign(Signer.key(7), digest, AlertLib.ALERT_DST);

        vm.prank(alice);
        vm.expectRevert(Possession.PossessionInvalid.selector);
        registry.rotateKey(publicKey, signature);
    }

    function test_PeerIdChangesAtOnceAndTheKeyStays() public {
        vm.expectEmit(address(registry));
        emit OperatorRegistry.PeerIdChanged(alice, "new node");
        vm.prank(alice);
        registry.changePeerId("new node");

        (,, bytes memory publicKey, bytes memory peerId) = registry.operator(alice);
        assertEq(peerId, "new node");
        assertEq(publicKey, Signer.publicKey(Signer.key(1)));
        // The old one stays hers, and she can go back to it.
        bytes memory old = abi.encodePacked("peer", uint256(1));
        assertEq(registry.operatorOfPeerId(keccak256(old)), alice);
        vm.prank(alice);
        registry.changePeerId(old);
    }

    function test_RevertIf_NewPeerIdIsAnothersOrEmpty() public {
        bytes memory bobs = abi.encodePacked("peer", uint256(2));
        vm.startPrank(alice);

        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.PeerIdUsed.selector, keccak256(bobs), bob));
        registry.changePeerId(bobs);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.PeerIdLength.selector, 0, 64));
        registry.changePeerId("");
    }

    function test_MetadataIsInTheEvent() public {
        vm.expectEmit(address(registry));
        emit OperatorRegistry.MetadataChanged(alice, "https://alice.example");
        vm.prank(alice);
        registry.changeMetadata("https://alice.example");

        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.MetadataLength.selector, 257, 256));
        registry.changeMetadata(string(new bytes(257)));
    }
}

/// @dev Stake that can fall by itself, as a restaking source's may.
contract EjectionTest is Registered {
    OracleStake private oracle;

    function setUp() public override {
        super.setUp();
        oracle = new OracleStake(nextAddress(1), DELAY);
        registry = new OperatorRegistry(oracle, terms());
        register(alice, 1, 250e18);
        register(bob, 2, 150e18);
    }

    function test_AnyoneEjectsAnOperatorBelowTheMinimum() public {
        oracle.setStake(alice, MIN_STAKE - 1);

        vm.expectEmit(address(registry));
        emit OperatorRegistry.OperatorRemoved(alice, Removal.BelowMinimum);
        vm.prank(makeAddr("anyone"));
        registry.eject(alice);

        assertEq(registry.count(), 1);
        assertEq(registry.operatorAt(0), bob);
        assertEq(oracle.left(0), alice, "what is left of the stake is on its way out");
    }

    function test_RevertIf_StakeIsAtTheMinimum() public {
        oracle.setStake(alice, MIN_STAKE);

        vm.expectRevert(
            abi.encodeWithSelector(OperatorRegistry.StakeSufficient.selector, MIN_STAKE, MIN_STAKE)
        );
        registry.eject(alice);
    }

    function test_T20_OperatorBelowTheMinimumCountsInNoCaptureThoughNobodyEjectedIt() public {
        oracle.setStake(alice, MIN_STAKE - 1);

        (bytes memory header, bytes memory leafPreimages, address[] memory operators) = capture();

        assertEq(operators.length, 1);
        assertEq(operators[0], bob);
        assertEq(leafPreimages.length, HeaderLib.ENTRY_BYTES);
        assertEq(slice(header, 4, 22), abi.encodePacked(uint16(1), uint128(150e18)), "count and total weight");
        // It counts again as soon as it has enough.
        oracle.setStake(alice, MIN_STAKE);
        pass(INTERVAL);
        (,, operators) = capture();
        assertEq(operators.length, 2);
    }

    function test_T20_ZeroesOfAnOracleCannotLeaveTheSetToAFew() public {
        NetworkTerms memory floored = terms();
        floored.minTotalStake = 400e18;
        oracle = new OracleStake(nextAddress(1), DELAY);
        registry = new OperatorRegistry(oracle, floored);
        register(alice, 1, 250e18);
        register(bob, 2, 150e18);
        registry.capture();
        pass(INTERVAL);
        oracle.setStake(alice, 0);

        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.TotalStakeTooSmall.selector, 150e18, 400e18));
        registry.capture();
        // The epoch before goes on until its end.
        assertEq(registry.currentEpoch(), 1);
    }
}

contract FullRegistryTest is Registered {
    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 256; ++i) {
            address operator = seat(i);
            fund(operator);
            register(operator, 100 + i, MIN_STAKE + i);
        }
    }

    function seat(uint256 i) private pure returns (address) {
        return address(uint160(0x1000 + i));
    }

    function test_T21_FullRegistryTakesNobody() public {
        Registration memory given = registration(alice, 1, 1000e18);

        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.RegistryFull.selector, 256));
        registry.register(given);
    }

    function test_T21_MoreStakeTakesTheSeatOfLess() public {
        Registration memory given = registration(alice, 1, MIN_STAKE + 8);

        vm.expectEmit(address(registry));
        emit OperatorRegistry.OperatorRemoved(seat(7), Removal.Displaced);
        vm.prank(alice);
        registry.registerInPlaceOf(seat(7), given);

        assertEq(registry.count(), 256);
        (bool active,,,) = registry.operator(alice);
        assertTrue(active);
        (active,,,) = registry.operator(seat(7));
        assertFalse(active);
        assertEq(stake.stakeOf(seat(7)), 0);
        assertEq(stake.slashableOf(seat(7)), MIN_STAKE + 7);
    }

    function test_T21_AsMuchStakeTakesNoSeat() public {
        Registration memory given = registration(alice, 1, MIN_STAKE + 7);

        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(OperatorRegistry.StakeNotLarger.selector, MIN_STAKE + 7, MIN_STAKE + 7)
        );
        registry.registerInPlaceOf(seat(7), given);
    }

    function test_T21_DisplacedOperatorComesBackWithTheSameStake() public {
        Registration memory given = registration(alice, 1, 1000e18);
        vm.prank(alice);
        registry.registerInPlaceOf(seat(7), given);
        uint256 balance = token.balanceOf(seat(7));

        given = registration(seat(7), 2, MIN_STAKE + 7);
        vm.prank(seat(7));
        registry.registerInPlaceOf(seat(6), given);

        assertEq(stake.stakeOf(seat(7)), MIN_STAKE + 7);
        assertEq(token.balanceOf(seat(7)), balance, "no second bond");
    }

    function test_RevertIf_DisplacedIsNotActive() public {
        Registration memory given = registration(alice, 1, 1000e18);

        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.NotActive.selector, bob));
        registry.registerInPlaceOf(bob, given);
    }

    function test_RevertIf_SeatIsFree() public {
        vm.prank(seat(0));
        registry.exit();
        Registration memory given = registration(alice, 1, 1000e18);

        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.RegistryNotFull.selector, 255, 256));
        registry.registerInPlaceOf(seat(7), given);
    }

    function test_T35_CaptureOf256FitsWellIntoATransaction() public {
        uint256 before = gasleft();
        registry.capture();

        assertLt(before - gasleft(), 8_000_000, "EIP-7825 allows 2^24");
    }
}
