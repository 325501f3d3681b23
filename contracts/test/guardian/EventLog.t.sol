// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";
import {
    ActionConfig,
    ActionState,
    BatchItem,
    Dependency,
    IGuardianEvents,
    Level,
    LiftTerms,
    TankTerms
} from "../../src/interfaces/IGuardianEvents.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Guarded} from "../support/Guarded.sol";

/// @title Historian: a guardian's state, from its log alone. For tests.
/// @notice Reads no storage and no clock. The rules are written out here again, not taken from the contracts.
contract Historian {
    bytes32 public policyHash;
    uint8 public maxCauseDepth;
    uint40 public tankFullAt;
    TankTerms private _tank;
    Dependency[] private _dependencies;
    mapping(bytes32 => ActionConfig) private _configs;
    mapping(bytes32 => ActionState) private _states;
    mapping(bytes32 => LiftTerms) private _liftTerms;
    mapping(bytes32 => bytes32) public predecessorOf;
    mapping(bytes32 => bool) public isSet;
    uint256 public actions;

    function read(Vm.Log[] calldata logs, address guardian) external {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != guardian) continue;
            bytes32 what = logs[i].topics[0];
            if (!_readTerms(what, logs[i])) _readStates(what, logs[i]);
        }
    }

    function config(bytes32 id) external view returns (ActionConfig memory) {
        return _configs[id];
    }

    function state(bytes32 id) external view returns (ActionState memory) {
        return _states[id];
    }

    function liftTerms(bytes32 id) external view returns (LiftTerms memory) {
        return _liftTerms[id];
    }

    function dependencies() external view returns (Dependency[] memory) {
        return _dependencies;
    }

    function tank() external view returns (TankTerms memory) {
        return _tank;
    }

    function _readTerms(bytes32 what, Vm.Log calldata log) private returns (bool) {
        if (what == IGuardianEvents.PolicySet.selector) {
            policyHash = log.topics[1];
        } else if (what == IGuardianEvents.MaxCauseDepthSet.selector) {
            maxCauseDepth = abi.decode(log.data, (uint8));
        } else if (what == IGuardianEvents.DependenciesSet.selector) {
            _setDependencies(abi.decode(log.data, (Dependency[])));
        } else if (what == IGuardianEvents.TankSet.selector) {
            (_tank, tankFullAt) = abi.decode(log.data, (TankTerms, uint40));
        } else if (what == IGuardianEvents.LiftTermsSet.selector) {
            _liftTerms[log.topics[1]] = abi.decode(log.data, (LiftTerms));
        } else if (what == IGuardianEvents.PredecessorSet.selector) {
            predecessorOf[log.topics[1]] = abi.decode(log.data, (bytes32));
        } else if (what == IGuardianEvents.ActionSet.selector) {
            _setAction(log.topics[1], log.data);
        } else if (what == IGuardianEvents.ActionRemoved.selector) {
            _removeAction(log.topics[1]);
        } else {
            return false;
        }
        return true;
    }

    function _readStates(bytes32 what, Vm.Log calldata log) private {
        if (what == IGuardianEvents.Responded.selector) {
            (uint40 until,,) = abi.decode(log.data, (uint40, uint32, uint128));
            _begin(log.topics[2], until - _configs[log.topics[2]].maxDuration, until, false);
        } else if (what == IGuardianEvents.Alerted.selector) {
            (_states[log.topics[2]].observedAfter,,) = abi.decode(log.data, (uint40, uint32, uint128));
        } else if (what == IGuardianEvents.GraceBegun.selector) {
            (uint40 startedAt, uint40 until) = abi.decode(log.data, (uint40, uint40));
            _begin(log.topics[1], startedAt, until, true);
        } else if (what == IGuardianEvents.Cleared.selector) {
            _end(log.topics[2], log.data);
        } else if (what == IGuardianEvents.Lifted.selector || what == IGuardianEvents.Expired.selector) {
            _end(log.topics[1], log.data);
        } else if (what == IGuardianEvents.Adopted.selector) {
            _end(log.topics[1], bytes.concat(log.data, abi.encode(true)));
        } else if (what == IGuardianEvents.Refunded.selector || what == IGuardianEvents.RefundFailed.selector)
        {
            (, tankFullAt) = abi.decode(log.data, (uint256, uint40));
        }
    }

    function _setDependencies(Dependency[] memory list) private {
        delete _dependencies;
        for (uint256 i = 0; i < list.length; ++i) {
            _dependencies.push(list[i]);
        }
    }

    function _setAction(bytes32 id, bytes calldata data) private {
        if (!isSet[id]) {
            _liftTerms[id].minHold = type(uint32).max;
            ++actions;
        }
        isSet[id] = true;
        (_configs[id], _states[id].observedAfter, _states[id].budgetFullAt) =
            abi.decode(data, (ActionConfig, uint40, uint40));
    }

    function _removeAction(bytes32 id) private {
        isSet[id] = false;
        delete _configs[id];
        delete _liftTerms[id];
        delete predecessorOf[id];
        --actions;
    }

    /// @dev The bucket: an amount costs twice its share of the window, rounded up.
    function _begin(bytes32 id, uint40 startedAt, uint40 until, bool isGrace) private {
        ActionState storage s = _states[id];
        ActionConfig storage c = _configs[id];
        if (s.until != 0) s.lastEndedAt = s.until;
        uint256 cost = 2 * uint256(until - startedAt) * c.window;
        cost = cost % c.budget == 0 ? cost / c.budget : cost / c.budget + 1;
        s.budgetFullAt = uint40((s.budgetFullAt > startedAt ? s.budgetFullAt : startedAt) + cost);
        (s.startedAt, s.until, s.isGrace, s.ownerLifted) = (startedAt, until, isGrace, false);
    }

    function _end(bytes32 id, bytes memory data) private {
        ActionState storage s = _states[id];
        ActionConfig storage c = _configs[id];
        (uint40 endedAt, bool released) = abi.decode(data, (uint40, bool));
        if (s.until > endedAt) {
            uint256 back = 2 * uint256(s.until - endedAt) * c.window / c.budget;
            s.budgetFullAt = s.budgetFullAt > endedAt + back ? uint40(s.budgetFullAt - back) : endedAt;
        }
        (s.until, s.lastEndedAt, s.observedAfter) = (0, endedAt, endedAt + c.cooldown);
        (s.isGrace, s.ownerLifted) = (false, !released);
    }
}

/// @notice The whole state can be rebuilt from the log.
contract EventLogTest is Guarded {
    bytes32[4] private ids = [PAUSE, keccak256("limit"), keccak256("freeze"), keccak256("tell")];

    Historian private historian;
    HostileTarget[4] private targets;
    uint256 private seed;
    uint256 private taken;

    function setUp() public {
        vm.recordLogs();
        setUpGuardian();
        targets[0] = target;
        targets[1] = addAction(ids[1], Level.Limit, 3334);
        targets[2] = addAction(ids[2], Level.Freeze, 5000);
        configure(ids[3], tellConfig());
        historian = new Historian();
        vm.fee(1 gwei);
        vm.txGasPrice(2 gwei);
        vm.deal(address(guardian), 1 ether);
    }

    receive() external payable {}

    function tellConfig() private pure returns (ActionConfig memory config) {
        (config.level, config.thresholdBps, config.cooldown) = (Level.Alert, 3334, 60);
    }

    function random(uint256 below) private returns (uint256) {
        seed = uint256(keccak256(abi.encode(seed)));
        return seed % below;
    }

    /// @dev Whether a step was possible does not matter: what failed is not in the log either.
    function attempt(address from, bytes memory data) private {
        vm.prank(from);
        (bool ok,) = address(guardian).call(data);
        if (ok) ++taken;
    }

    /// forge-config: default.fuzz.runs = 10
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_StateIsRebuiltFromTheLogAlone(uint256 seed_) public {
        seed = seed_;
        for (uint256 i = 0; i < 60; ++i) {
            step(random(16), ids[random(4)]);
            advance(1 + random(2 hours));
        }
        assertGt(taken, 15, "a walk that goes nowhere proves nothing");

        historian.read(vm.getRecordedLogs(), address(guardian));

        expectSame();
    }

    function expectSame() private view {
        assertEq(historian.policyHash(), guardian.policyHash());
        assertEq(historian.maxCauseDepth(), guardian.maxCauseDepth());
        assertEq(abi.encode(historian.dependencies()), abi.encode(guardian.dependencies()));
        (TankTerms memory terms, uint40 fullAt) = guardian.tank();
        assertEq(abi.encode(historian.tank()), abi.encode(terms));
        assertEq(historian.tankFullAt(), fullAt);
        bytes32[] memory named = guardian.actionIds();
        assertEq(historian.actions(), named.length);
        for (uint256 i = 0; i < named.length; ++i) {
            assertTrue(historian.isSet(named[i]));
        }
        for (uint256 i = 0; i < 4; ++i) {
            assertEq(abi.encode(historian.config(ids[i])), abi.encode(guardian.action(ids[i])), "terms");
            assertEq(abi.encode(historian.state(ids[i])), abi.encode(guardian.state(ids[i])), "state");
            assertEq(abi.encode(historian.liftTerms(ids[i])), abi.encode(guardian.liftTerms(ids[i])));
            assertEq(historian.predecessorOf(ids[i]), guardian.predecessorOf(ids[i]));
        }
    }

    function step(uint256 what, bytes32 id) private {
        if (what < 4) respondStep(id);
        else if (what == 4) batchStep();
        else if (what == 5) clearStep(id);
        else if (what == 6) attempt(address(this), abi.encodeCall(guardian.expire, (id)));
        else if (what == 7) attempt(owner, abi.encodeCall(guardian.lift, (id)));
        else if (what == 8) attempt(owner, abi.encodeCall(guardian.adopt, (id)));
        else if (what < 11) governanceStep(id);
        else ownerStep(what, id);
    }

    function respondStep(bytes32 id) private {
        Alert memory alert = makeAlert();
        if (random(4) == 0) (alert.causeDigest, alert.causeDepth) = ("cause", 1);
        bytes32[] memory leaves_ = leavesOf(id, "");
        bytes memory certificate = certify(digestOf(alert, leaves_), random(2) == 0 ? none() : list(0, 1, 2));
        attempt(
            random(2) == 0 ? address(this) : makeAddr("stranger"),
            abi.encodeCall(guardian.respond, (alert, leaves_, 0, id, "", certificate))
        );
    }

    function batchStep() private {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = new bytes32[](4);
        BatchItem[] memory items = new BatchItem[](4);
        for (uint256 i = 0; i < 4; ++i) {
            leaves_[i] = leavesOf(ids[i], "")[0];
            items[i] = BatchItem({leafIndex: i, actionId: ids[i], params: ""});
        }
        bytes memory certificate = certifyAlert(alert, leaves_);
        attempt(address(this), abi.encodeCall(guardian.respondMany, (alert, leaves_, items, certificate)));
    }

    function clearStep(bytes32 id) private {
        Alert memory alert = makeClear();
        bytes32[] memory leaves_ = leavesOf(id, "");
        bytes memory certificate = certifyAlert(alert, leaves_);
        attempt(address(this), abi.encodeCall(guardian.clear, (alert, leaves_, 0, id, "", certificate)));
    }

    /// @dev Governance acts at the target, or the target misbehaves for a while.
    function governanceStep(bytes32 id) private {
        HostileTarget t = targets[0];
        for (uint256 i = 0; i < 3; ++i) {
            if (ids[i] == id) t = targets[i];
        }
        uint256 what = random(4);
        t.setMode(HostileTarget.Mode.Honest);
        if (what == 0) t.pause();
        else if (what == 1) t.unpause();
        else if (what == 2) t.setMode(HostileTarget.Mode.IgnoresPause);
    }

    function ownerStep(uint256 what, bytes32 id) private {
        uint256 dice = random(4);
        if (what == 11) {
            bytes32 grace = ids[random(3)];
            uint24 length = uint24(1 + random(DURATION));
            attempt(
                owner,
                abi.encodeCall(
                    guardian.setLiftTerms,
                    (
                        id,
                        LiftTerms({
                            minHold: uint32(random(1 hours)), graceAction: grace, graceSeconds: length
                        })
                    )
                )
            );
        } else if (what == 12) {
            attempt(owner, abi.encodeCall(guardian.setPredecessor, (id, ids[1])));
            Dependency[] memory list_ = new Dependency[](random(3));
            for (uint256 i = 0; i < list_.length; ++i) {
                list_[i] = Dependency({chainId: random(100), guardian: address(uint160(random(1000)))});
            }
            attempt(owner, abi.encodeCall(guardian.setDependencies, (list_)));
            attempt(owner, abi.encodeCall(guardian.setMaxCauseDepth, (uint8(random(3)))));
        } else if (what == 13) {
            uint72 most = uint72(random(0.001 ether));
            TankTerms memory terms =
                TankTerms({maxPerResponse: most, maxPerWindow: 3 * most, window: 1 days, tipCap: 1 gwei});
            attempt(owner, abi.encodeCall(guardian.setTank, (terms)));
        } else if (what == 14) {
            reconfigureStep(id, dice);
        } else if (dice == 0) {
            attempt(owner, abi.encodeCall(guardian.disconnect, ()));
            attempt(owner, abi.encodeCall(guardian.setPolicy, (POLICY)));
        }
    }

    function reconfigureStep(bytes32 id, uint256 dice) private {
        ActionConfig memory config = guardian.action(id);
        if (dice == 0) attempt(owner, abi.encodeCall(guardian.removeAction, (id)));
        if (config.level != Level.Alert) {
            config.maxDuration = uint24(1 + random(4 hours));
            config.cooldown = uint24(1 + random(1 hours));
            config.budget = 2 * config.maxDuration + uint24(random(8 hours));
            config.window = config.budget + uint24(random(1 days));
        }
        attempt(owner, abi.encodeCall(guardian.setAction, (id, config)));
    }
}
