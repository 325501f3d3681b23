// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ActionConfig, IGuardianEvents, Level} from "../../src/interfaces/IGuardianEvents.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {OperatorSetChain} from "../../src/verifier/OperatorSetChain.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Guarded} from "../support/Guarded.sol";

/// @title Refusing: delivers what must be refused, and sees that nothing happened. For tests.
abstract contract Refusing is Guarded {
    function expectRefused(Alert memory altered, bytes memory certificate, bytes memory reason) internal {
        vm.expectRevert(reason);
        guardian.respond(altered, leavesOf(PAUSE, ""), 0, PAUSE, "", certificate);
        assertFalse(target.isPaused());
        assertEq(untilOf(PAUSE), 0);
    }

    /// @dev Signed as it is, and refused all the same.
    function expectSignedRefused(Alert memory alert, bytes memory reason) internal {
        expectRefused(alert, certifyAlert(alert, leavesOf(PAUSE, "")), reason);
    }
}

/// @notice Every field that the digest binds.
contract AlteredAlertTest is Refusing {
    bytes private invalid = abi.encodePacked(CertificateLib.SignatureInvalid.selector);
    bytes32 private constant X = keccak256("x");

    Alert private signed;
    bytes private certificate;

    function setUp() public {
        setUpGuardian();
        signed = makeAlert();
        certificate = certifyAlert(signed, leavesOf(PAUSE, ""));
    }

    function test_RevertIf_EpochIsAltered() public {
        Alert memory a = signed;
        a.epoch += 1;
        expectRefused(
            a, certificate, abi.encodeWithSelector(OperatorSetChain.EpochMismatch.selector, EPOCH, EPOCH + 1)
        );
    }

    function test_RevertIf_HeaderHashIsAltered() public {
        Alert memory a = signed;
        a.headerHash = X;
        expectRefused(
            a, certificate, abi.encodeWithSelector(OperatorSetChain.HeaderMismatch.selector, headerHash, X)
        );
    }

    function test_RevertIf_PolicyIsAlteredOrNotApproved() public {
        Alert memory a = signed;
        a.policyHash = X;
        expectRefused(
            a, certificate, abi.encodeWithSelector(IGuardianEvents.PolicyNotApproved.selector, X, POLICY)
        );
        vm.prank(owner);
        guardian.setPolicy(X);
        expectRefused(a, certificate, invalid);
    }

    function test_RevertIf_SlotIsAltered() public {
        Alert memory a = signed;
        a.ruleId = X;
        expectRefused(a, certificate, invalid);
        a = signed;
        a.sourceChainId = 10;
        expectRefused(a, certificate, invalid);
        a = signed;
        a.subject = X;
        expectRefused(a, certificate, invalid);
    }

    function test_RevertIf_AnchorIsAltered() public {
        Alert memory a = signed;
        a.anchorNumber -= 1;
        expectRefused(
            a,
            certificate,
            abi.encodeWithSelector(IGuardianEvents.AnchorUnknownBlock.selector, a.anchorNumber, a.anchorHash)
        );
        a = signed;
        a.anchorHash = X;
        expectRefused(
            a,
            certificate,
            abi.encodeWithSelector(IGuardianEvents.AnchorUnknownBlock.selector, a.anchorNumber, X)
        );
    }

    function test_RevertIf_VerdictIsAltered() public {
        Alert memory a = signed;
        a.verdict = AlertLib.VERDICT_CLEAR;
        expectRefused(a, certificate, abi.encodeWithSelector(IGuardianEvents.VerdictMismatch.selector, 2, 1));
        a.verdict = 0;
        expectRefused(a, certificate, abi.encodeWithSelector(IGuardianEvents.VerdictMismatch.selector, 0, 1));
    }

    function test_RevertIf_WindowIsAltered() public {
        Alert memory a = signed;
        a.observedAt -= 1;
        expectRefused(a, certificate, invalid);
        a = signed;
        a.expiresAt += 1;
        expectRefused(a, certificate, invalid);
    }

    function test_RevertIf_EvidenceIsAltered() public {
        Alert memory a = signed;
        a.evidenceHash = X;
        expectRefused(a, certificate, invalid);
    }

    function test_RevertIf_AnotherLeafIsAdded() public {
        bytes32[] memory two = new bytes32[](2);
        two[0] = leavesOf(PAUSE, "")[0];

        vm.expectRevert(invalid);
        guardian.respond(signed, two, 0, PAUSE, "", certificate);
    }

    /// @dev High bits that the types do not have: another digest, so nobody signed it.
    function testFuzz_T16_DirtyWordsOfTheAlertAreRefused(uint256 field, uint256 dirt) public {
        uint8[5] memory words = [0, 8, 9, 10, 13];
        uint8[5] memory bits = [32, 8, 64, 64, 8];
        field = bound(field, 0, 4);
        dirt = bound(dirt, 1, type(uint256).max >> bits[field]) << bits[field];
        bytes memory data =
            abi.encodeCall(guardian.respond, (signed, leavesOf(PAUSE, ""), 0, PAUSE, "", certificate));
        uint256 offset = 36 + uint256(words[field]) * 32;
        assembly {
            mstore(add(data, offset), or(mload(add(data, offset)), dirt))
        }

        (bool ok,) = address(guardian).call(data);

        assertFalse(ok);
        assertFalse(target.isPaused());
    }
}

/// @notice Whose action it is.
contract LeafTest is Refusing {
    function setUp() public {
        setUpGuardian();
    }

    function expectLeafRefused(bytes32 leaf) internal {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = new bytes32[](1);
        leaves_[0] = leaf;
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(
            abi.encodeWithSelector(IGuardianEvents.LeafMismatch.selector, leaf, leavesOf(PAUSE, "")[0])
        );
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_T22_RevertIf_LeafIsForAnotherChain() public {
        expectLeafRefused(leafOf(block.chainid + 1, address(guardian), PAUSE, ""));
    }

    function test_T22_RevertIf_LeafIsForAnotherGuardian() public {
        expectLeafRefused(leafOf(block.chainid, address(newGuardian("other")), PAUSE, ""));
    }

    function test_RevertIf_LeafIsForAnotherAction() public {
        expectLeafRefused(leafOf(block.chainid, address(guardian), keccak256("freeze"), ""));
    }

    function test_RevertIf_LeafHasOtherParameters() public {
        expectLeafRefused(leafOf(block.chainid, address(guardian), PAUSE, hex"01"));
    }

    function test_T22_RevertIf_ChainWasForked() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);
        vm.chainId(99);

        vm.expectRevert(
            abi.encodeWithSelector(
                IGuardianEvents.LeafMismatch.selector, leaves_[0], leafOf(99, address(guardian), PAUSE, "")
            )
        );
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_RevertIf_ActionIsUnknown() public {
        Alert memory alert = makeAlert();
        bytes32 freeze = keccak256("freeze");
        bytes32[] memory leaves_ = leavesOf(freeze, "");
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.UnknownAction.selector, freeze));
        guardian.respond(alert, leaves_, 0, freeze, "", certificate);
    }

    function test_RevertIf_LeafIndexIsOutOfRange() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.LeafIndexOutOfRange.selector, 1, 1));
        guardian.respond(alert, leaves_, 1, PAUSE, "", certificate);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.LeafIndexOutOfRange.selector, 0, 0));
        guardian.respond(alert, new bytes32[](0), 0, PAUSE, "", certificate);
    }

    function test_RevertIf_TooManyLeaves() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = new bytes32[](17);
        leaves_[0] = leavesOf(PAUSE, "")[0];
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.LeafCountInvalid.selector, 17, 16));
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
        leaves_ = new bytes32[](16);
        leaves_[15] = leavesOf(PAUSE, "")[0];
        guardian.respond(alert, leaves_, 15, PAUSE, "", certifyAlert(alert, leaves_));
    }

    function test_RevertIf_ParametersAreGivenToAFixedAction() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, hex"01");
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(
            abi.encodeWithSelector(
                IGuardianEvents.ActionFailed.selector,
                PAUSE,
                abi.encodeWithSelector(IAdapter.ParametersNotTaken.selector, 1)
            )
        );
        guardian.respond(alert, leaves_, 0, PAUSE, hex"01", certificate);
    }
}

/// @notice How much of the weight, and by whose word.
contract ThresholdTest is Refusing {
    function setUp() public {
        setUpGuardian();
    }

    /// @dev A verifier that is none, or another: its answer is not cut to what it should have been.
    function test_RevertIf_TheVerifiersAnswerIsNoPairOfWeights() public {
        bytes[4] memory answers = [
            abi.encode(uint256(1) << 128, 7),
            abi.encode(7, uint256(1) << 128),
            abi.encode(7),
            abi.encodePacked(uint256(7), bytes31(0))
        ];
        Alert memory alert = makeAlert();
        bytes memory certificate = certifyAlert(alert, leavesOf(PAUSE, ""));
        for (uint256 i = 0; i < answers.length; ++i) {
            vm.mockCall(address(verifier), abi.encodePacked(verifier.verify.selector), answers[i]);
            expectRefused(alert, certificate, "");
        }
    }

    function test_RevertIf_TooLittleStake() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");

        expectRefused(
            alert,
            certify(digestOf(alert, leaves_), list(0, 1, 2)),
            abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 400, 700, 6667)
        );
    }

    /// @dev The same signatures, the same calldata but for the action's name: only storage decides.
    function test_T19_ThresholdIsTheActionsOwnFromStorage() public {
        bytes32 limit = keccak256("limit");
        addAction(limit, Level.Limit, 3334);
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = new bytes32[](2);
        leaves_[0] = leavesOf(PAUSE, "")[0];
        leaves_[1] = leavesOf(limit, "")[0];
        bytes memory certificate = certifyPresent(digestOf(alert, leaves_), list(1, 2, 3));

        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 300, 700, 6667));
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
        guardian.respond(alert, leaves_, 1, limit, "", certificate);

        assertFalse(target.paused());
        assertGt(untilOf(limit), 0);
    }

    function test_T19_VerifierIsFixedInTheImplementation() public {
        Alert memory alert = makeAlert();
        bytes memory certificate = certifyAlert(alert, leavesOf(PAUSE, ""));

        // Whatever else calls itself a verifier, only this one is asked.
        vm.expectCall(address(verifier), abi.encodeWithSelector(QuorumVerifier.verify.selector), 1);
        guardian.respond(alert, leavesOf(PAUSE, ""), 0, PAUSE, "", certificate);
    }
}

/// @notice When.
contract WindowTest is Refusing {
    function setUp() public {
        setUpGuardian();
    }

    function expectWindowRefused(uint64 observedAt, uint64 expiresAt, bytes memory reason) internal {
        Alert memory alert = makeAlert();
        (alert.observedAt, alert.expiresAt) = (observedAt, expiresAt);
        expectSignedRefused(alert, reason);
    }

    function test_RevertIf_Expired() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.warp(alert.expiresAt + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IGuardianEvents.AlertExpired.selector, alert.expiresAt, vm.getBlockTimestamp()
            )
        );
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
        vm.warp(alert.expiresAt);
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_T25_RevertIf_ObservedInTheFuture() public {
        uint64 later = uint64(vm.getBlockTimestamp()) + 1;

        expectWindowRefused(
            later,
            later + 60,
            abi.encodeWithSelector(IGuardianEvents.AlertFromFuture.selector, later, vm.getBlockTimestamp())
        );
    }

    function test_T25_RevertIf_ExpiryIsFarInTheFuture() public {
        uint64 at = uint64(vm.getBlockTimestamp());

        expectWindowRefused(
            at,
            at + 86_401,
            abi.encodeWithSelector(IGuardianEvents.AlertWindowInvalid.selector, at, at + 86_401, 86_400)
        );
        expectWindowRefused(
            at,
            type(uint64).max,
            abi.encodeWithSelector(IGuardianEvents.AlertWindowInvalid.selector, at, type(uint64).max, 86_400)
        );
    }

    function test_T25_ADayIsTheLongestWindow() public {
        Alert memory alert = makeAlert();
        alert.expiresAt = alert.observedAt + 86_400;

        deliver(alert);

        assertTrue(target.paused());
    }

    /// @dev A chain whose clock runs behind the source's waits until its own reaches the alert's.
    function test_T25_ALaggingChainActsOnceItsClockIsThere() public {
        Alert memory alert = makeAlert();
        (alert.sourceChainId, alert.observedAt, alert.expiresAt) =
        (10, alert.observedAt + 30, alert.expiresAt + 30);
        bytes memory certificate = certifyAlert(alert, leavesOf(PAUSE, ""));
        expectRefused(
            alert,
            certificate,
            abi.encodeWithSelector(
                IGuardianEvents.AlertFromFuture.selector, alert.observedAt, vm.getBlockTimestamp()
            )
        );

        vm.warp(alert.observedAt);
        guardian.respond(alert, leavesOf(PAUSE, ""), 0, PAUSE, "", certificate);

        assertTrue(target.paused());
    }

    function test_RevertIf_WindowIsEmpty() public {
        uint64 at = uint64(vm.getBlockTimestamp());

        expectWindowRefused(
            at, at, abi.encodeWithSelector(IGuardianEvents.AlertWindowInvalid.selector, at, at, 86_400)
        );
    }

    function test_RevertIf_ObservedBeforeTheActionWasSet() public {
        uint64 setAt = uint64(vm.getBlockTimestamp());
        configure(PAUSE, pauseConfig());

        expectWindowRefused(
            setAt, setAt + 60, abi.encodeWithSelector(IGuardianEvents.AlertTooOld.selector, setAt, setAt)
        );
    }

    function test_RevertIf_PolicyIsUnset() public {
        vm.prank(owner);
        guardian.setPolicy(bytes32(0));
        Alert memory alert = makeAlert();
        alert.policyHash = bytes32(0);

        expectSignedRefused(
            alert, abi.encodeWithSelector(IGuardianEvents.PolicyNotApproved.selector, bytes32(0), bytes32(0))
        );
    }
}
