// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381, G1Point} from "../../src/libraries/Bls12381.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HandoverLib} from "../../src/libraries/HandoverLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {Conflict, EquivocationProof} from "../../src/registry/EquivocationProof.sol";
import {OperatorRegistry, Registration, Removal, Statement} from "../../src/registry/OperatorRegistry.sol";
import {Evidence} from "../support/Evidence.sol";
import {Signer} from "../support/Signer.sol";

/// @dev Alice, bob, carol and dave at the indices 0 to 3, with the keys of the seeds 1 to 4.
abstract contract Accused is Evidence {
    uint8 internal constant PRESENT = HeaderLib.MODE_PRESENT;
    uint8 internal constant ABSENT = HeaderLib.MODE_ABSENT;
    uint256 internal constant ALICE = 1;
    uint256 internal constant BOB = 2;
    uint256 internal constant CAROL = 4;
    uint256 internal constant DAVE = 8;
    uint256 internal constant ALL = 15;

    address internal dave = makeAddr("dave");
    address internal reporter = makeAddr("reporter");
    Epoch internal captured;

    function setUp() public virtual override {
        super.setUp();
        fund(dave);
        register(alice, 1, 400e18);
        register(bob, 2, 200e18);
        register(carol, 3, 100e18);
        register(dave, 4, 100e18);
        captured = captureEpoch();
    }

    function isActive(address operator) internal view returns (bool active) {
        (active,,,) = registry.operator(operator);
    }
}

contract AlertEquivocationTest is Accused {
    Statement private first;
    Statement private second;

    function setUp() public override {
        super.setUp();
        first = makeStatement(captured, 7, 1);
        second = makeStatement(captured, 7, 2);
    }

    function sign(Statement memory statement, uint8 mode, uint256 signers)
        private
        view
        returns (bytes memory)
    {
        return certify(captured, digestOf(statement), AlertLib.ALERT_DST, mode, signers);
    }

    /// @dev Alice alone signed both.
    function valid() private view returns (Conflict memory) {
        return makeConflict(captured, sign(first, PRESENT, ALICE), sign(second, PRESENT, ALICE), ALICE);
    }

    function slash(Conflict memory conflict) private returns (uint256) {
        vm.prank(reporter);
        return registry.slashForAlerts(first, second, conflict);
    }

    function expectRefused(Conflict memory conflict, bytes memory reason) private {
        Statement memory given = first;
        Statement memory other = second;
        vm.prank(reporter);
        vm.expectRevert(reason);
        registry.slashForAlerts(given, other, conflict);
        assertEq(stake.slashableOf(alice), 400e18);
    }

    // ---- what a proof does

    function test_I8_EquivocatorLosesItsShareAndItsSeat() public {
        Conflict memory conflict = valid();
        bytes32 fault = registry.alertFault(1, slotOf(7));

        vm.expectEmit(address(registry));
        emit OperatorRegistry.OperatorRemoved(alice, Removal.Slashed);
        vm.expectEmit(address(registry));
        emit OperatorRegistry.OperatorSlashed(alice, fault, reporter, 200e18);
        assertEq(slash(conflict), 1);

        assertEq(stake.slashableOf(alice), 200e18, "half, as the terms say");
        assertEq(stake.owed(reporter), 20e18, "a tenth of what was taken");
        assertEq(stake.owed(BURN), 180e18);
        assertTrue(registry.isPunished(fault, alice));
        (bool active, bool isSlashed,,) = registry.operator(alice);
        assertFalse(active);
        assertTrue(isSlashed);
        assertEq(stake.stakeOf(alice), 0, "what is left is on its way out");
        assertEq(stake.slashableOf(bob), 200e18);
        assertEq(registry.count(), 3);
    }

    function test_AggregatesProveItOfEverySignerOfBoth() public {
        // Alice and bob signed both; carol the first, dave the second. Once listed, once by absence.
        Conflict memory conflict = makeConflict(
            captured,
            sign(first, PRESENT, ALICE | BOB | CAROL),
            sign(second, ABSENT, ALICE | BOB | DAVE),
            ALICE | BOB
        );

        assertEq(slash(conflict), 2);

        assertFalse(isActive(alice) || isActive(bob));
        assertTrue(isActive(carol) && isActive(dave));
        assertEq(stake.slashableOf(carol) + stake.slashableOf(dave), 200e18);
    }

    function test_CertificateOfAllIsEvidenceWithoutAList() public {
        Conflict memory conflict =
            makeConflict(captured, sign(first, ABSENT, ALL), sign(second, PRESENT, DAVE), DAVE);

        assertEq(slash(conflict), 1);

        assertFalse(isActive(dave));
    }

    function test_SlashedOperatorNeverComesBack() public {
        slash(valid());
        Registration memory given = registration(alice, 9, MIN_STAKE);

        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.SlashedBefore.selector, alice));
        registry.register(given);
    }

    function test_LeaverIsSlashedUntilItsStakeIsReleased() public {
        vm.prank(alice);
        registry.exit();
        vm.warp(vm.getBlockTimestamp() + LIFETIME + WINDOW);

        assertEq(slash(valid()), 1);

        assertEq(stake.slashableOf(alice), 200e18);
    }

    function test_UnbondedStakeIsSlashedToo() public {
        vm.prank(alice);
        stake.unbond(300e18);

        slash(valid());

        assertEq(stake.slashableOf(alice), 200e18, "half of all, not of the rest");
    }

    function test_OldKeyIsHeldAgainstItsOperatorAfterRotation() public {
        Registration memory fresh = registration(alice, 9, 0);
        vm.prank(alice);
        registry.rotateKey(fresh.publicKey, fresh.possession);
        pass(INTERVAL);
        registry.capture();

        assertEq(slash(valid()), 1);

        assertEq(stake.slashableOf(alice), 200e18);
    }

    function test_FaultIsPunishedOnce() public {
        Conflict memory conflict = valid();
        slash(conflict);

        assertEq(slash(conflict), 0);
        assertEq(stake.slashableOf(alice), 200e18);
        // Nor by a third alert for the same slot, nor with the two in the other order.
        Conflict memory turned = Conflict(conflict.second, conflict.first, conflict.leaves, conflict.accused);
        assertEq(registry.slashForAlerts(second, first, turned), 0);
        first = makeStatement(captured, 7, 3);
        assertEq(slash(valid()), 0);
        assertEq(stake.slashableOf(alice), 200e18);
    }

    function test_ReportOfOneDoesNotStallTheReportOfAll() public {
        slash(valid());
        Conflict memory both =
            makeConflict(captured, sign(first, ABSENT, ALL), sign(second, ABSENT, ALL), ALL);

        assertEq(slash(both), 3);

        assertEq(registry.count(), 0);
        assertEq(stake.slashableOf(alice), 200e18);
    }

    function test_AccusedTwiceInOneReportPaysOnce() public {
        Conflict memory conflict = valid();
        conflict.accused = bytes.concat(conflict.accused, conflict.accused);

        assertEq(slash(conflict), 1);
        assertEq(stake.slashableOf(alice), 200e18);
    }

    function test_AnotherSlotIsAnotherFault() public {
        slash(valid());
        first = makeStatement(captured, 8, 1);
        second = makeStatement(captured, 8, 2);

        assertEq(slash(valid()), 1);

        assertEq(stake.slashableOf(alice), 100e18, "half of what was left");
    }

    function test_SameSlotInAnotherEpochIsAnotherFault() public {
        Conflict memory before = valid();
        pass(INTERVAL);
        captured = captureEpoch();
        slash(before);
        first = makeStatement(captured, 7, 1);
        second = makeStatement(captured, 7, 2);

        assertEq(slash(valid()), 1);

        assertEq(stake.slashableOf(alice), 100e18);
    }

    function test_T36_EffectIsTheSameWhoeverReports() public {
        Conflict memory conflict = valid();
        uint256 snapshot = vm.snapshotState();
        slash(conflict);
        uint256 taken = stake.owed(reporter) + stake.owed(BURN);
        vm.revertToState(snapshot);

        vm.prank(alice);
        registry.slashForAlerts(first, second, conflict);

        assertEq(stake.owed(alice) + stake.owed(BURN), taken);
        assertEq(stake.slashableOf(alice), 200e18);
        assertLe(stake.owed(alice) * 2, taken, "who reports itself loses half of it at least");
    }

    // ---- what is no proof

    function test_RevertIf_DigestsAreEqual() public {
        second = first;
        expectRefused(
            valid(), abi.encodeWithSelector(EquivocationProof.DigestsEqual.selector, digestOf(first))
        );
    }

    function test_RevertIf_SlotsDiffer() public {
        second = makeStatement(captured, 8, 2);
        expectRefused(
            valid(),
            abi.encodeWithSelector(
                OperatorRegistry.StatementMismatch.selector, 1, captured.headerHash, slotOf(8)
            )
        );
    }

    function test_RevertIf_EpochsDiffer() public {
        // The same slot, signed in two epochs as an honest operator does at a rotation.
        pass(INTERVAL);
        Epoch memory next = captureEpoch();
        second = makeStatement(next, 7, 2);
        expectRefused(
            valid(),
            abi.encodeWithSelector(OperatorRegistry.StatementMismatch.selector, 2, next.headerHash, slotOf(7))
        );
        bytes memory late = certify(next, digestOf(second), AlertLib.ALERT_DST, PRESENT, ALICE);
        expectRefused(
            makeConflict(captured, sign(first, PRESENT, ALICE), late, ALICE),
            abi.encodeWithSelector(
                EquivocationProof.HeadersDiffer.selector, captured.headerHash, next.headerHash
            )
        );
    }

    function test_RevertIf_StatementNamesAnotherHeader() public {
        first.alert.headerHash = keccak256("another");
        expectRefused(
            valid(),
            abi.encodeWithSelector(
                OperatorRegistry.StatementMismatch.selector, 1, keccak256("another"), slotOf(7)
            )
        );
    }

    function test_RevertIf_HeaderIsNotOfThisRegistry() public {
        captured.header[300] ^= 0x01;
        expectRefused(
            valid(),
            abi.encodeWithSelector(
                OperatorRegistry.HeaderUnknown.selector, 1, keccak256(captured.header), captured.headerHash
            )
        );
    }

    function test_T22_SignaturesForAnotherNetworkAreNoProof() public {
        // The same operators, alerts and header bytes under the digest of another network.
        bytes32 other = this.foreignDigest(second);
        bytes memory foreign = certify(captured, other, AlertLib.ALERT_DST, PRESENT, ALICE);
        expectRefused(
            makeConflict(captured, sign(first, PRESENT, ALICE), foreign, ALICE),
            abi.encodePacked(CertificateLib.SignatureInvalid.selector)
        );
    }

    function foreignDigest(Statement calldata statement) external pure returns (bytes32) {
        return AlertLib.digest(
            keccak256("another network"),
            statement.alert,
            AlertLib.slotId(statement.alert),
            statement.actionsHash
        );
    }

    function test_RevertIf_AccusedSignedOnlyOne() public {
        bytes memory both = sign(first, PRESENT, ALICE | BOB);
        bytes memory alone = sign(second, PRESENT, ALICE);
        expectRefused(
            makeConflict(captured, both, alone, BOB),
            abi.encodeWithSelector(EquivocationProof.NotSigner.selector, 1, digestOf(second))
        );
        expectRefused(
            makeConflict(captured, sign(first, ABSENT, ALL ^ BOB), sign(second, ABSENT, ALL), BOB),
            abi.encodeWithSelector(EquivocationProof.NotSigner.selector, 1, digestOf(first))
        );
    }

    function test_RevertIf_OneIsClaimedToHaveSignedThatDidNot() public {
        // Bob is listed in the second, which alice alone signed.
        bytes memory signature = Signer.sign(Signer.key(1), digestOf(second), AlertLib.ALERT_DST);
        bytes memory reason = abi.encodePacked(CertificateLib.SignatureInvalid.selector);
        bytes memory both = sign(first, PRESENT, ALICE | BOB);

        bytes memory claimed = assemble(captured, signature, PRESENT, ALICE | BOB);
        expectRefused(makeConflict(captured, both, claimed, BOB), reason);
        claimed = assemble(captured, signature, ABSENT, ALICE | BOB);
        expectRefused(makeConflict(captured, claimed, both, BOB), reason);
    }

    function test_T03_SignaturesUnderOtherTagsAreNoProof() public {
        bytes memory reason = abi.encodePacked(CertificateLib.SignatureInvalid.selector);
        bytes memory genuine = sign(first, PRESENT, ALICE);

        bytes memory other = certify(captured, digestOf(second), HandoverLib.HANDOVER_DST, PRESENT, ALICE);
        expectRefused(makeConflict(captured, genuine, other, ALICE), reason);
        other = certify(captured, digestOf(second), AlertLib.POSSESSION_DST, PRESENT, ALICE);
        expectRefused(makeConflict(captured, other, genuine, ALICE), reason);
    }

    function test_T04_InfinityProvesNothing() public {
        bytes memory genuine = sign(first, PRESENT, ALICE);
        bytes memory empty = assemble(captured, new bytes(96), PRESENT, ALICE);
        expectRefused(
            makeConflict(captured, genuine, empty, ALICE),
            abi.encodePacked(CertificateLib.SignatureIsInfinity.selector)
        );
        // Everybody absent: the sum of the keys is infinity, and alice is no signer of it.
        empty = assemble(captured, new bytes(96), ABSENT, 0);
        expectRefused(
            makeConflict(captured, genuine, empty, ALICE),
            abi.encodeWithSelector(EquivocationProof.NotSigner.selector, 0, digestOf(second))
        );
    }

    function test_T01_KeysThatCancelEachOtherFrameNobody() public {
        // Two operators of one adversary, with opposite keys: their sum is infinity, and with it any sum is
        // that of the others alone.
        uint256 secret = Signer.key(50);
        registerSecret(makeAddr("eve"), secret);
        registerSecret(makeAddr("mallory"), Signer.ORDER - secret);
        pass(INTERVAL);
        captured = captureEpoch();
        first = makeStatement(captured, 7, 1);
        second = makeStatement(captured, 7, 2);
        uint256 adversaries = 1 << 4 | 1 << 5;
        bytes memory genuine = assemble(
            captured,
            Signer.sign(Signer.key(1), digestOf(first), AlertLib.ALERT_DST),
            PRESENT,
            ALICE | adversaries
        );

        bytes memory forged = assemble(
            captured, Signer.sign(secret, digestOf(second), AlertLib.ALERT_DST), PRESENT, ALICE | adversaries
        );
        expectRefused(
            makeConflict(captured, genuine, forged, ALICE),
            abi.encodePacked(CertificateLib.SignatureInvalid.selector)
        );
        forged = assemble(captured, new bytes(96), PRESENT, adversaries);
        expectRefused(
            makeConflict(captured, forged, forged, adversaries),
            abi.encodePacked(CertificateLib.SignatureIsInfinity.selector)
        );
        forged = assemble(captured, abi.encodePacked(genuineSignature()), PRESENT, adversaries);
        expectRefused(
            makeConflict(captured, forged, forged, adversaries),
            abi.encodePacked(CertificateLib.KeyIsInfinity.selector)
        );
    }

    function genuineSignature() private view returns (bytes memory) {
        return Signer.sign(Signer.key(50), digestOf(first), AlertLib.ALERT_DST);
    }

    function registerSecret(address operator, uint256 secret) private {
        fund(operator);
        Registration memory given = Registration({
            publicKey: Signer.publicKey(secret),
            possession: possession(secret, operator),
            peerId: abi.encodePacked(operator),
            metadata: "",
            stakeData: abi.encode(MIN_STAKE)
        });
        vm.prank(operator);
        registry.register(given);
    }

    function test_RevertIf_AccusedIsNoLeafOfTheHeader() public {
        Conflict memory conflict = valid();
        bytes memory entry = conflict.accused;

        // Bob's key in alice's place: only the leaf says whose key signed.
        conflict.accused =
            bytes.concat(slice(entry, 0, HeaderLib.ENTRY_KEY_OFFSET), Signer.publicKey(Signer.key(2)));
        expectRefused(conflict, abi.encodeWithSelector(EquivocationProof.AccusedNoLeaf.selector, 0));
        // An index beyond the set.
        conflict.accused = bytes.concat(bytes2(uint16(4)), slice(entry, 2, 206));
        expectRefused(conflict, abi.encodeWithSelector(EquivocationProof.AccusedNoLeaf.selector, 4));
        // Leaves of which one is exchanged.
        conflict = valid();
        conflict.leaves = bytes.concat(keccak256("leaf"), slice(conflict.leaves, 32, 128));
        expectRefused(
            conflict,
            abi.encodeWithSelector(
                CertificateLib.LeavesMismatch.selector, keccak256(conflict.leaves), keccak256(captured.leaves)
            )
        );
    }

    function test_RevertIf_NobodyIsAccusedOrHalfAnEntry() public {
        Conflict memory conflict = valid();
        conflict.accused = "";
        expectRefused(conflict, abi.encodeWithSelector(EquivocationProof.AccusedLength.selector, 0, 206));
        conflict.accused = new bytes(207);
        expectRefused(conflict, abi.encodeWithSelector(EquivocationProof.AccusedLength.selector, 207, 206));
    }

    function test_T11_ListWithADuplicateIsNoCertificate() public {
        // Alice's entry twice: her signature doubled would verify against her key doubled.
        bytes memory doubled = Signer.sign(
            addmod(Signer.key(1), Signer.key(1), Signer.ORDER), digestOf(second), AlertLib.ALERT_DST
        );
        bytes memory list = bytes.concat(captured.entries[0], captured.entries[0]);
        bytes memory certificate =
            abi.encodePacked(captured.header, doubled, PRESENT, uint16(2), captured.leaves, list);
        expectRefused(
            makeConflict(captured, sign(first, PRESENT, ALICE), certificate, ALICE),
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 0, 1, 4)
        );
        expectRefused(
            makeConflict(captured, certificate, sign(first, PRESENT, ALICE), ALICE),
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 0, 1, 4)
        );
    }

    function test_EvidenceCountsToTheEndOfItsWindow() public {
        uint256 until = vm.getBlockTimestamp() + LIFETIME + WINDOW;
        Conflict memory conflict = valid();
        vm.warp(until + 1);
        expectRefused(
            conflict, abi.encodeWithSelector(OperatorRegistry.EvidenceExpired.selector, until + 1, until)
        );

        vm.warp(until);
        assertEq(slash(conflict), 1);
    }
}

contract HandoverEquivocationTest is Accused {
    bytes32 private constant NEXT = keccak256("next set");
    bytes32 private constant OTHER = keccak256("another next set");

    function sign(Epoch memory signing, uint32 epoch, bytes32 setHash, bytes32 nextSet, uint256 signers)
        private
        view
        returns (bytes memory)
    {
        return
            certify(
                signing, handoverDigest(epoch, setHash, nextSet), HandoverLib.HANDOVER_DST, PRESENT, signers
            );
    }

    function makeHandovers(Epoch memory signing, uint32 epoch, bytes32 setHash, uint256 signers)
        private
        view
        returns (Conflict memory)
    {
        return makeConflict(
            signing,
            sign(signing, epoch, setHash, NEXT, signers),
            sign(signing, epoch, setHash, OTHER, signers),
            signers
        );
    }

    function expectRefused(
        uint32 epoch,
        bytes32 setHash,
        bytes32 first,
        bytes32 second,
        Conflict memory conflict,
        bytes memory reason
    ) private {
        vm.prank(reporter);
        vm.expectRevert(reason);
        registry.slashForHandovers(epoch, setHash, first, second, conflict);
    }

    function test_T27_TwoNextSetsForOneSetAreProof() public {
        Conflict memory conflict = makeHandovers(captured, 1, captured.headerHash, ALICE | BOB);
        bytes32 fault = registry.handoverFault(1, captured.headerHash);

        vm.prank(reporter);
        assertEq(registry.slashForHandovers(1, captured.headerHash, NEXT, OTHER, conflict), 2);

        assertFalse(isActive(alice) || isActive(bob));
        assertTrue(registry.isPunished(fault, alice) && registry.isPunished(fault, bob));
        assertEq(stake.slashableOf(alice) + stake.slashableOf(bob), 300e18);
        assertEq(registry.slashForHandovers(1, captured.headerHash, NEXT, OTHER, conflict), 0);
    }

    function test_T27_IncomingSetIsHeldToItsAcceptanceToo() public {
        pass(INTERVAL);
        Epoch memory next = captureEpoch();
        Conflict memory conflict = makeHandovers(next, 1, captured.headerHash, CAROL);

        assertEq(registry.slashForHandovers(1, captured.headerHash, NEXT, OTHER, conflict), 1);

        assertFalse(isActive(carol));
    }

    function test_HandoversOfOneEpochForTwoKindsOfChainsAreNoProof() public {
        // A chain that knows sets by more than the header signs over another hash of the same set.
        bytes32 paged = keccak256("header and pages");
        Conflict memory conflict = makeConflict(
            captured,
            sign(captured, 1, captured.headerHash, NEXT, ALICE),
            sign(captured, 1, paged, OTHER, ALICE),
            ALICE
        );

        bytes memory reason = abi.encodePacked(CertificateLib.SignatureInvalid.selector);
        expectRefused(1, captured.headerHash, NEXT, OTHER, conflict, reason);
        expectRefused(1, paged, NEXT, OTHER, conflict, reason);
    }

    function test_RevertIf_HandoversAreOfTwoEpochs() public {
        pass(INTERVAL);
        Epoch memory next = captureEpoch();
        // Accepted epoch 1's handover, then handed epoch 2 over: what every honest operator does.
        Conflict memory conflict = makeConflict(
            next,
            sign(next, 1, captured.headerHash, next.headerHash, ALICE),
            sign(next, 2, next.headerHash, NEXT, ALICE),
            ALICE
        );

        bytes memory reason = abi.encodePacked(CertificateLib.SignatureInvalid.selector);
        expectRefused(1, captured.headerHash, next.headerHash, NEXT, conflict, reason);
        expectRefused(2, next.headerHash, next.headerHash, NEXT, conflict, reason);
    }

    function test_RevertIf_SetIsNeitherOutgoingNorIncoming() public {
        Conflict memory conflict = makeHandovers(captured, 2, captured.headerHash, ALICE);
        expectRefused(
            2,
            captured.headerHash,
            NEXT,
            OTHER,
            conflict,
            abi.encodeWithSelector(OperatorRegistry.HandoverEpochMismatch.selector, 2, 1)
        );
        pass(INTERVAL);
        registry.capture();
        pass(INTERVAL);
        Epoch memory third = captureEpoch();
        expectRefused(
            1,
            captured.headerHash,
            NEXT,
            OTHER,
            makeHandovers(third, 1, captured.headerHash, ALICE),
            abi.encodeWithSelector(OperatorRegistry.HandoverEpochMismatch.selector, 1, 3)
        );
    }

    function test_RevertIf_NextSetsAreEqual() public {
        Conflict memory conflict = makeHandovers(captured, 1, captured.headerHash, ALICE);
        bytes32 digest = handoverDigest(1, captured.headerHash, NEXT);
        expectRefused(
            1,
            captured.headerHash,
            NEXT,
            NEXT,
            conflict,
            abi.encodeWithSelector(EquivocationProof.DigestsEqual.selector, digest)
        );
    }

    function test_T24_AlertsAreNoHandovers() public {
        // The same two digests under the tag of alerts.
        bytes32 first = handoverDigest(1, captured.headerHash, NEXT);
        bytes32 second = handoverDigest(1, captured.headerHash, OTHER);
        Conflict memory conflict = makeConflict(
            captured,
            certify(captured, first, AlertLib.ALERT_DST, PRESENT, ALICE),
            certify(captured, second, AlertLib.ALERT_DST, PRESENT, ALICE),
            ALICE
        );

        expectRefused(
            1,
            captured.headerHash,
            NEXT,
            OTHER,
            conflict,
            abi.encodePacked(CertificateLib.SignatureInvalid.selector)
        );
    }

    function test_RevertIf_EvidenceOfAHandoverIsTooOld() public {
        Conflict memory conflict = makeHandovers(captured, 1, captured.headerHash, ALICE);
        uint256 until = vm.getBlockTimestamp() + LIFETIME + WINDOW;
        vm.warp(until + 1);

        expectRefused(
            1,
            captured.headerHash,
            NEXT,
            OTHER,
            conflict,
            abi.encodeWithSelector(OperatorRegistry.EvidenceExpired.selector, until + 1, until)
        );
    }

    function test_HandoversOfAnotherSetAreAnotherFault() public {
        pass(INTERVAL);
        Epoch memory next = captureEpoch();
        Conflict memory conflict = makeHandovers(captured, 1, captured.headerHash, ALICE);
        registry.slashForHandovers(1, captured.headerHash, NEXT, OTHER, conflict);

        conflict = makeHandovers(next, 2, next.headerHash, ALICE);
        assertEq(registry.slashForHandovers(2, next.headerHash, NEXT, OTHER, conflict), 1);
        conflict = makeHandovers(next, 2, keccak256("of another kind"), ALICE);
        assertEq(registry.slashForHandovers(2, keccak256("of another kind"), NEXT, OTHER, conflict), 1);

        assertEq(stake.slashableOf(alice), 50e18);
    }

    function test_HandoverAndAlertAreTwoFaults() public {
        Conflict memory conflict = makeHandovers(captured, 1, captured.headerHash, ALICE);
        registry.slashForHandovers(1, captured.headerHash, NEXT, OTHER, conflict);
        Statement memory first = makeStatement(captured, 7, 1);
        Statement memory second = makeStatement(captured, 7, 2);
        conflict = makeConflict(
            captured,
            certify(captured, digestOf(first), AlertLib.ALERT_DST, PRESENT, ALICE),
            certify(captured, digestOf(second), AlertLib.ALERT_DST, PRESENT, ALICE),
            ALICE
        );

        assertEq(registry.slashForAlerts(first, second, conflict), 1);
        assertEq(stake.slashableOf(alice), 100e18);
    }
}
