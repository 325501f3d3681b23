// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {PausableAdapter} from "../../src/adapters/PausableAdapter.sol";
import {Guardian} from "../../src/guardian/Guardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {ActionConfig, IGuardian, Level, LiftTerms} from "../../src/interfaces/IGuardian.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Network} from "./Network.sol";

/// @title GuardedLadder: a guardian with an action on every rung, each with a target of its own. For tests.
/// @notice Actions by index: 0 tells, 1 limits, 2 freezes, 3 pauses, 4 is the grace that follows a pause. One
///         alert names all of them.
abstract contract GuardedLadder is Network {
    /// @dev Gas of each call: a target that burns what it gets would otherwise burn the test's.
    uint256 internal constant GAS = 5_000_000;

    uint256 internal constant ACTIONS = 5;
    uint256 internal constant TELL = 0;
    uint256 internal constant LIMIT = 1;
    uint256 internal constant FREEZE = 2;
    uint256 internal constant PAUSE = 3;
    uint256 internal constant GRACE = 4;

    bytes32 internal constant POLICY = keccak256("policy");
    uint24 internal constant DURATION = 4 hours;
    uint24 internal constant COOLDOWN = 10 minutes;
    uint24 internal constant BUDGET = 12 hours;
    uint24 internal constant WINDOW = 2 days;
    uint24 internal constant GRACE_SECONDS = 1 hours;
    uint32 internal constant MIN_HOLD = 20 minutes;

    address internal owner = makeAddr("owner");
    IGuardian internal guardian;
    HostileTarget[ACTIONS] internal targets;
    IAdapter[ACTIONS] internal adapters;

    function setUpLadder() internal {
        setUpNetwork();
        GuardianFactory factory = new GuardianFactory(address(new Guardian(verifier)));
        guardian = IGuardian(factory.create(owner, POLICY, "ladder"));
        for (uint256 i = 0; i < ACTIONS; ++i) {
            if (i == TELL) continue;
            targets[i] = new HostileTarget();
            adapters[i] = new PausableAdapter(address(guardian), address(targets[i]));
            targets[i].setPauser(address(adapters[i]));
        }
        vm.startPrank(owner);
        for (uint256 i = 0; i < ACTIONS; ++i) {
            guardian.setAction(idOf(i), configOf(i));
        }
        guardian.setLiftTerms(idOf(PAUSE), LiftTerms(MIN_HOLD, idOf(GRACE), GRACE_SECONDS));
        guardian.setLiftTerms(idOf(LIMIT), LiftTerms(MIN_HOLD, bytes32(0), 0));
        vm.stopPrank();
        vm.roll(1000);
        advance(1 minutes);
    }

    function idOf(uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("action", i));
    }

    function levelOf(uint256 i) internal pure returns (Level) {
        return i == GRACE ? Level.Freeze : Level(uint8(i));
    }

    /// @dev The least number of the seven, of equal weight, that is good for action `i`.
    function signersFor(uint256 i) internal pure returns (uint256) {
        return [uint256(3), 3, 4, 5, 4][i];
    }

    function configOf(uint256 i) internal view returns (ActionConfig memory) {
        uint16 thresholdBps = [uint16(3334), 3334, 5000, 6667, 5000][i];
        if (i == TELL) {
            return ActionConfig(IAdapter(address(0)), Level.Alert, thresholdBps, 0, 0, COOLDOWN, 0, 0);
        }
        return ActionConfig({
            adapter: adapters[i],
            level: levelOf(i),
            thresholdBps: thresholdBps,
            minGas: 150_000,
            maxDuration: DURATION,
            cooldown: COOLDOWN,
            budget: BUDGET,
            window: WINDOW
        });
    }

    /// @dev Time passes and a block with a known hash is mined.
    function advance(uint256 secs) internal {
        vm.warp(vm.getBlockTimestamp() + secs);
        vm.roll(vm.getBlockNumber() + 1);
        vm.setBlockhash(vm.getBlockNumber() - 1, blockHashOf(vm.getBlockNumber() - 1));
    }

    function blockHashOf(uint256 number) internal pure returns (bytes32) {
        return keccak256(abi.encode("block", number));
    }

    /// @dev An alert about the block before this one, observed now; `nonce` tells alerts of one block apart.
    function makeAlert(uint8 verdict, uint256 nonce) internal view returns (Alert memory alert) {
        alert.epoch = EPOCH;
        alert.headerHash = headerHash;
        alert.policyHash = POLICY;
        alert.ruleId = keccak256(abi.encode("rule", nonce));
        alert.sourceChainId = block.chainid;
        alert.anchorNumber = vm.getBlockNumber() - 1;
        alert.anchorHash = blockHashOf(alert.anchorNumber);
        alert.verdict = verdict;
        alert.observedAt = uint64(vm.getBlockTimestamp());
        alert.expiresAt = uint64(vm.getBlockTimestamp()) + 1 hours;
        alert.evidenceHash = keccak256("evidence");
    }

    /// @dev The leaves of all actions of this guardian on this chain, in the order of their indices.
    function allLeaves() internal view returns (bytes32[] memory leaves_) {
        leaves_ = new bytes32[](ACTIONS);
        for (uint256 i = 0; i < ACTIONS; ++i) {
            leaves_[i] = leafFor(block.chainid, address(guardian), idOf(i), "");
        }
    }

    /// @dev Written out here, not taken from AlertLib.
    function leafFor(uint256 chainId, address guardian_, bytes32 actionId, bytes memory params)
        internal
        pure
        returns (bytes32)
    {
        bytes32 typehash = keccak256(
            "TocsinAction(uint256 chainId,address guardian,bytes32 actionId,bytes32 paramsHash)"
        );
        return keccak256(abi.encode(typehash, chainId, guardian_, actionId, keccak256(params)));
    }

    function digestOf(Alert memory alert, bytes32[] memory leaves_) internal view returns (bytes32) {
        return this.digestOfCalldata(alert, leaves_);
    }

    function digestOfCalldata(Alert calldata alert, bytes32[] calldata leaves_)
        external
        pure
        returns (bytes32)
    {
        return AlertLib.digest(NETWORK_ID, alert, AlertLib.slotId(alert), AlertLib.actionsHash(leaves_));
    }

    /// @dev Indices of the set bits of `mask`, of the seven.
    function absentOf(uint8 mask) internal pure returns (uint256[] memory absent) {
        uint256 count = 0;
        for (uint256 i = 0; i < 7; ++i) {
            count += mask >> i & 1;
        }
        absent = new uint256[](count);
        for ((uint256 i, uint256 to) = (0, 0); i < 7; ++i) {
            if (mask >> i & 1 == 1) absent[to++] = i;
        }
    }
}
