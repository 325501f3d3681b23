// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Guardian} from "../../src/guardian/Guardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {ActionConfig, IGuardianEvents} from "../../src/interfaces/IGuardianEvents.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {OperatorSetChain} from "../../src/verifier/OperatorSetChain.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Refusing} from "./Refusal.t.sol";

/// @notice One certificate, brought again: to the same guardian later, or to another place.
contract ReplayTest is Refusing {
    function setUp() public {
        setUpGuardian();
    }

    function test_T22_RevertIf_ReplayedAfterLift() public {
        Alert memory alert = makeAlert();
        deliver(alert);
        vm.prank(owner);
        guardian.lift(PAUSE);
        uint256 observedAfter = vm.getBlockTimestamp() + COOLDOWN;

        expectSignedRefused(
            alert,
            abi.encodeWithSelector(IGuardianEvents.AlertTooOld.selector, alert.observedAt, observedAfter)
        );
    }

    function test_T22_RevertIf_ReplayedAfterExpiry() public {
        ActionConfig memory config = pauseConfig();
        (config.maxDuration, config.cooldown) = (5 minutes, 1);
        configure(PAUSE, config);
        Alert memory alert = makeAlert();
        deliver(alert);
        uint256 observedAfter = untilOf(PAUSE) + 1;
        vm.warp(observedAfter);
        bytes memory certificate = certifyAlert(alert, leavesOf(PAUSE, ""));
        bytes memory reason =
            abi.encodeWithSelector(IGuardianEvents.AlertTooOld.selector, alert.observedAt, observedAfter);

        // Before anybody cleared it, and after.
        vm.expectRevert(reason);
        guardian.respond(alert, leavesOf(PAUSE, ""), 0, PAUSE, "", certificate);
        guardian.expire(PAUSE);
        expectRefused(alert, certificate, reason);
    }

    function test_RevertIf_ObservedWithinTheCooldown() public {
        deliver(makeAlert());
        vm.warp(untilOf(PAUSE));
        guardian.expire(PAUSE);
        uint256 end = vm.getBlockTimestamp();
        advance(COOLDOWN);
        Alert memory alert = makeAlert();

        expectSignedRefused(
            alert,
            abi.encodeWithSelector(IGuardianEvents.AlertTooOld.selector, alert.observedAt, end + COOLDOWN)
        );
        advance(1);
        deliver(makeAlert());
        assertTrue(target.paused());
    }

    function test_T22_RevertIf_NetworkIsAnother() public {
        Alert memory alert = makeAlert();
        bytes memory certificate = certifyAlert(alert, leavesOf(PAUSE, ""));
        QuorumVerifier foreign = new QuorumVerifier("another network", header, successionTerms());
        vm.etch(address(guardian), address(new Guardian(foreign)).code);

        expectRefused(alert, certificate, abi.encodePacked(CertificateLib.SignatureInvalid.selector));
    }

    /// @dev A deployment that starts with a later set does not know the set that signed.
    function test_T22_RevertIf_DeploymentIsOfALaterEpoch() public {
        Alert memory alert = makeAlert();
        bytes memory certificate = certifyAlert(alert, leavesOf(PAUSE, ""));
        bytes memory later = replace(header, 0, abi.encodePacked(EPOCH + 1));
        QuorumVerifier laterVerifier = new QuorumVerifier(NETWORK_ID, later, successionTerms());
        vm.etch(address(guardian), address(new Guardian(laterVerifier)).code);

        expectRefused(
            alert,
            certificate,
            abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, headerHash)
        );
    }

    function test_T22_RevertIf_BroughtToAnotherGuardianOfTheSameOwner() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);
        GuardianFactory factory = new GuardianFactory(address(new Guardian(verifier)));
        IGuardian twin = IGuardian(factory.create(owner, POLICY, "twin"));

        vm.expectRevert(
            abi.encodeWithSelector(
                IGuardianEvents.LeafMismatch.selector,
                leaves_[0],
                leafOf(block.chainid, address(twin), PAUSE, "")
            )
        );
        twin.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_T22_RevertIf_ReplayedAfterRemovalAndReturnOfTheAction() public {
        Alert memory alert = makeAlert();
        bytes memory certificate = certifyAlert(alert, leavesOf(PAUSE, ""));
        vm.startPrank(owner);
        guardian.removeAction(PAUSE);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.UnknownAction.selector, PAUSE));
        guardian.respond(alert, leavesOf(PAUSE, ""), 0, PAUSE, "", certificate);
        guardian.setAction(PAUSE, pauseConfig());

        expectRefused(
            alert,
            certificate,
            abi.encodeWithSelector(
                IGuardianEvents.AlertTooOld.selector, alert.observedAt, vm.getBlockTimestamp()
            )
        );
    }
}
