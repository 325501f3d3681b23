// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HandoverLib} from "../../src/libraries/HandoverLib.sol";
import {KeyPages} from "../../src/libraries/KeyPages.sol";
import {PlacementLib} from "../../src/libraries/PlacementLib.sol";
import {OperatorSetChain} from "../../src/verifier/OperatorSetChain.sol";
import {PagedQuorumVerifier} from "../../src/verifier/PagedQuorumVerifier.sol";
import {PagedNetwork} from "../support/PagedNetwork.sol";
import {Signer} from "../support/Signer.sol";

contract AddKeysTest is PagedNetwork {
    function setUp() public {
        setUpPaged(7, 2);
    }

    function test_PageIsWrittenForAnybodyAndToldOnce() public {
        bytes memory keys = Signer.publicKey(Signer.key(99));
        bytes32 page = keccak256(bytes.concat(hex"6100c180600a3d393df300", keys));
        vm.expectEmit();
        emit PagedQuorumVerifier.PageWritten(page, keys);
        vm.prank(address(0xBEEF));
        bytes32 written = paged.addKeys(keys);

        vm.recordLogs();
        bytes32 again = paged.addKeys(keys);

        assertEq(written, page);
        assertEq(again, page);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(paged.pageAt(page).code, bytes.concat(hex"00", keys));
    }

    function test_PageIsNowhereBeforeItIsWritten() public view {
        assertEq(paged.pageAt("page"), address(0));
    }

    function test_RevertIf_KeysAreNoWholePage() public {
        vm.expectRevert(abi.encodeWithSelector(KeyPages.KeysLength.selector, 193, 192, 24_384));
        paged.addKeys(new bytes(193));
    }

    function test_T21_PagesOfStrangersChangeNoPlacement() public {
        paged = new PagedQuorumVerifier(NETWORK_ID, header, successionTerms());

        for (uint256 i = 0; i < 20; ++i) {
            paged.addKeys(bytes.concat(keyOf(0), new bytes(192 * (i + 1))));
        }

        assertEq(place(2), placement);
        assertTrue(paged.bind(header, placement));
    }

    function test_PlacementIsTheSameOnEveryChain() public {
        bytes memory here = placement;

        vm.chainId(8453);
        setUpPaged(weights, 2);

        assertEq(placement, here);
    }
}

contract BindTest is PagedNetwork {
    /// @dev Weights 100 to 106; two pages are written, nothing is bound.
    function setUp() public {
        setUpUnbound(rising(7), 2);
    }

    function expectRevert(bytes memory reason, bytes memory placement_) internal {
        vm.expectRevert(reason);
        paged.bind(header, placement_);
    }

    function expectLeavesDiffer(bytes memory placement_) internal {
        vm.expectPartialRevert(CertificateLib.LeavesMismatch.selector);
        paged.bind(header, placement_);
    }

    function placeAt(uint256 operator) internal pure returns (uint256) {
        return 1 + 2 * 32 + operator * 14;
    }

    // ---- accepted

    function test_AnybodyBindsOnce() public {
        bytes32 commitment = keccak256(bytes.concat(header, placement));
        vm.expectEmit();
        emit PagedQuorumVerifier.PlacementBound(EPOCH, headerHash, placement);
        vm.prank(address(0xBEEF));
        bool bound = paged.bind(header, placement);

        vm.recordLogs();
        bool again = paged.bind(header, placement);

        assertTrue(bound);
        assertFalse(again);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(paged.boundPlacement(headerHash), commitment);
        assertEq(paged.boundPlacement("another header"), 0);
    }

    function test_FirstTruePlacementStays() public {
        paged.bind(header, placement);
        bytes32 first = paged.boundPlacement(headerHash);

        bool bound = paged.bind(header, place(3));

        assertFalse(bound);
        assertEq(paged.boundPlacement(headerHash), first);
    }

    // ---- the header

    function test_RevertIf_HeaderLengthDiffers() public {
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 301, 302));
        paged.bind(slice(header, 0, 301), placement);
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 303, 302));
        paged.bind(bytes.concat(header, hex"00"), placement);
    }

    function test_RevertIf_SetIsNotInstalled() public {
        bytes memory other = makeHeader(weights, EPOCH, uint64(START), uint64(START + 1 days));
        vm.expectRevert(
            abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, keccak256(other))
        );
        paged.bind(other, placement);

        other = makeHeader(weights, EPOCH + 2, uint64(START), uint64(START + 1 days));
        vm.expectRevert(
            abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH + 2, keccak256(other))
        );
        paged.bind(other, placement);
    }

    // ---- pages

    function test_T29_RevertIf_AKeyPageIsMissingWhileFlatCertificatesPass() public {
        bytes32 missing = keccak256("a page that nobody wrote");
        bytes32 digest = keccak256("an alert");
        bytes memory paged_ = certifyPaged(digest, list(1));
        bytes memory flat = certify(digest, list(1));

        expectRevert(
            abi.encodeWithSelector(KeyPages.PageMissing.selector, missing),
            replace(placement, 33, abi.encodePacked(missing))
        );
        vm.expectRevert(
            abi.encodeWithSelector(PagedQuorumVerifier.PlacementNotBound.selector, EPOCH, headerHash)
        );
        paged.verify(digest, EPOCH, headerHash, 6667, paged_);
        paged.verify(digest, EPOCH, headerHash, 6667, flat);
    }

    function test_T29_APageOfAnotherVerifierIsMissingHere() public {
        PagedQuorumVerifier first = paged;
        bytes memory keys = Signer.publicKey(Signer.key(98));
        bytes32 page = first.addKeys(keys);
        setUpUnbound(weights, 2);

        expectRevert(
            abi.encodeWithSelector(KeyPages.PageMissing.selector, page),
            replace(placement, 33, abi.encodePacked(page))
        );
    }

    function test_T21_RevertIf_PlacementHasMoreThanEightPages() public {
        setUpUnbound(weights, 9);
        expectRevert(abi.encodeWithSelector(PlacementLib.TooManyPages.selector, 9, 8), placement);
        placement = place(8);
        assertTrue(paged.bind(header, placement));
    }

    function test_RevertIf_PlaceNamesAPageBeyondTheList() public {
        expectRevert(
            abi.encodeWithSelector(PlacementLib.PageOutOfRange.selector, 2, 2),
            replace(placement, placeAt(3), hex"02")
        );
        expectRevert(
            abi.encodeWithSelector(PlacementLib.PageOutOfRange.selector, 255, 2),
            replace(placement, placeAt(6), hex"ff")
        );
        expectRevert(
            abi.encodeWithSelector(PlacementLib.PageOutOfRange.selector, 1, 0),
            bytes.concat(hex"00", slice(placement, 65, placement.length))
        );
    }

    // ---- places and weights

    function test_RevertIf_SlotIsAnothersOrBeyondThePage() public {
        expectLeavesDiffer(replace(placement, placeAt(3) + 1, hex"00"));
        expectLeavesDiffer(replace(placement, placeAt(3) + 1, hex"01"));
        expectLeavesDiffer(replace(placement, placeAt(3) + 1, hex"7f"));
        expectLeavesDiffer(replace(placement, placeAt(3) + 1, hex"ff"));
    }

    function test_RevertIf_KeyAtThePlaceIsAnotherOperators() public {
        // 1 and 3 stand on the same page; each with the other's key and its own weight.
        bytes memory swapped =
            replace(placement, placeAt(1) + 1, slice(placement, placeAt(3) + 1, placeAt(3) + 2));
        swapped = replace(swapped, placeAt(3) + 1, slice(placement, placeAt(1) + 1, placeAt(1) + 2));

        expectLeavesDiffer(swapped);
    }

    function test_RevertIf_PlacesAreInAnotherOrder() public {
        bytes memory swapped = replace(placement, placeAt(1), slice(placement, placeAt(3), placeAt(3) + 14));
        swapped = replace(swapped, placeAt(3), slice(placement, placeAt(1), placeAt(1) + 14));

        expectLeavesDiffer(swapped);
    }

    function test_RevertIf_WeightsDiffer() public {
        expectLeavesDiffer(replace(placement, placeAt(0) + 2, abi.encodePacked(uint96(101))));
        // The same sum, differently shared out.
        bytes memory shifted = replace(placement, placeAt(0) + 2, abi.encodePacked(uint96(101)));
        expectLeavesDiffer(replace(shifted, placeAt(1) + 2, abi.encodePacked(uint96(100))));
    }

    function test_LeavesMismatchNamesBothHashes() public {
        bytes memory altered = replace(placement, placeAt(6) + 2, abi.encodePacked(uint96(1)));
        leaves[6] = keccak256(replace(entries[6], 2, abi.encodePacked(uint96(1))));

        expectRevert(
            abi.encodeWithSelector(
                CertificateLib.LeavesMismatch.selector,
                keccak256(abi.encodePacked(leaves)),
                bytes32(slice(header, 78, 110))
            ),
            altered
        );
    }

    function test_RevertIf_PlacementLengthDiffers() public {
        expectRevert(abi.encodeWithSelector(PagedQuorumVerifier.PlacementLength.selector, 0, 99), "");
        expectRevert(
            abi.encodeWithSelector(PagedQuorumVerifier.PlacementLength.selector, 164, 163),
            bytes.concat(placement, hex"00")
        );
        expectRevert(
            abi.encodeWithSelector(PagedQuorumVerifier.PlacementLength.selector, 162, 163),
            slice(placement, 0, 162)
        );
        expectRevert(
            abi.encodeWithSelector(PagedQuorumVerifier.PlacementLength.selector, 163, 195),
            replace(placement, 0, hex"03")
        );
    }
}

contract SuccessionOfPlacementsTest is PagedNetwork {
    bytes32 internal constant DIGEST = keccak256("an alert");

    /// @dev The slots of `_bindings`.
    uint256 internal constant FIRST_SLOT = 6;

    function setUp() public {
        setUpPaged(7, 2);
    }

    struct Epoch {
        bytes header;
        bytes placement;
    }

    /// @dev Hands over to a set of the same operators; the outgoing set's certificate is `outgoing`.
    function handOver(uint32 epoch, bool isPaged) internal returns (Epoch memory last) {
        last = Epoch({header: header, placement: placement});
        bytes memory lastHeader = header;
        bytes32 lastHash = headerHash;
        vm.warp(vm.getBlockTimestamp() + 1 hours);
        uint64 time = uint64(vm.getBlockTimestamp());
        bytes memory next = makeHeader(weights, epoch, time, time + 30 days);
        next = replace(next, 46, abi.encodePacked(lastHash));
        bytes32 digest = HandoverLib.digest(NETWORK_ID, epoch - 1, lastHash, keccak256(next));

        bytes memory outgoing = isPaged
            ? abi.encodePacked(
                lastHeader, signHandover(digest, true), ABSENT, uint16(1), placement, uint16(3)
            )
            : abi.encodePacked(lastHeader, signHandover(digest, false), uint8(0), uint16(0));
        bytes memory incoming = abi.encodePacked(next, signHandover(digest, false), uint8(0), uint16(0));
        assertTrue(paged.handover(outgoing, incoming));
        header = next;
        headerHash = keccak256(next);
    }

    function signHandover(bytes32 digest, bool isWithoutThree) internal view returns (bytes memory) {
        uint256 sum = 0;
        for (uint256 i = 0; i < 7; ++i) {
            if (i != 3 || !isWithoutThree) sum = addmod(sum, Signer.key(i), Signer.ORDER);
        }
        return Signer.sign(sum, digest, HandoverLib.HANDOVER_DST);
    }

    function test_OutgoingSetMaySignPaged() public {
        handOver(EPOCH + 1, true);

        (uint32 epoch,) = paged.currentSet();
        assertEq(epoch, EPOCH + 1);
    }

    function test_RevertIf_IncomingSetSignsPaged() public {
        bytes memory next = makeHeader(weights, EPOCH + 1, uint64(START + 1 hours), uint64(START + 30 days));
        next = replace(next, 46, abi.encodePacked(headerHash));
        vm.warp(START + 1 hours);
        bytes32 digest = HandoverLib.digest(NETWORK_ID, EPOCH, headerHash, keccak256(next));
        bytes memory outgoing = abi.encodePacked(header, signHandover(digest, false), uint8(0), uint16(0));
        bytes memory incoming =
            abi.encodePacked(next, signHandover(digest, true), ABSENT, uint16(1), placement, uint16(3));

        vm.expectRevert(
            abi.encodeWithSelector(PagedQuorumVerifier.PlacementNotBound.selector, EPOCH + 1, keccak256(next))
        );
        paged.handover(outgoing, incoming);
    }

    function test_RevertIf_PlacementIsOfAnotherEpoch() public {
        handOver(EPOCH + 1, false);
        bytes memory certificate = certifyPaged(DIGEST, list(1));

        vm.expectRevert(
            abi.encodeWithSelector(PagedQuorumVerifier.PlacementNotBound.selector, EPOCH + 1, headerHash)
        );
        paged.verify(DIGEST, EPOCH + 1, headerHash, 6667, certificate);

        // The same operators with other weights; the placement of the last epoch has the old ones.
        weights[1] = 1;
        Epoch memory last = handOver(EPOCH + 2, false);
        placement = replace(last.placement, 65 + 14 + 2, abi.encodePacked(uint96(1)));
        assertTrue(paged.bind(header, placement));
        placement = last.placement;
        certificate = certifyPaged(DIGEST, list(1));
        vm.expectRevert(
            abi.encodeWithSelector(
                PagedQuorumVerifier.PlacementMismatch.selector,
                keccak256(bytes.concat(header, last.placement)),
                paged.boundPlacement(headerHash)
            )
        );
        paged.verify(DIGEST, EPOCH + 2, headerHash, 6667, certificate);
    }

    function test_PreviousSetKeepsItsPlacementWhileItMayAct() public {
        bytes memory certificate = certifyPaged(DIGEST, list(1));
        bytes32 lastHash = headerHash;
        Epoch memory last = handOver(EPOCH + 1, false);

        paged.verify(DIGEST, EPOCH, lastHash, 6667, certificate);
        assertTrue(paged.bind(header, placement));
        paged.verify(DIGEST, EPOCH, lastHash, 6667, certificate);
        paged.verify(DIGEST, EPOCH + 1, headerHash, 6667, certifyPaged(DIGEST, list(1)));

        assertFalse(paged.bind(last.header, last.placement));
    }

    function test_PreviousSetMayBeBoundLate() public {
        setUpUnbound(weights, 2);
        bytes memory certificate = certifyPaged(DIGEST, list(1));
        bytes32 lastHash = headerHash;
        Epoch memory last = handOver(EPOCH + 1, false);

        assertTrue(paged.bind(last.header, last.placement));

        paged.verify(DIGEST, EPOCH, lastHash, 6667, certificate);
    }

    function test_EpochsTakeNoNewSlots() public {
        bytes32 first = headerHash;
        handOver(EPOCH + 1, false);
        paged.bind(header, placement);
        handOver(EPOCH + 2, false);

        vm.record();
        paged.bind(header, placement);
        (, bytes32[] memory writes) = vm.accesses(address(paged));

        // Those of the epoch before last.
        uint256 slot = FIRST_SLOT + 2 * ((EPOCH + 2) & 1);
        assertEq(writes.length, 2);
        assertEq(uint256(writes[0]), slot);
        assertEq(uint256(writes[1]), slot + 1);
        assertEq(paged.boundPlacement(first), 0);
        assertNotEq(paged.boundPlacement(headerHash), 0);
    }

    function test_NothingIsBoundWhileAResetIsUnderWay() public {
        setUpUnbound(weights, 2);
        bytes memory later = makeHeader(weights, EPOCH + 9, uint64(START), uint64(START + 30 days));
        vm.prank(VERIFIER_OWNER);
        paged.startReset(later);

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, headerHash));
        paged.bind(header, placement);
        vm.expectRevert(
            abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH + 9, keccak256(later))
        );
        paged.bind(later, placement);
    }

    function test_ResetTakesTheSlotsOfItsParity() public {
        bytes memory later = makeHeader(weights, EPOCH + 2, uint64(START), uint64(START + 30 days));
        vm.prank(VERIFIER_OWNER);
        paged.startReset(later);
        vm.warp(START + 3 days);
        paged.finishReset();
        bytes memory old = certifyPaged(DIGEST, list(1));

        assertTrue(paged.bind(later, placement));

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, headerHash));
        paged.verify(DIGEST, EPOCH, headerHash, 6667, old);
        (header, headerHash) = (later, keccak256(later));
        paged.verify(DIGEST, EPOCH + 2, headerHash, 6667, certifyPaged(DIGEST, list(1)));
    }

    function test_CancelledResetLeavesThePlacement() public {
        bytes memory later = makeHeader(weights, EPOCH + 2, uint64(START), uint64(START + 30 days));
        vm.startPrank(VERIFIER_OWNER);
        paged.startReset(later);
        paged.cancelReset();

        paged.verify(DIGEST, EPOCH, headerHash, 6667, certifyPaged(DIGEST, list(1)));
    }
}
