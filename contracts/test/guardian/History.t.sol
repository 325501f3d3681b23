// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {Vm} from "forge-std/Vm.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {
    ActionConfig,
    ActionState,
    BatchItem,
    Dependency,
    IGuardianOffice,
    IGuardianResponse,
    Level,
    LiftTerms,
    TankTerms
} from "../../src/interfaces/IGuardian.sol";
import {IGuardianEvents} from "../../src/interfaces/IGuardianEvents.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {GuardedLadder} from "../support/GuardedLadder.sol";

/// @title Chronicle: a guardian's state as a watcher knows it, who reads its logs and nothing else. For tests.
/// @notice Asks neither the guardian nor the clock. The arithmetic of the budget is written out here.
abstract contract Chronicle {
    struct Told {
        bool isSet;
        ActionConfig config;
        ActionState state;
        LiftTerms liftTerms;
        bytes32 predecessor;
    }

    struct Picture {
        address owner;
        bytes32 policyHash;
        uint8 maxCauseDepth;
        uint256 actions;
        Dependency[] dependencies;
        TankTerms tank;
        uint40 tankFullAt;
        uint256 balanceWei;
    }

    Picture internal picture;
    mapping(bytes32 actionId => Told) internal told;

    error UnknownEvent(bytes32 topic);

    function read(Vm.Log memory log) internal {
        if (_readResponse(log) || _readEnd(log) || _readAction(log) || _readTerms(log) || _readTank(log)) {
            return;
        }
        if (!_isWithoutState(log.topics[0])) revert UnknownEvent(log.topics[0]);
    }

    // ---- kinds

    /// @dev A handover that is asked for is no state until it is completed; a failure leaves things as they were;
    ///      a disconnection speaks through the policy and each release.
    function _isWithoutState(bytes32 topic) private pure returns (bool) {
        return topic == IGuardianEvents.BatchItemFailed.selector
            || topic == IGuardianEvents.GraceFailed.selector
            || topic == IGuardianEvents.ReleaseFailed.selector
            || topic == IGuardianEvents.Disconnected.selector
            || topic == Ownable.OwnershipHandoverRequested.selector;
    }

    /// @dev What follows the first word of a response is about the quorum, not about the state.
    function _readResponse(Vm.Log memory log) private returns (bool) {
        bytes32 topic = log.topics[0];
        if (topic == IGuardianEvents.Responded.selector) {
            uint40 until = abi.decode(log.data, (uint40));
            _begin(log.topics[2], until - told[log.topics[2]].config.maxDuration, until, false);
            return true;
        }
        if (topic == IGuardianEvents.GraceBegun.selector) {
            (uint40 startedAt, uint40 until) = abi.decode(log.data, (uint40, uint40));
            _begin(log.topics[1], startedAt, until, true);
            return true;
        }
        if (topic == IGuardianEvents.Alerted.selector) {
            told[log.topics[2]].state.observedAfter = abi.decode(log.data, (uint40));
            return true;
        }
        return false;
    }

    function _readEnd(Vm.Log memory log) private returns (bool) {
        bytes32 topic = log.topics[0];
        if (topic == IGuardianEvents.Cleared.selector) {
            (uint40 endedAt, bool released) = abi.decode(log.data, (uint40, bool));
            _end(log.topics[2], endedAt, !released);
            return true;
        }
        if (topic == IGuardianEvents.Expired.selector || topic == IGuardianEvents.Lifted.selector) {
            (uint40 endedAt, bool released) = abi.decode(log.data, (uint40, bool));
            _end(log.topics[1], endedAt, !released);
            return true;
        }
        if (topic == IGuardianEvents.Adopted.selector) {
            _end(log.topics[1], abi.decode(log.data, (uint40)), false);
            return true;
        }
        return false;
    }

    function _readAction(Vm.Log memory log) private returns (bool) {
        bytes32 topic = log.topics[0];
        if (topic == IGuardianEvents.ActionSet.selector) {
            Told storage action = told[log.topics[1]];
            // A new one: no all-clear ends it until lift terms say so.
            if (!action.isSet) action.liftTerms.minHold = type(uint32).max;
            if (!action.isSet) ++picture.actions;
            action.isSet = true;
            (action.config, action.state.observedAfter, action.state.budgetFullAt) =
                abi.decode(log.data, (ActionConfig, uint40, uint40));
            return true;
        }
        if (topic == IGuardianEvents.ActionRemoved.selector) {
            Told storage action = told[log.topics[1]];
            action.isSet = false;
            --picture.actions;
            delete action.config;
            delete action.liftTerms;
            delete action.predecessor;
            return true;
        }
        return false;
    }

    function _readTerms(Vm.Log memory log) private returns (bool) {
        bytes32 topic = log.topics[0];
        if (topic == IGuardianEvents.LiftTermsSet.selector) {
            told[log.topics[1]].liftTerms = abi.decode(log.data, (LiftTerms));
        } else if (topic == IGuardianEvents.PredecessorSet.selector) {
            told[log.topics[1]].predecessor = abi.decode(log.data, (bytes32));
        } else if (topic == IGuardianEvents.PolicySet.selector) {
            picture.policyHash = log.topics[1];
        } else if (topic == IGuardianEvents.MaxCauseDepthSet.selector) {
            picture.maxCauseDepth = abi.decode(log.data, (uint8));
        } else if (topic == Ownable.OwnershipTransferred.selector) {
            picture.owner = address(uint160(uint256(log.topics[2])));
        } else if (topic == IGuardianEvents.DependenciesSet.selector) {
            Dependency[] memory dependencies = abi.decode(log.data, (Dependency[]));
            delete picture.dependencies;
            for (uint256 i = 0; i < dependencies.length; ++i) {
                picture.dependencies.push(dependencies[i]);
            }
        } else {
            return false;
        }
        return true;
    }

    function _readTank(Vm.Log memory log) private returns (bool) {
        bytes32 topic = log.topics[0];
        if (topic == IGuardianEvents.TankSet.selector) {
            (picture.tank, picture.tankFullAt) = abi.decode(log.data, (TankTerms, uint40));
        } else if (topic == IGuardianEvents.Deposited.selector) {
            picture.balanceWei += abi.decode(log.data, (uint256));
        } else if (topic == IGuardianEvents.Withdrawn.selector) {
            picture.balanceWei -= abi.decode(log.data, (uint256));
        } else if (topic == IGuardianEvents.Refunded.selector) {
            (uint256 amountWei, uint40 fullAt) = abi.decode(log.data, (uint256, uint40));
            picture.balanceWei -= amountWei;
            picture.tankFullAt = fullAt;
        } else if (topic == IGuardianEvents.RefundFailed.selector) {
            (, picture.tankFullAt) = abi.decode(log.data, (uint256, uint40));
        } else {
            return false;
        }
        return true;
    }

    // ---- what follows from a beginning and from an end

    function _begin(bytes32 actionId, uint40 startedAt, uint40 until, bool isGrace) private {
        ActionConfig storage config = told[actionId].config;
        ActionState storage state = told[actionId].state;
        // One that ran out and that nobody ended was over when its time was.
        if (state.until != 0) state.lastEndedAt = state.until;
        uint256 cost = 2 * uint256(until - startedAt) * config.window;
        uint256 from = state.budgetFullAt > startedAt ? state.budgetFullAt : startedAt;
        state.budgetFullAt = uint40(from + (cost + config.budget - 1) / config.budget);
        state.startedAt = startedAt;
        state.until = until;
        state.isGrace = isGrace;
        state.ownerLifted = false;
    }

    function _end(bytes32 actionId, uint40 endedAt, bool ownerLifted) private {
        ActionConfig storage config = told[actionId].config;
        ActionState storage state = told[actionId].state;
        if (state.until > endedAt) {
            uint256 back = 2 * uint256(state.until - endedAt) * config.window / config.budget;
            // Never before now: what is used up flows back at half speed at most.
            state.budgetFullAt -= uint40(back);
        }
        state.observedAfter = endedAt + config.cooldown;
        state.lastEndedAt = endedAt;
        state.until = 0;
        state.isGrace = false;
        state.ownerLifted = ownerLifted;
    }
}

/// @title HistoryTest: the whole state of a guardian can be rebuilt from its logs alone
/// @notice A walk over everything that changes state, with targets that fail; after each call every view is
///         compared with what the logs have told so far.
contract HistoryTest is GuardedLadder, Chronicle {
    uint256 internal constant STEPS = 20;
    uint256 internal constant SEEDS = 20;

    address internal submitter = makeAddr("submitter");
    uint256 internal entropy;
    mapping(bytes32 topic => uint256) internal heard;

    function setUp() public {
        vm.recordLogs();
        setUpLadder();
        hear(vm.getRecordedLogs());
        vm.fee(1 gwei);
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_StateIsWhatTheLogsTell(uint256 seed) public {
        walk(seed);

        compare();
    }

    function test_TheWalkReachesEveryEvent() public {
        bytes32[] memory topics = topicsOfState();
        uint256[] memory counts = new uint256[](topics.length);
        uint256 start = vm.snapshotState();

        for (uint256 seed = 0; seed < SEEDS; ++seed) {
            walk(seed);
            for (uint256 i = 0; i < topics.length; ++i) {
                counts[i] += heard[topics[i]];
            }
            vm.revertToState(start);
        }

        for (uint256 i = 0; i < topics.length; ++i) {
            assertGt(counts[i], 0, vm.toString(topics[i]));
        }
    }

    /// @dev The owner is the target here: it could forget the action while the guardian releases it, and what the
    ///      end then says would be about an action of which the logs no longer tell the cooldown.
    function test_RevertIf_AnActionIsRemovedWhileItEnds() public {
        HostileTarget target = targets[PAUSE];
        handOver(address(target));
        vm.prank(address(target));
        act(abi.encodeCall(IGuardianOffice.setLiftTerms, (idOf(PAUSE), LiftTerms(0, bytes32(0), 0))));
        respondWith(PAUSE);
        target.setCallBack(address(guardian), abi.encodeCall(IGuardianOffice.removeAction, (idOf(PAUSE))));

        vm.prank(address(target));
        bool ok = act(abi.encodeCall(IGuardianOffice.lift, (idOf(PAUSE))));

        assertTrue(ok, "lifted");
        assertEq(bytes4(target.callBackAnswer()), IGuardianEvents.Reentered.selector);
        assertEq(guardian.action(idOf(PAUSE)).maxDuration, DURATION);
    }

    /// @dev The walk comes by too seldom. Every call compares.
    function test_WhatWasLeftToTheOwnerIsToldUntilTheNextResponse() public {
        respondWith(PAUSE);
        targets[PAUSE].setMode(HostileTarget.Mode.IgnoresPause);
        vm.prank(owner);
        act(abi.encodeCall(IGuardianOffice.lift, (idOf(PAUSE))));
        assertTrue(told[idOf(PAUSE)].state.ownerLifted, "left to the owner");
        targets[PAUSE].setMode(HostileTarget.Mode.Honest);
        targets[PAUSE].unpause();
        advance(COOLDOWN + 1);

        respondWith(PAUSE);

        assertGt(told[idOf(PAUSE)].state.until, 0, "restricted again");
        assertFalse(told[idOf(PAUSE)].state.ownerLifted, "not the owner's");
    }

    // ---- the walk

    function walk(uint256 seed) internal {
        entropy = seed;
        setTank();
        deposit();
        for (uint256 i = 0; i < STEPS; ++i) {
            advance(1 + pick(30 minutes));
            vm.txGasPrice(pick(3 gwei));
            uint256 kind = pick(20);
            if (kind < 6) deliver();
            else if (kind < 11) finish();
            else if (kind < 15) changeTerms();
            else if (kind < 17) useTank();
            else changeWorld();
        }
    }

    function deliver() internal {
        uint256 kind = pick(7);
        if (kind < 3) respondWith(pick(ACTIONS));
        else if (kind < 5) respondWithAll();
        else clearOne();
    }

    function finish() internal {
        uint256 kind = pick(7);
        uint256 i = pickActive();
        bytes32 actionId = idOf(i);
        // Its own target, or the one of a grace that may follow.
        if (i != TELL && pick(3) == 0) misbehave(pick(3) == 0 ? GRACE : i);
        if (kind < 2) {
            uint40 until = guardian.state(actionId).until;
            if (until > vm.getBlockTimestamp()) advance(until - vm.getBlockTimestamp() + pick(2 hours));
            vm.prank(pickSubmitter());
            act(abi.encodeCall(IGuardianOffice.expire, (actionId)));
            return;
        }
        vm.startPrank(guardian.owner());
        if (kind < 4) act(abi.encodeCall(IGuardianOffice.lift, (actionId)));
        else if (kind == 4) act(abi.encodeCall(IGuardianOffice.adopt, (actionId)));
        else act(abi.encodeCall(IGuardianOffice.disconnect, ()));
        if (kind > 4) act(abi.encodeCall(IGuardianOffice.setPolicy, (POLICY)));
        vm.stopPrank();
    }

    function changeTerms() internal {
        uint256 kind = pick(8);
        uint256 i = pick(ACTIONS);
        if (kind == 7) return handOver(address(uint160(pick(type(uint160).max))));
        vm.startPrank(guardian.owner());
        if (kind < 2) {
            act(abi.encodeCall(IGuardianOffice.setAction, (idOf(i), pickConfig(i))));
        } else if (kind == 2) {
            act(abi.encodeCall(IGuardianOffice.removeAction, (idOf(i))));
            if (pick(2) == 0) act(abi.encodeCall(IGuardianOffice.setAction, (idOf(i), pickConfig(i))));
        } else if (kind == 3) {
            uint32 minHold = pick(4) == 0 ? type(uint32).max : uint32(pick(MIN_HOLD));
            bool hasGrace = pick(4) != 0;
            LiftTerms memory terms = LiftTerms(
                minHold, hasGrace ? idOf(1 + pick(4)) : bytes32(0), hasGrace ? 1 + pick24(1 hours) : 0
            );
            act(abi.encodeCall(IGuardianOffice.setLiftTerms, (idOf(i), terms)));
        } else if (kind == 4) {
            bytes32 predecessor = pick(3) == 0 ? bytes32(0) : idOf(LIMIT);
            act(abi.encodeCall(IGuardianOffice.setPredecessor, (idOf(i), predecessor)));
        } else if (kind == 5) {
            act(abi.encodeCall(IGuardianOffice.setMaxCauseDepth, (uint8(pick(256)))));
        } else {
            act(abi.encodeCall(IGuardianOffice.setDependencies, (pickDependencies())));
        }
        vm.stopPrank();
    }

    function useTank() internal {
        uint256 kind = pick(3);
        if (kind == 0) return setTank();
        if (kind == 1) return deposit();
        uint256 amountWei = pick(address(guardian).balance + 1);
        vm.prank(guardian.owner());
        act(abi.encodeCall(IGuardianOffice.withdraw, (payable(makeAddr("treasury")), amountWei)));
    }

    /// @dev What others do: a target that misbehaves or is mended, a pause of governance's own, time.
    function changeWorld() internal {
        uint256 kind = pick(8);
        if (kind < 2) {
            misbehave(1 + pick(ACTIONS - 1));
        } else if (kind < 6) {
            for (uint256 i = 1; i < ACTIONS; ++i) {
                targets[i].setMode(HostileTarget.Mode.Honest);
                if (guardian.state(idOf(i)).until == 0) targets[i].unpause();
            }
        } else if (kind == 6) {
            HostileTarget target = targets[1 + pick(ACTIONS - 1)];
            if (target.mode() == HostileTarget.Mode.Honest) target.pause();
        } else {
            advance(pick(12 hours));
        }
    }

    // ---- steps

    function misbehave(uint256 i) internal {
        HostileTarget.Mode[3] memory modes =
            [HostileTarget.Mode.Reverts, HostileTarget.Mode.BurnsGas, HostileTarget.Mode.IgnoresPause];
        targets[i].setMode(modes[pick(3)]);
    }

    function respondWith(uint256 i) internal {
        (Alert memory alert, bytes32[] memory leaves_, bytes memory certificate) = signed(1);
        vm.prank(pickSubmitter());
        act(abi.encodeCall(IGuardianResponse.respond, (alert, leaves_, i, idOf(i), "", certificate)));
    }

    function respondWithAll() internal {
        (Alert memory alert, bytes32[] memory leaves_, bytes memory certificate) = signed(1);
        BatchItem[] memory items = new BatchItem[](ACTIONS);
        for (uint256 i = 0; i < ACTIONS; ++i) {
            items[i] = BatchItem(i, idOf(i), "");
        }
        vm.prank(pickSubmitter());
        act(abi.encodeCall(IGuardianResponse.respondMany, (alert, leaves_, items, certificate)));
    }

    function clearOne() internal {
        uint256 i = pickActive();
        if (pick(4) != 0) advance(MIN_HOLD);
        (Alert memory alert, bytes32[] memory leaves_, bytes memory certificate) = signed(2);
        vm.prank(pickSubmitter());
        act(abi.encodeCall(IGuardianResponse.clear, (alert, leaves_, i, idOf(i), "", certificate)));
    }

    function handOver(address to) internal {
        vm.prank(to);
        act(abi.encodeCall(guardian.requestOwnershipHandover, ()));
        vm.prank(guardian.owner());
        act(abi.encodeCall(guardian.completeOwnershipHandover, (to)));
    }

    function setTank() internal {
        uint72 most = pick(4) == 0 ? 0 : uint72(1e13 + pick(1e15));
        TankTerms memory terms =
            TankTerms(most, uint72(2 * most + pick(1e15)), 1 + pick24(1 days), uint48(pick(2 gwei)));
        vm.prank(guardian.owner());
        act(abi.encodeCall(IGuardianOffice.setTank, (terms)));
    }

    function deposit() internal {
        uint256 amountWei = 1 + pick(5e15);
        vm.deal(submitter, amountWei);
        vm.prank(submitter);
        send(amountWei, "");
    }

    // ---- choices

    function pick(uint256 choices) internal returns (uint256) {
        entropy = uint256(keccak256(abi.encode(entropy)));
        return entropy % choices;
    }

    function pick24(uint256 choices) internal returns (uint24) {
        return uint24(pick(choices));
    }

    /// @dev One without a function that takes ether, now and then.
    function pickSubmitter() internal returns (address) {
        return pick(4) == 0 ? address(targets[LIMIT]) : submitter;
    }

    function pickActive() internal returns (uint256) {
        uint256 first = pick(ACTIONS);
        for (uint256 i = 0; i < ACTIONS; ++i) {
            uint256 index = (first + i) % ACTIONS;
            if (guardian.state(idOf(index)).until != 0) return index;
        }
        return first;
    }

    /// @dev Odd numbers, so that the budget rounds; at times an action that only speaks.
    function pickConfig(uint256 i) internal returns (ActionConfig memory config) {
        config = configOf(i);
        config.cooldown = 1 + pick24(1 hours);
        if (i == TELL) return config;
        if (pick(6) == 0) {
            return
                ActionConfig(
                    IAdapter(address(0)), Level.Alert, config.thresholdBps, 0, 0, config.cooldown, 0, 0
                );
        }
        config.maxDuration = 1 hours + pick24(3 hours);
        config.budget = 2 * config.maxDuration + pick24(1 days);
        config.window = config.budget + pick24(2 days);
    }

    function pickDependencies() internal returns (Dependency[] memory dependencies) {
        dependencies = new Dependency[](pick(4));
        for (uint256 i = 0; i < dependencies.length; ++i) {
            dependencies[i] = Dependency(pick(1000), address(uint160(pick(type(uint160).max))));
        }
    }

    /// @dev By all seven, about everything.
    function signed(uint8 verdict)
        internal
        view
        returns (Alert memory alert, bytes32[] memory leaves_, bytes memory certificate)
    {
        alert = makeAlert(verdict, entropy);
        leaves_ = allLeaves();
        certificate = certify(digestOf(alert, leaves_), none());
    }

    // ---- the logs

    function act(bytes memory data) internal returns (bool) {
        return send(0, data);
    }

    /// @dev What was reverted has left no log, but the recorder keeps those too.
    function send(uint256 amountWei, bytes memory data) internal returns (bool ok) {
        vm.recordLogs();
        (ok,) = address(guardian).call{gas: GAS, value: amountWei}(data);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        if (ok) hear(logs);
        compare();
    }

    function hear(Vm.Log[] memory logs) internal {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(guardian)) continue;
            if (i + 1 < logs.length && isUndone(logs[i], logs[i + 1])) continue;
            ++heard[logs[i].topics[0]];
            read(logs[i]);
        }
    }

    /// @dev The same, within a call that went on: the guardian's own call to itself failed, and the next log says
    ///      so. Nodes do not report these; targets and adapters here emit nothing.
    function isUndone(Vm.Log memory log, Vm.Log memory next) internal pure returns (bool) {
        bytes32 topic = log.topics[0];
        if (next.topics[0] == IGuardianEvents.BatchItemFailed.selector) {
            return topic == IGuardianEvents.Responded.selector && log.topics[1] == next.topics[1]
                && log.topics[2] == next.topics[2];
        }
        if (next.topics[0] != IGuardianEvents.ReleaseFailed.selector) return false;
        bool isOfGrace =
            topic == IGuardianEvents.GraceBegun.selector || topic == IGuardianEvents.GraceFailed.selector;
        return isOfGrace && log.topics[2] == next.topics[1];
    }

    function topicsOfState() internal pure returns (bytes32[] memory topics) {
        bytes32[24] memory all = [
            IGuardianEvents.Responded.selector,
            IGuardianEvents.Alerted.selector,
            IGuardianEvents.BatchItemFailed.selector,
            IGuardianEvents.Cleared.selector,
            IGuardianEvents.Expired.selector,
            IGuardianEvents.Lifted.selector,
            IGuardianEvents.Adopted.selector,
            IGuardianEvents.GraceBegun.selector,
            IGuardianEvents.GraceFailed.selector,
            IGuardianEvents.Disconnected.selector,
            IGuardianEvents.ReleaseFailed.selector,
            IGuardianEvents.ActionSet.selector,
            IGuardianEvents.ActionRemoved.selector,
            IGuardianEvents.LiftTermsSet.selector,
            IGuardianEvents.PredecessorSet.selector,
            IGuardianEvents.PolicySet.selector,
            IGuardianEvents.MaxCauseDepthSet.selector,
            IGuardianEvents.DependenciesSet.selector,
            IGuardianEvents.TankSet.selector,
            IGuardianEvents.Deposited.selector,
            IGuardianEvents.Withdrawn.selector,
            IGuardianEvents.Refunded.selector,
            IGuardianEvents.RefundFailed.selector,
            Ownable.OwnershipTransferred.selector
        ];
        topics = new bytes32[](all.length);
        for (uint256 i = 0; i < all.length; ++i) {
            topics[i] = all[i];
        }
    }

    // ---- the views

    function compare() internal view {
        assertEq(guardian.owner(), picture.owner, "owner");
        assertEq(guardian.policyHash(), picture.policyHash, "policyHash");
        assertEq(guardian.maxCauseDepth(), picture.maxCauseDepth, "maxCauseDepth");
        assertEq(abi.encode(guardian.dependencies()), abi.encode(picture.dependencies), "dependencies");
        (TankTerms memory terms, uint40 fullAt) = guardian.tank();
        assertEq(abi.encode(terms), abi.encode(picture.tank), "tank");
        assertEq(fullAt, picture.tankFullAt, "tank.budgetFullAt");
        assertEq(address(guardian).balance, picture.balanceWei, "balance");
        compareActionIds();
        for (uint256 i = 0; i < ACTIONS; ++i) {
            bytes32 actionId = idOf(i);
            assertEq(abi.encode(guardian.action(actionId)), abi.encode(told[actionId].config), "action");
            assertEq(
                abi.encode(guardian.liftTerms(actionId)), abi.encode(told[actionId].liftTerms), "liftTerms"
            );
            assertEq(guardian.predecessorOf(actionId), told[actionId].predecessor, "predecessorOf");
            compareState(guardian.state(actionId), told[actionId].state);
        }
    }

    /// @dev As many as were told, all different, all told: the same set.
    function compareActionIds() internal view {
        bytes32[] memory ids = guardian.actionIds();
        assertEq(ids.length, picture.actions, "actionIds");
        for (uint256 i = 0; i < ids.length; ++i) {
            assertTrue(told[ids[i]].isSet, "actionIds: not told");
            for (uint256 j = 0; j < i; ++j) {
                assertNotEq(ids[i], ids[j], "actionIds: twice");
            }
        }
    }

    function compareState(ActionState memory state, ActionState memory expected) internal pure {
        assertEq(state.until, expected.until, "until");
        assertEq(state.startedAt, expected.startedAt, "startedAt");
        assertEq(state.observedAfter, expected.observedAfter, "observedAfter");
        assertEq(state.lastEndedAt, expected.lastEndedAt, "lastEndedAt");
        assertEq(state.budgetFullAt, expected.budgetFullAt, "budgetFullAt");
        assertEq(state.isGrace, expected.isGrace, "isGrace");
        assertEq(state.ownerLifted, expected.ownerLifted, "ownerLifted");
    }
}
