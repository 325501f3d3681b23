// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Guardian} from "../../src/guardian/Guardian.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {Guarded} from "../support/Guarded.sol";

/// @title Everybody: operators, submitters, the owner, thieves and time, in any order.
/// @notice Keeps its own account of when a quorum really signed, to hold the guardian against.
contract Everybody is Guarded {
    /// @notice Unix seconds by which the restriction that a quorum justified must be over; zero: none.
    uint256 public justifiedUntil;
    bool public isGovernancePause;
    uint256 public pauses;
    bool public brokeNoQuorumRule;

    constructor() {
        setUpGuardian();
        owner = address(this);
        vm.prank(address(this));
        guardian.requestOwnershipHandover();
        vm.prank(makeAddr("owner"));
        guardian.completeOwnershipHandover(address(this));
    }

    function guardian_() external view returns (Guardian) {
        return guardian;
    }

    function isPaused() external view returns (bool) {
        return target.paused();
    }

    function pass(uint256 secs) external {
        advance(bound(secs, 1, 5 hours));
    }

    /// @dev Any subset signs any window; the certificate is delivered whatever comes of it.
    function deliverSignedBy(uint8 absentMask, uint256 age, uint256 ttl) external {
        uint256 absentCount = 0;
        for (uint256 i = 0; i < 7; ++i) {
            absentCount += absentMask >> i & 1;
        }
        if (absentCount == 7) return;
        uint256[] memory absent = new uint256[](absentCount);
        for ((uint256 i, uint256 to) = (0, 0); i < 7; ++i) {
            if (absentMask >> i & 1 == 1) absent[to++] = i;
        }
        Alert memory alert = makeAlert();
        alert.observedAt -= uint64(bound(age, 0, 1 hours));
        alert.expiresAt = alert.observedAt + uint64(bound(ttl, 30 minutes, 26 hours));
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certify(digestOf(alert, leaves_), absent);

        bool wasPaused = target.paused();
        uint64 untilBefore = untilOf(PAUSE);
        try guardian.respond(alert, leaves_, 0, PAUSE, "", certificate) {} catch {}
        if (untilOf(PAUSE) != untilBefore) {
            // Five of seven are more than two thirds, four are not.
            if (absentCount > 2) brokeNoQuorumRule = true;
            justifiedUntil = vm.getBlockTimestamp() + DURATION;
            ++pauses;
        } else if (target.paused() != wasPaused) {
            brokeNoQuorumRule = true;
        }
    }

    function expire() external {
        try guardian.expire(PAUSE) {} catch {}
    }

    function lift() external {
        try guardian.lift(PAUSE) {} catch {}
    }

    function adopt() external {
        try guardian.adopt(PAUSE) {
            isGovernancePause = target.paused();
        } catch {}
    }

    function governancePauses() external {
        if (untilOf(PAUSE) == 0 && !target.paused()) {
            target.pause();
            isGovernancePause = true;
        }
    }

    function governanceUnpauses() external {
        target.unpause();
        isGovernancePause = false;
    }
}

contract InvariantsTest is Guarded {
    Everybody private everybody;

    function setUp() public {
        everybody = new Everybody();
        bytes4[] memory selectors = new bytes4[](7);
        selectors[0] = Everybody.pass.selector;
        selectors[1] = Everybody.deliverSignedBy.selector;
        selectors[2] = Everybody.expire.selector;
        selectors[3] = Everybody.lift.selector;
        selectors[4] = Everybody.adopt.selector;
        selectors[5] = Everybody.governancePauses.selector;
        selectors[6] = Everybody.governanceUnpauses.selector;
        targetContract(address(everybody));
        targetSelector(FuzzSelector({addr: address(everybody), selectors: selectors}));
    }

    /// @dev Else the invariants below could hold because nothing ever happened.
    function test_EverybodyCanPause() public {
        everybody.deliverSignedBy(0, 0, 1 hours);
        assertEq(everybody.pauses(), 1);
        assertTrue(everybody.isPaused());
    }

    /// @dev paused, not by governance → a quorum signed, and anyone can end it at most maxDuration later.
    function invariant_RestrictionAlwaysExpires() public {
        (uint64 until,,,) = everybody.guardian_().state(PAUSE);
        assertLe(until, everybody.justifiedUntil(), "no restriction outlasts what a quorum justified");
        if (everybody.isPaused() && !everybody.isGovernancePause()) {
            assertTrue(until != 0, "a restriction that is not governance's can always be ended");
            vm.warp(everybody.justifiedUntil());
            vm.prank(makeAddr("anyone"));
            everybody.guardian_().expire(PAUSE);
            assertFalse(everybody.isPaused());
        }
    }

    function invariant_GuardianNeverEngagesWithoutAQuorum() public view {
        assertFalse(everybody.brokeNoQuorumRule());
    }

    function invariant_PauseOfGovernanceIsNeverLiftedByTheNetwork() public view {
        if (everybody.isGovernancePause()) assertTrue(everybody.isPaused());
    }
}
