// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Guardian} from "../../src/guardian/Guardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {ActionConfig, ActionState, IGuardian, Level, Outcome} from "../../src/interfaces/IGuardian.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {PausableAdapter} from "../../src/adapters/PausableAdapter.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Network} from "./Network.sol";

/// @title Guarded: a guardian with one pause action over a target that obeys, and certificates for it. For tests.
abstract contract Guarded is Network {
    bytes32 internal constant POLICY = keccak256("policy");
    bytes32 internal constant PAUSE = keccak256("pause");
    uint24 internal constant DURATION = 4 hours;
    uint24 internal constant COOLDOWN = 10 minutes;
    uint24 internal constant BUDGET = 16 hours;
    uint24 internal constant WINDOW = 1 days;
    uint64 internal constant TTL = 1 hours;

    address internal owner = makeAddr("owner");
    IGuardian internal guardian;
    HostileTarget internal target;
    PausableAdapter internal adapter;

    function setUpGuardian() internal {
        setUpNetwork();
        guardian = newGuardian("guardian");
        target = new HostileTarget();
        adapter = new PausableAdapter(address(guardian), address(target));
        target.setPauser(address(adapter));
        vm.prank(owner);
        guardian.setAction(PAUSE, pauseConfig());
        vm.roll(1000);
        advance(1 minutes);
    }

    function newGuardian(bytes32 salt) internal returns (IGuardian) {
        GuardianFactory factory = new GuardianFactory(address(new Guardian(verifier)));
        return IGuardian(factory.create(owner, POLICY, salt));
    }

    /// @dev Another action of the same guardian, on a target of its own.
    function addAction(bytes32 actionId, Level level, uint16 thresholdBps)
        internal
        returns (HostileTarget target_)
    {
        target_ = new HostileTarget();
        ActionConfig memory config = pauseConfig();
        config.adapter = IAdapter(address(new PausableAdapter(address(guardian), address(target_))));
        (config.level, config.thresholdBps) = (level, thresholdBps);
        target_.setPauser(address(config.adapter));
        configure(actionId, config);
    }

    /// @dev Sets an action, and lets time pass so that new alerts are younger than it.
    function configure(bytes32 actionId, ActionConfig memory config) internal {
        vm.prank(owner);
        guardian.setAction(actionId, config);
        advance(1);
    }

    function pauseConfig() internal view returns (ActionConfig memory) {
        return ActionConfig({
            adapter: IAdapter(address(adapter)),
            level: Level.Pause,
            thresholdBps: 6667,
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
        vm.setBlockhash(vm.getBlockNumber() - 1, keccak256(abi.encode("block", vm.getBlockNumber() - 1)));
    }

    /// @dev An alert about the block before this one, observed now.
    function makeAlert() internal view returns (Alert memory alert) {
        alert.epoch = EPOCH;
        alert.headerHash = headerHash;
        alert.policyHash = POLICY;
        alert.ruleId = keccak256("drain");
        alert.sourceChainId = block.chainid;
        alert.anchorNumber = vm.getBlockNumber() - 1;
        alert.anchorHash = keccak256(abi.encode("block", vm.getBlockNumber() - 1));
        alert.verdict = AlertLib.VERDICT_THREAT;
        alert.observedAt = uint64(vm.getBlockTimestamp());
        alert.expiresAt = uint64(vm.getBlockTimestamp()) + TTL;
        alert.evidenceHash = keccak256("evidence");
    }

    /// @dev The pause of this guardian as the only action.
    function leavesOf(bytes32 actionId, bytes memory params)
        internal
        view
        returns (bytes32[] memory leaves_)
    {
        leaves_ = new bytes32[](1);
        leaves_[0] = leafOf(block.chainid, address(guardian), actionId, params);
    }

    /// @dev Written out here, not taken from AlertLib.
    function leafOf(uint256 chainId, address guardian_, bytes32 actionId, bytes memory params)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                keccak256(
                    "TocsinAction(uint256 chainId,address guardian,bytes32 actionId,bytes32 paramsHash)"
                ),
                chainId,
                guardian_,
                actionId,
                keccak256(params)
            )
        );
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

    /// @dev Signed by all seven.
    function certifyAlert(Alert memory alert, bytes32[] memory leaves_) internal view returns (bytes memory) {
        return certify(digestOf(alert, leaves_), none());
    }

    function deliver(Alert memory alert) internal returns (Outcome) {
        return deliver(alert, PAUSE);
    }

    function deliver(Alert memory alert, bytes32 actionId) internal returns (Outcome) {
        bytes32[] memory leaves_ = leavesOf(actionId, "");
        return guardian.respond(alert, leaves_, 0, actionId, "", certifyAlert(alert, leaves_));
    }

    function makeClear() internal view returns (Alert memory alert) {
        alert = makeAlert();
        alert.verdict = AlertLib.VERDICT_CLEAR;
    }

    function deliverClear(Alert memory alert, bytes32 actionId) internal returns (Outcome) {
        bytes32[] memory leaves_ = leavesOf(actionId, "");
        return guardian.clear(alert, leaves_, 0, actionId, "", certifyAlert(alert, leaves_));
    }

    function copy(Alert memory alert) internal pure returns (Alert memory) {
        return abi.decode(abi.encode(alert), (Alert));
    }

    function stateOf(bytes32 actionId) internal view returns (ActionState memory) {
        return guardian.state(actionId);
    }

    function untilOf(bytes32 actionId) internal view returns (uint40) {
        return guardian.state(actionId).until;
    }
}
