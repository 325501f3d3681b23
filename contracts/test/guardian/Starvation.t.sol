// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ActionConfig, IGuardianEvents, LiftTerms} from "../../src/interfaces/IGuardianEvents.sol";
import {AdapterLib} from "../../src/libraries/AdapterLib.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice Too little gas, in steps of a thousand, from nothing done to all done.
contract StarvationTest is Guarded {
    function setUp() public {
        setUpGuardian();
        vm.prank(owner);
        guardian.setLiftTerms(PAUSE, LiftTerms({minHold: 0, graceAction: 0, graceSeconds: 0}));
    }

    function respondCall() private view returns (bytes memory) {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        return abi.encodeCall(guardian.respond, (alert, leaves_, 0, PAUSE, "", certifyAlert(alert, leaves_)));
    }

    /// @dev With a naive call every limit in a band would consume the certificate without pausing.
    function test_T32_NoGasLimitConsumesTheAlertWithoutEffect() public {
        bytes memory data = respondCall();
        uint256 refused = 0;
        uint256 done = 0;
        for (uint256 gasLimit = 150_000; gasLimit < 650_000; gasLimit += 1000) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(guardian).call{gas: gasLimit}(data);
            assertEq(ok, target.paused(), "acted and paused together, or neither");
            assertEq(ok, untilOf(PAUSE) != 0, "state follows the effect");
            if (ok) ++done;
            else ++refused;
            vm.revertToStateAndDelete(snapshot);
        }
        assertGt(refused, 100);
        assertGt(done, 50);
    }

    /// @dev The other way round: a restriction is not struck from the book while its target stays restricted.
    function test_T32_NoGasLimitEndsARestrictionInTheBookOnly() public {
        deliver(makeAlert());
        advance(1);
        Alert memory alert = makeClear();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory clear =
            abi.encodeCall(guardian.clear, (alert, leaves_, 0, PAUSE, "", certifyAlert(alert, leaves_)));
        sweepEnd(clear, 130_000, 330_000);
        vm.warp(untilOf(PAUSE));
        sweepEnd(abi.encodeCall(guardian.expire, (PAUSE)), 5_000, 205_000);
    }

    function sweepEnd(bytes memory data, uint256 from, uint256 to) private {
        uint256 refused = 0;
        uint256 done = 0;
        for (uint256 gasLimit = from; gasLimit < to; gasLimit += 1000) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(guardian).call{gas: gasLimit}(data);
            assertEq(ok, !target.paused(), "ended and released together, or neither");
            assertEq(ok, untilOf(PAUSE) == 0, "state follows the effect");
            if (ok) ++done;
            else ++refused;
            vm.revertToStateAndDelete(snapshot);
        }
        assertGt(refused, 10);
        assertGt(done, 50);
    }

    /// @dev The adapter is passed 63 of 64 parts. What a refusal reports was left a few hundred gas after the check.
    function test_T32_RefusesUpToTheGasThatTheAdapterIsDueAndWhatIsKeptBack() public {
        bytes memory data = respondCall();
        uint256 due = uint256(pauseConfig().minGas) * 64 / 63 + AdapterLib.RESERVE_GAS;
        uint256 left = 0;
        for (uint256 gasLimit = due; gasLimit < 2 * due; gasLimit += 500) {
            (bool ok, bytes memory reason) = address(guardian).call{gas: gasLimit}(data);
            if (ok) break;
            if (bytes4(reason) != IGuardianEvents.GasTooLow.selector) continue;
            (left,,) = abi.decode(slice(reason, 4, reason.length), (uint256, uint256, uint256));
        }

        assertApproxEqAbs(left, due, 1_000);
    }

    function test_RevertIf_GasIsBelowTheActionsNeed() public {
        ActionConfig memory config = pauseConfig();
        config.minGas = 2_000_000;
        configure(PAUSE, config);

        (bool ok, bytes memory reason) = address(guardian).call{gas: 2_000_000}(respondCall());

        assertFalse(ok);
        assertEq(bytes4(reason), IGuardianEvents.GasTooLow.selector);
        assertFalse(target.paused());
        assertEq(untilOf(PAUSE), 0);
    }
}
