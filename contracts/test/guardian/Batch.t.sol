// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Guardian} from "../../src/guardian/Guardian.sol";
import {
    ActionConfig,
    BatchItem,
    IGuardianEvents,
    Level,
    Outcome
} from "../../src/interfaces/IGuardianEvents.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice Several actions of one alert in one transaction.
contract BatchTest is Guarded {
    bytes32 private constant LIMIT = keccak256("limit");
    bytes32 private constant FREEZE = keccak256("freeze");
    bytes32 private constant TELL = keccak256("tell");

    HostileTarget private limited;
    HostileTarget private frozen;
    bytes32[] private actions;

    function setUp() public {
        setUpGuardian();
        limited = addAction(LIMIT, Level.Limit, 3334);
        frozen = addAction(FREEZE, Level.Freeze, 5000);
        ActionConfig memory tell;
        (tell.level, tell.thresholdBps) = (Level.Alert, 3334);
        configure(TELL, tell);
        actions = [LIMIT, FREEZE, PAUSE, TELL];
    }

    function batchLeaves() private view returns (bytes32[] memory leaves_) {
        leaves_ = new bytes32[](actions.length);
        for (uint256 i = 0; i < actions.length; ++i) {
            leaves_[i] = leavesOf(actions[i], "")[0];
        }
    }

    function batchItems() private view returns (BatchItem[] memory items) {
        items = new BatchItem[](actions.length);
        for (uint256 i = 0; i < actions.length; ++i) {
            items[i] = BatchItem({leafIndex: i, actionId: actions[i], params: ""});
        }
    }

    function batchCall(Alert memory alert, uint256[] memory absent) private view returns (bytes memory) {
        bytes32[] memory leaves_ = batchLeaves();
        bytes memory certificate = certify(digestOf(alert, leaves_), absent);
        return abi.encodeCall(guardian.respondMany, (alert, leaves_, batchItems(), certificate));
    }

    function deliverBatch(Alert memory alert, uint256[] memory absent)
        private
        returns (Outcome[] memory outcomes)
    {
        (bool ok, bytes memory answer) = address(guardian).call(batchCall(alert, absent));
        assertTrue(ok);
        return abi.decode(answer, (Outcome[]));
    }

    function expectOutcomes(Outcome[] memory given, Outcome a, Outcome b, Outcome c, Outcome d) private pure {
        assertEq(given.length, 4);
        assertEq(uint8(given[0]), uint8(a));
        assertEq(uint8(given[1]), uint8(b));
        assertEq(uint8(given[2]), uint8(c));
        assertEq(uint8(given[3]), uint8(d));
    }

    function test_CarriesOutAll() public {
        Outcome[] memory outcomes = deliverBatch(makeAlert(), none());

        expectOutcomes(outcomes, Outcome.Acted, Outcome.Acted, Outcome.Acted, Outcome.Acted);
        assertTrue(limited.paused() && frozen.paused() && target.paused());
    }

    function test_TheCertificateIsVerifiedOnce() public {
        bytes memory data = batchCall(makeAlert(), none());

        vm.expectCall(address(verifier), abi.encodeWithSelector(QuorumVerifier.verify.selector), 1);
        (bool ok,) = address(guardian).call(data);

        assertTrue(ok);
    }

    /// @dev Four of seven: more than a half, less than two thirds.
    function test_EachActionHasItsOwnThreshold() public {
        Alert memory alert = makeAlert();
        bytes32 digest = digestOf(alert, batchLeaves());

        vm.expectEmit(address(guardian));
        emit IGuardianEvents.BatchItemFailed(
            digest, PAUSE, abi.encodeWithSelector(IGuardianEvents.BelowThreshold.selector, 400, 700, 6667)
        );
        Outcome[] memory outcomes = deliverBatch(alert, list(0, 1, 2));

        expectOutcomes(outcomes, Outcome.Acted, Outcome.Acted, Outcome.Failed, Outcome.Acted);
        assertFalse(target.paused());
        // The grown certificate of the same alert carries the rest.
        expectOutcomes(
            deliverBatch(alert, none()),
            Outcome.AlreadyActive,
            Outcome.AlreadyActive,
            Outcome.Acted,
            Outcome.AlreadyActive
        );
    }

    function test_T34_OneFailingTargetNeitherBlocksTheOthersNorUsesThemUp() public {
        for (uint8 mode = 1; mode <= uint8(HostileTarget.Mode.IgnoresPause); ++mode) {
            if (mode == uint8(HostileTarget.Mode.ReturnsMegabytes)) continue;
            uint256 snapshot = vm.snapshotState();
            frozen.setMode(HostileTarget.Mode(mode));
            Alert memory alert = makeAlert();
            bytes memory before = abi.encode(stateOf(FREEZE));

            Outcome[] memory outcomes = deliverBatch(alert, none());

            expectOutcomes(outcomes, Outcome.Acted, Outcome.Failed, Outcome.Acted, Outcome.Acted);
            assertTrue(limited.paused() && target.paused());
            assertFalse(frozen.isPaused());
            assertEq(abi.encode(stateOf(FREEZE)), before, "the failed one can be tried again");
            frozen.setMode(HostileTarget.Mode.Honest);
            assertEq(uint8(deliverBatch(alert, none())[1]), uint8(Outcome.Acted));
            vm.revertToStateAndDelete(snapshot);
        }
    }

    function test_I11_ALyingTargetCannotBlockTheOthers() public {
        for (uint8 answer = 1; answer <= uint8(HostileTarget.Answer.Garbage); ++answer) {
            uint256 snapshot = vm.snapshotState();
            frozen.setAnswer(HostileTarget.Answer(answer));

            Outcome[] memory outcomes = deliverBatch(makeAlert(), none());

            assertEq(uint8(outcomes[0]), uint8(Outcome.Acted));
            assertEq(uint8(outcomes[2]), uint8(Outcome.Acted));
            assertTrue(limited.paused() && target.paused());
            vm.revertToStateAndDelete(snapshot);
        }
    }

    /// @dev Else an estimate of the gas would find the limit at which all fail and nothing reverts.
    function test_T34_NoGasLimitStarvesOneAndLetsTheBatchPass() public {
        bytes memory data = batchCall(makeAlert(), none());
        uint256 refused = 0;
        uint256 done = 0;
        for (uint256 gasLimit = 400_000; gasLimit < 900_000; gasLimit += 1000) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(guardian).call{gas: gasLimit}(data);
            assertEq(ok, limited.paused(), "all or nothing");
            assertEq(ok, frozen.paused(), "all or nothing");
            assertEq(ok, target.paused(), "all or nothing");
            assertEq(ok, untilOf(LIMIT) != 0 && untilOf(FREEZE) != 0 && untilOf(PAUSE) != 0);
            if (ok) ++done;
            else ++refused;
            vm.revertToStateAndDelete(snapshot);
        }
        assertGt(refused, 100);
        assertGt(done, 100);
    }

    function test_SecondDeliveryDoesNothing() public {
        Alert memory alert = makeAlert();
        deliverBatch(alert, none());
        vm.recordLogs();

        Outcome[] memory outcomes = deliverBatch(alert, none());

        Outcome same = Outcome.AlreadyActive;
        expectOutcomes(outcomes, same, same, same, same);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_InTheSecondInWhichARestrictionEndsItIsNotActive() public {
        actions = [PAUSE, TELL];
        deliverBatch(makeAlert(), none());
        vm.warp(untilOf(PAUSE) - 1);
        assertEq(uint8(deliverBatch(makeAlert(), none())[0]), uint8(Outcome.AlreadyActive));

        vm.warp(untilOf(PAUSE));
        Outcome[] memory outcomes = deliverBatch(makeAlert(), none());
        assertEq(
            uint8(outcomes[0]), uint8(Outcome.Failed), "too old for a new restriction, and none is in force"
        );
        assertEq(uint8(outcomes[1]), uint8(Outcome.Acted));
    }

    function test_AnActionNamedTwiceActsOnce() public {
        actions = [PAUSE, PAUSE];

        Outcome[] memory outcomes = deliverBatch(makeAlert(), none());

        assertEq(uint8(outcomes[0]), uint8(Outcome.Acted));
        assertEq(uint8(outcomes[1]), uint8(Outcome.AlreadyActive));
    }

    function test_ForeignAndUnknownActionsFailAlone() public {
        bytes32 unknown = keccak256("unknown");
        actions = [unknown, PAUSE, LIMIT];
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = batchLeaves();
        leaves_[2] = "another guardian's";
        bytes memory certificate = certify(digestOf(alert, leaves_), none());

        Outcome[] memory outcomes = guardian.respondMany(alert, leaves_, batchItems(), certificate);

        assertEq(uint8(outcomes[0]), uint8(Outcome.Failed));
        assertEq(uint8(outcomes[1]), uint8(Outcome.Acted));
        assertEq(uint8(outcomes[2]), uint8(Outcome.Failed));
        assertFalse(limited.paused());
    }

    function test_OnlyUnknownActionsFailWithoutAVerification() public {
        actions = [keccak256("unknown")];
        Alert memory alert = makeAlert();
        bytes memory data = batchCall(alert, none());

        vm.expectCall(address(verifier), abi.encodeWithSelector(QuorumVerifier.verify.selector), 0);
        (bool ok, bytes memory answer) = address(guardian).call(data);

        assertTrue(ok);
        assertEq(uint8(abi.decode(answer, (Outcome[]))[0]), uint8(Outcome.Failed));
    }

    function test_RevertIf_LessThanTheLowestThresholdSigned() public {
        actions = [FREEZE, LIMIT];
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = batchLeaves();
        bytes memory two = certifyPresent(digestOf(alert, leaves_), list(1, 2));

        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 200, 700, 3334));
        guardian.respondMany(alert, leaves_, batchItems(), two);
    }

    function test_RevertIf_TheAlertItselfMayNotAct() public {
        Alert memory alert = makeAlert();
        bytes memory data = batchCall(alert, none());
        vm.warp(alert.expiresAt + 1);

        (bool ok, bytes memory reason) = address(guardian).call(data);

        assertFalse(ok);
        assertEq(bytes4(reason), IGuardianEvents.AlertExpired.selector);
    }

    function test_RevertIf_StrangerSkipsTheVerification() public {
        Guardian.Quorum memory quorum =
            Guardian.Quorum({digest: "forged", epoch: EPOCH, signedWeight: 700, totalWeight: 700});
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = batchLeaves();
        BatchItem memory item = batchItems()[0];

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotSelf.selector, address(this)));
        Guardian(payable(address(guardian))).respondOne(alert, leaves_, item, quorum);
    }
}
