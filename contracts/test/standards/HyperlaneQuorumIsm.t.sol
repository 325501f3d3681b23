// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {HyperlaneQuorumIsm} from "../../src/standards/HyperlaneQuorumIsm.sol";
import {ISM_UNUSED} from "../../src/standards/IInterchainSecurityModule.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {MailApp, Mailbox} from "../mocks/Mailbox.sol";
import {Guarded} from "../support/Guarded.sol";

contract HyperlaneQuorumIsmTest is Guarded {
    /// @dev Written out here, not taken from the contract.
    bytes32 internal constant DELIVER = keccak256("hyperlane.deliver");

    Mailbox internal mailbox = new Mailbox();
    MailApp internal app = new MailApp();
    HyperlaneQuorumIsm internal ism;
    bytes internal message;

    function setUp() public {
        setUpGuardian();
        ism = new HyperlaneQuorumIsm(verifier, owner, POLICY, 6667);
        app.setModule(ism);
        message = messageOf("hello");
    }

    function messageOf(bytes memory body) internal view returns (bytes memory) {
        return
            abi.encodePacked(
                uint8(3), uint32(0), uint32(1), bytes32("sender"), uint32(2), abi.encode(app), body
            );
    }

    /// @dev The message is looked at on its own chain.
    function makeClearance() internal view returns (Alert memory alert) {
        alert = makeAlert();
        alert.verdict = AlertLib.VERDICT_CLEAR;
        alert.subject = keccak256(message);
        alert.sourceChainId = 1;
    }

    function leavesFor(HyperlaneQuorumIsm module) internal view returns (bytes32[] memory leaves_) {
        leaves_ = new bytes32[](1);
        leaves_[0] = leafOf(block.chainid, address(module), DELIVER, "");
    }

    function metadataOf(Alert memory alert, bytes32[] memory leaves_, uint256 at, uint256[] memory absent)
        internal
        view
        returns (bytes memory)
    {
        return abi.encode(alert, leaves_, at, certify(digestOf(alert, leaves_), absent));
    }

    function metadataOf(Alert memory alert) internal view returns (bytes memory) {
        return metadataOf(alert, leavesFor(ism), 0, none());
    }

    function expectRefusal(bytes memory reason, bytes memory metadata) internal {
        vm.expectRevert(reason);
        mailbox.process(metadata, message);
    }

    // ---- accepted

    function test_ClearedMessageIsDelivered() public {
        mailbox.process(metadataOf(makeClearance()), message);

        assertEq(app.last(), "hello");
        assertEq(ism.moduleType(), ISM_UNUSED);
    }

    function test_LeafMayStandAmongOthers() public {
        bytes32[] memory leaves_ = new bytes32[](3);
        leaves_[0] = leafOf(10, address(guardian), PAUSE, "");
        leaves_[1] = leavesFor(ism)[0];
        leaves_[2] = leafOf(8453, address(guardian), PAUSE, "x");

        mailbox.process(metadataOf(makeClearance(), leaves_, 1, none()), message);

        assertEq(app.last(), "hello");
    }

    function test_ClearHoldsUntilItExpires() public {
        bytes memory metadata = metadataOf(makeClearance());

        vm.warp(vm.getBlockTimestamp() + TTL);
        mailbox.process(metadata, message);

        assertEq(app.last(), "hello");
    }

    // ---- what was cleared

    function test_RevertIf_TheClearIsAboutAnotherMessage() public {
        bytes memory metadata = metadataOf(makeClearance());
        bytes32 cleared = keccak256(message);
        message = messageOf("another");

        expectRefusal(
            abi.encodeWithSelector(HyperlaneQuorumIsm.SubjectMismatch.selector, cleared, keccak256(message)),
            metadata
        );
    }

    function testFuzz_RevertIf_AByteOfTheMessageIsAltered(uint256 at, uint8 mask) public {
        at = bound(at, 0, message.length - 1);
        vm.assume(mask != 0);
        bytes memory metadata = metadataOf(makeClearance());
        message[at] = bytes1(uint8(message[at]) ^ mask);

        vm.expectPartialRevert(HyperlaneQuorumIsm.SubjectMismatch.selector);
        ism.verify(metadata, message);
    }

    function test_RevertIf_TheVerdictIsThreat() public {
        Alert memory threat = makeClearance();
        threat.verdict = AlertLib.VERDICT_THREAT;

        expectRefusal(
            abi.encodeWithSelector(HyperlaneQuorumIsm.VerdictNotClear.selector, 1), metadataOf(threat)
        );
    }

    function test_RevertIf_PolicyIsNotTheApprovedOne() public {
        Alert memory alert = makeClearance();
        alert.policyHash = keccak256("another");

        expectRefusal(
            abi.encodeWithSelector(
                HyperlaneQuorumIsm.PolicyNotApproved.selector, keccak256("another"), POLICY
            ),
            metadataOf(alert)
        );
    }

    function test_RevertIf_NoPolicyIsApproved() public {
        vm.prank(owner);
        ism.approve(bytes32(0), 6667);
        Alert memory alert = makeClearance();
        alert.policyHash = bytes32(0);

        expectRefusal(
            abi.encodeWithSelector(HyperlaneQuorumIsm.PolicyNotApproved.selector, 0, 0), metadataOf(alert)
        );
    }

    function test_RevertIf_OwnerHasApprovedAnotherPolicySince() public {
        bytes memory metadata = metadataOf(makeClearance());
        vm.prank(owner);
        ism.approve("next", 6667);

        expectRefusal(
            abi.encodeWithSelector(HyperlaneQuorumIsm.PolicyNotApproved.selector, POLICY, bytes32("next")),
            metadata
        );
    }

    // ---- for whom

    function test_T22_RevertIf_ClearedForAnotherModule() public {
        HyperlaneQuorumIsm other = new HyperlaneQuorumIsm(verifier, owner, POLICY, 6667);

        expectRefusal(
            abi.encodeWithSelector(
                HyperlaneQuorumIsm.LeafMismatch.selector, leavesFor(other)[0], leavesFor(ism)[0]
            ),
            metadataOf(makeClearance(), leavesFor(other), 0, none())
        );
    }

    function test_T22_RevertIf_ClearedOnAnotherChain() public {
        bytes memory metadata = metadataOf(makeClearance());
        bytes32 cleared = leavesFor(ism)[0];

        vm.chainId(10);
        expectRefusal(
            abi.encodeWithSelector(HyperlaneQuorumIsm.LeafMismatch.selector, cleared, leavesFor(ism)[0]),
            metadata
        );
    }

    function test_RevertIf_LeafIsOfAnotherActionOrHasParameters() public {
        bytes32[] memory leaves_ = leavesFor(ism);
        bytes32 expected = leaves_[0];

        leaves_[0] = leafOf(block.chainid, address(ism), PAUSE, "");
        expectRefusal(
            abi.encodeWithSelector(HyperlaneQuorumIsm.LeafMismatch.selector, leaves_[0], expected),
            metadataOf(makeClearance(), leaves_, 0, none())
        );
        leaves_[0] = leafOf(block.chainid, address(ism), DELIVER, "x");
        expectRefusal(
            abi.encodeWithSelector(HyperlaneQuorumIsm.LeafMismatch.selector, leaves_[0], expected),
            metadataOf(makeClearance(), leaves_, 0, none())
        );
    }

    function test_RevertIf_LeafIsNotWhereItShouldBe() public {
        expectRefusal(
            abi.encodeWithSelector(HyperlaneQuorumIsm.LeafIndexOutOfRange.selector, 1, 1),
            metadataOf(makeClearance(), leavesFor(ism), 1, none())
        );
        bytes32[] memory many = new bytes32[](17);
        many[0] = leavesFor(ism)[0];
        expectRefusal(
            abi.encodeWithSelector(HyperlaneQuorumIsm.LeafCountInvalid.selector, 17, 16),
            metadataOf(makeClearance(), many, 0, none())
        );
        bytes32[] memory most = new bytes32[](16);
        most[15] = many[0];
        mailbox.process(metadataOf(makeClearance(), most, 15, none()), message);
    }

    // ---- when

    function test_RevertIf_ClearHasExpired() public {
        Alert memory alert = makeClearance();
        bytes memory metadata = metadataOf(alert);

        vm.warp(alert.expiresAt + 1);
        expectRefusal(
            abi.encodeWithSelector(
                HyperlaneQuorumIsm.AlertExpired.selector, alert.expiresAt, alert.expiresAt + 1
            ),
            metadata
        );
    }

    function test_T25_RevertIf_ClearIsFromTheFutureOrLivesTooLong() public {
        Alert memory alert = makeClearance();
        alert.observedAt += 1;
        expectRefusal(
            abi.encodeWithSelector(
                HyperlaneQuorumIsm.AlertFromFuture.selector, alert.observedAt, alert.observedAt - 1
            ),
            metadataOf(alert)
        );

        alert.observedAt -= 1;
        alert.expiresAt = alert.observedAt + 1 days + 1;
        expectRefusal(
            abi.encodeWithSelector(
                HyperlaneQuorumIsm.AlertWindowInvalid.selector, alert.observedAt, alert.expiresAt, 1 days
            ),
            metadataOf(alert)
        );
        alert.expiresAt -= 1;
        mailbox.process(metadataOf(alert), message);
    }

    // ---- where it was looked at

    function test_AnchorOnThisChainIsHeldAgainstIt() public {
        Alert memory alert = makeClearance();
        alert.sourceChainId = block.chainid;

        mailbox.process(metadataOf(alert), message);

        assertEq(app.last(), "hello");
    }

    function test_RevertIf_AnchorIsNoBlockOfThisChain() public {
        Alert memory alert = makeClearance();
        alert.sourceChainId = block.chainid;
        alert.anchorHash = keccak256("never was");
        expectRefusal(
            abi.encodeWithSelector(
                HyperlaneQuorumIsm.AnchorInvalid.selector, alert.anchorNumber, alert.anchorHash
            ),
            metadataOf(alert)
        );

        alert = makeClearance();
        alert.sourceChainId = block.chainid;
        alert.anchorNumber = vm.getBlockNumber();
        expectRefusal(
            abi.encodeWithSelector(
                HyperlaneQuorumIsm.AnchorInvalid.selector, alert.anchorNumber, alert.anchorHash
            ),
            metadataOf(alert)
        );
    }

    // ---- by whom

    function test_T19_RevertIf_WeightIsBelowTheOwnersShare() public {
        expectRefusal(
            abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 400, 700, 6667),
            metadataOf(makeClearance(), leavesFor(ism), 0, list(0, 1, 2))
        );
        vm.prank(owner);
        ism.approve(POLICY, 9999);
        expectRefusal(
            abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 600, 700, 9999),
            metadataOf(makeClearance(), leavesFor(ism), 0, list(0))
        );
        mailbox.process(metadataOf(makeClearance()), message);
    }

    function testFuzz_RevertIf_MetadataIsNone(bytes calldata metadata) public {
        vm.expectRevert();
        ism.verify(metadata, message);
    }

    // ---- the owner

    function test_OwnerApproves() public {
        vm.expectEmit(address(ism));
        emit HyperlaneQuorumIsm.Approved("next", 8000);
        vm.prank(owner);
        ism.approve("next", 8000);

        assertEq(ism.policyHash(), "next");
        assertEq(ism.thresholdBps(), 8000);
    }

    function test_RevertIf_AnotherApproves() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        ism.approve("next", 8000);
    }

    function test_RevertIf_ShareIsNotAboveTwoThirdsOrUnreachable() public {
        vm.startPrank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(HyperlaneQuorumIsm.ThresholdInvalid.selector, 6666, 6667, 9999)
        );
        ism.approve(POLICY, 6666);
        vm.expectRevert(
            abi.encodeWithSelector(HyperlaneQuorumIsm.ThresholdInvalid.selector, 10_000, 6667, 9999)
        );
        ism.approve(POLICY, 10_000);
        vm.expectRevert(abi.encodeWithSelector(HyperlaneQuorumIsm.ThresholdInvalid.selector, 0, 6667, 9999));
        new HyperlaneQuorumIsm(verifier, owner, POLICY, 0);
    }

    function test_OwnershipMovesInTwoSteps() public {
        address next = makeAddr("next");
        vm.prank(owner);
        ism.transferOwnership(next);
        assertEq(ism.owner(), owner);

        vm.prank(next);
        ism.acceptOwnership();

        assertEq(ism.owner(), next);
    }

    function test_RevertIf_ThereIsNoVerifier() public {
        vm.expectRevert();
        new HyperlaneQuorumIsm(IQuorumVerifier(makeAddr("nobody")), owner, POLICY, 6667);
    }
}
