// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ActionState, BatchItem, IGuardian, Outcome, TankTerms} from "../../src/interfaces/IGuardian.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {GuardedLadder} from "../support/GuardedLadder.sol";

/// @notice Everybody who may touch a guardian, at random: any subset of the operators, anyone, the owner, the
///         protocol's governance, and targets that turn hostile and honest again. Keeps a book of its own, from
///         what it did itself and from the guardian's times, to hold the guardian against.
contract Everybody is GuardedLadder {
    struct Interval {
        uint256 from;
        uint256 to;
    }

    /// @dev A certificate that was good once, to be sent again.
    struct Delivery {
        Alert alert;
        bytes certificate;
        bytes32 digest;
    }

    Interval[][ACTIONS] private _restricted;
    Delivery[] private _deliveries;
    mapping(bytes32 digest => mapping(uint256 action => uint256)) private _effects;
    uint8[] private _pausedBy;
    bool[ACTIONS] public isGovernances;
    uint256 private _nonce;
    uint256 public deposited;

    uint256 public acted;
    uint256 public cleared;
    uint256 public graces;
    uint256 public batches;
    uint256 public told;

    bool public brokeI1;
    bool public brokeI2;
    bool public brokeI3;
    bool public brokeI4;
    bool public brokeI11;
    bool public brokeI12;

    constructor() {
        setUpLadder();
        vm.deal(address(this), 10 ether);
        vm.prank(owner);
        guardian.setTank(TankTerms(0.01 ether, 0.05 ether, 1 days, 2 gwei));
        (bool ok,) = address(guardian).call{value: 1 ether}("");
        assert(ok);
        deposited = 1 ether;
    }

    receive() external payable {}

    // ---- what may happen

    function pass(uint256 secs) external {
        advance(bound(secs, 1, 5 hours));
    }

    function deliver(uint256 i, uint8 absentMask, uint256 age) external {
        i = bound(i, 0, ACTIONS - 1);
        if (absentMask & 127 == 127) return;
        Delivery memory delivery =
            make(AlertLib.VERDICT_THREAT, absentMask, bound(age, 0, 30 minutes), allLeaves());
        uint256 present = 7 - absentOf(absentMask & 127).length;
        send(i, delivery, present);
        _deliveries.push(delivery);
        if (_effects[delivery.digest][PAUSE] != 0) compareQuorums(~absentMask & 127);
    }

    /// @dev Sends a good one twice in a row: the second finds everything done.
    function deliverTwice(uint256 i) external {
        i = bound(i, 0, ACTIONS - 1);
        Delivery memory delivery = make(AlertLib.VERDICT_THREAT, 0, 0, allLeaves());
        send(i, delivery, 7);
        if (_effects[delivery.digest][i] == 0) return;
        bytes32 before = standings();
        bool isSame = false;
        try guardian.respond{gas: GAS}(
            delivery.alert, allLeaves(), i, idOf(i), "", delivery.certificate
        ) returns (
            Outcome outcome
        ) {
            isSame =
                outcome == Outcome.AlreadyActive && standings() == before;
        } catch {}
        if (!isSame) brokeI12 = true;
    }

    /// @dev Any certificate that was ever sent, for any action.
    function replay(uint256 which, uint256 i) external {
        if (_deliveries.length == 0) return;
        send(bound(i, 0, ACTIONS - 1), _deliveries[bound(which, 0, _deliveries.length - 1)], 0);
    }

    /// @dev Everybody signed, but for another chain, guardian, action or other parameters.
    function deliverForeign(uint256 i, uint256 kind) external {
        i = bound(i, 0, ACTIONS - 1);
        kind = bound(kind, 0, 3);
        bytes32[] memory leaves_ = new bytes32[](1);
        leaves_[0] = leafFor(
            kind == 0 ? block.chainid + 1 : block.chainid,
            kind == 1 ? address(this) : address(guardian),
            kind == 2 ? idOf((i + 1) % ACTIONS) : idOf(i),
            kind == 3 ? bytes("x") : bytes("")
        );
        Delivery memory delivery = make(AlertLib.VERDICT_THREAT, 0, 0, leaves_);
        bytes32 before = standings();
        try guardian.respond{gas: GAS}(delivery.alert, leaves_, 0, idOf(i), "", delivery.certificate) {
            brokeI3 = true;
        } catch {}
        // The right leaf beside a signature over another one.
        leaves_[0] = leafFor(block.chainid, address(guardian), idOf(i), "");
        try guardian.respond{gas: GAS}(
            delivery.alert, leaves_, 0, idOf(i), "", delivery.certificate
        ) returns (
            Outcome outcome
        ) {
            if (outcome != Outcome.AlreadyActive) brokeI3 = true;
        } catch {}
        if (standings() != before) brokeI3 = true;
    }

    /// @dev One transaction for all actions; what acts alone must act in company of whatever fails.
    function deliverBatch(uint8 absentMask) external {
        if (absentMask & 127 == 127) return;
        bytes32[] memory leaves_ = allLeaves();
        Delivery memory delivery = make(AlertLib.VERDICT_THREAT, absentMask, 0, leaves_);
        BatchItem[] memory items = new BatchItem[](ACTIONS);
        bool[] memory actsAlone = new bool[](ACTIONS);
        for (uint256 i = 0; i < ACTIONS; ++i) {
            items[i] = BatchItem(i, idOf(i), "");
            uint256 snapshot = vm.snapshotState();
            try guardian.respond{gas: GAS}(
                delivery.alert, leaves_, i, idOf(i), "", delivery.certificate
            ) returns (
                Outcome outcome
            ) {
                actsAlone[i] =
                    outcome == Outcome.Acted;
            } catch {}
            vm.revertToState(snapshot);
        }
        try guardian.respondMany{gas: GAS}(delivery.alert, leaves_, items, delivery.certificate) returns (
            Outcome[] memory outcomes
        ) {
            for (uint256 i = 0; i < ACTIONS; ++i) {
                if (actsAlone[i] != (outcomes[i] == Outcome.Acted)) brokeI11 = true;
                if (outcomes[i] == Outcome.Acted) note(i, delivery.digest);
            }
            ++batches;
        } catch {
            for (uint256 i = 0; i < ACTIONS; ++i) {
                if (actsAlone[i]) brokeI11 = true;
            }
        }
        keepBook(7 - absentOf(absentMask & 127).length);
    }

    function clear(uint256 i, uint8 absentMask) external {
        i = bound(i, 1, ACTIONS - 1);
        if (absentMask & 127 == 127) return;
        Delivery memory delivery = make(AlertLib.VERDICT_CLEAR, absentMask, 0, allLeaves());
        uint256 untilBefore = guardian.state(idOf(i)).until;
        try guardian.clear{gas: GAS}(
            delivery.alert, allLeaves(), i, idOf(i), "", delivery.certificate
        ) returns (
            Outcome outcome
        ) {
            if (outcome == Outcome.Acted) {
                ++cleared;
                if (7 - absentOf(absentMask & 127).length < signersFor(i)) brokeI1 = true;
                if (vm.getBlockTimestamp() >= untilBefore) brokeI1 = true;
            }
        } catch {}
        keepBook(0);
    }

    function expire(uint256 i) external {
        try guardian.expire{gas: GAS}(idOf(bound(i, 1, ACTIONS - 1))) {} catch {}
        keepBook(0);
    }

    function lift(uint256 i) external {
        vm.prank(owner);
        try guardian.lift{gas: GAS}(idOf(bound(i, 1, ACTIONS - 1))) {} catch {}
        keepBook(0);
    }

    function adopt(uint256 i) external {
        i = bound(i, 1, ACTIONS - 1);
        vm.prank(owner);
        try guardian.adopt{gas: GAS}(idOf(i)) {
            isGovernances[i] = targets[i].paused();
        } catch {}
        keepBook(0);
    }

    function disconnect(uint256 chance) external {
        if (chance % 8 != 0) return;
        vm.startPrank(owner);
        guardian.disconnect{gas: GAS}();
        guardian.setPolicy(POLICY);
        vm.stopPrank();
        keepBook(0);
    }

    function governancePauses(uint256 i) external {
        i = bound(i, 1, ACTIONS - 1);
        if (guardian.state(idOf(i)).until != 0 || targets[i].paused() || isHostile(i)) return;
        targets[i].pause();
        isGovernances[i] = true;
    }

    function governanceUnpauses(uint256 i) external {
        i = bound(i, 1, ACTIONS - 1);
        if (isHostile(i)) return;
        targets[i].unpause();
        isGovernances[i] = false;
    }

    function turn(uint256 i, uint8 mode) external {
        i = bound(i, 1, ACTIONS - 1);
        targets[i].setMode(HostileTarget.Mode(bound(mode, 0, uint8(HostileTarget.Mode.IgnoresPause))));
    }

    function turnHonest(uint256 i) external {
        targets[bound(i, 1, ACTIONS - 1)].setMode(HostileTarget.Mode.Honest);
    }

    // ---- what the invariants ask

    /// @dev Paid by the tank: nobody else sends any.
    function received() external view returns (uint256) {
        return address(this).balance - (10 ether - deposited);
    }

    function guardian_() external view returns (IGuardian) {
        return guardian;
    }

    function owner_() external view returns (address) {
        return owner;
    }

    function isHostile(uint256 i) public view returns (bool) {
        return targets[i].mode() != HostileTarget.Mode.Honest;
    }

    function isPaused(uint256 i) external view returns (bool) {
        return targets[i].paused();
    }

    function intervalsOf(uint256 i) external view returns (Interval[] memory) {
        return _restricted[i];
    }

    /// @dev Seconds of restriction by the network in [from, to).
    function restrictedWithin(uint256 i, uint256 from, uint256 to) external view returns (uint256 sum) {
        Interval[] storage list = _restricted[i];
        for (uint256 k = 0; k < list.length; ++k) {
            uint256 begin = list[k].from > from ? list[k].from : from;
            uint256 stop = list[k].to < to ? list[k].to : to;
            if (begin < stop) sum += stop - begin;
        }
    }

    // ---- internals

    function make(uint8 verdict, uint8 absentMask, uint256 age, bytes32[] memory leaves_)
        private
        returns (Delivery memory delivery)
    {
        vm.txGasPrice(3 gwei);
        delivery.alert = makeAlert(verdict, ++_nonce);
        delivery.alert.observedAt -= uint64(age);
        delivery.digest = digestOf(delivery.alert, leaves_);
        delivery.certificate = certify(delivery.digest, absentOf(absentMask & 127));
    }

    function send(uint256 i, Delivery memory delivery, uint256 present) private {
        try guardian.respond{gas: GAS}(
            delivery.alert, allLeaves(), i, idOf(i), "", delivery.certificate
        ) returns (
            Outcome outcome
        ) {
            if (outcome == Outcome.Acted) {
                note(i, delivery.digest);
            }
        } catch {}
        // What was sent before had its own number of signers, and must not act a second time anyway.
        keepBook(present == 0 ? 7 : present);
    }

    /// @dev Holds who has just paused against all who ever did, as bits.
    function compareQuorums(uint8 present) private {
        _pausedBy.push(present);
        for (uint256 k = 0; k < _pausedBy.length; ++k) {
            uint256 inBoth = 7 - absentOf(~(present & _pausedBy[k]) & 127).length;
            if (inBoth * 3 <= 7) brokeI2 = true;
        }
    }

    function note(uint256 i, bytes32 digest) private {
        if (i == TELL) ++told;
        else ++acted;
        if (++_effects[digest][i] > 1) brokeI4 = true;
    }

    /// @dev Compares the guardian's times with the book. A restriction that is new was begun by what just happened:
    ///      by `present` signers, or as the grace of another that has just ended.
    function keepBook(uint256 present) private {
        for (uint256 i = 1; i < ACTIONS; ++i) {
            ActionState memory state = guardian.state(idOf(i));
            Interval[] storage list = _restricted[i];
            bool isKnown = list.length != 0 && list[list.length - 1].from == state.startedAt;
            if (!isKnown && state.until != 0) {
                if (list.length != 0) end(list[list.length - 1], state);
                list.push(Interval(state.startedAt, state.until));
                if (state.isGrace) ++graces;
                else if (present < signersFor(i)) brokeI1 = true;
            } else if (isKnown && state.until == 0) {
                end(list[list.length - 1], state);
            }
        }
    }

    /// @dev Ended early, or when its time was over; never after the next one had begun.
    function end(Interval storage last, ActionState memory state) private {
        if (state.lastEndedAt >= last.from && state.lastEndedAt < last.to) last.to = state.lastEndedAt;
        if (state.startedAt != last.from && last.to > state.startedAt) brokeI4 = true;
    }

    function standings() private view returns (bytes32 all) {
        for (uint256 i = 0; i < ACTIONS; ++i) {
            bool isPaused_ = i != TELL && targets[i].paused();
            all = keccak256(abi.encode(all, guardian.state(idOf(i)), isPaused_));
        }
    }
}

contract GuardianInvariantsTest is GuardedLadder {
    Everybody private everybody;
    IGuardian private watched;

    function setUp() public {
        everybody = new Everybody();
        watched = everybody.guardian_();
        bytes4[] memory selectors = new bytes4[](14);
        selectors[0] = Everybody.pass.selector;
        selectors[1] = Everybody.deliver.selector;
        selectors[2] = Everybody.deliverTwice.selector;
        selectors[3] = Everybody.replay.selector;
        selectors[4] = Everybody.deliverForeign.selector;
        selectors[5] = Everybody.deliverBatch.selector;
        selectors[6] = Everybody.clear.selector;
        selectors[7] = Everybody.expire.selector;
        selectors[8] = Everybody.lift.selector;
        selectors[9] = Everybody.adopt.selector;
        selectors[10] = Everybody.disconnect.selector;
        selectors[11] = Everybody.governancePauses.selector;
        selectors[12] = Everybody.governanceUnpauses.selector;
        selectors[13] = Everybody.turn.selector;
        targetContract(address(everybody));
        // Else the fuzzer plays contracts of ours as well, and gives them money to do so.
        targetSender(makeAddr("anyone"));
        targetSelector(FuzzSelector({addr: address(everybody), selectors: selectors}));
        bytes4[] memory once = new bytes4[](2);
        once[0] = Everybody.turnHonest.selector;
        once[1] = Everybody.pass.selector;
        targetSelector(FuzzSelector({addr: address(everybody), selectors: once}));
    }

    /// @dev Else the invariants below could hold because nothing ever happened.
    function test_EverybodyReachesEveryKindOfEvent() public {
        everybody.deliverBatch(0);
        assertEq(everybody.acted(), 4);
        assertEq(everybody.told(), 1);
        everybody.pass(1 hours);
        everybody.lift(GRACE);
        everybody.pass(1 hours);
        everybody.clear(PAUSE, 0);
        assertEq(everybody.cleared(), 1);
        assertEq(everybody.graces(), 1);
        assertTrue(everybody.isPaused(GRACE));
        assertGt(everybody.received(), 0, "the tank pays");
        everybody.turn(LIMIT, uint8(HostileTarget.Mode.Reverts));
        everybody.pass(5 hours);
        everybody.deliverBatch(0);
        assertEq(everybody.batches(), 2);
        assertTrue(everybody.isPaused(PAUSE), "beside a target that fails");
    }

    // ---- the invariants

    /// @dev restricted, or lifted early → more than the level's share of the stake had signed.
    function invariant_I1_NothingHappensWithoutItsShareOfTheStake() public view {
        assertFalse(everybody.brokeI1());
    }

    /// @dev Any two that paused have more than a third in common, so at least one honest member.
    function invariant_I2_AnyTwoWhoPausedShareMoreThanAThird() public view {
        assertFalse(everybody.brokeI2());
    }

    /// @dev A certificate for another chain, guardian, action or other parameters does nothing here.
    function invariant_I3_CertificateServesItsOwnLeafOnly() public view {
        assertFalse(everybody.brokeI3());
    }

    /// @dev One alert takes effect at most once per action; restrictions of one action never overlap.
    function invariant_I4_AlertTakesEffectOncePerAction() public view {
        assertFalse(everybody.brokeI4());
    }

    /// @dev Σ restricted seconds in [t, t + window] <= budget, for every t; each at most maxDuration long.
    function invariant_I5_RestrictedTimeStaysWithinTheBudgetInEveryWindow() public view {
        for (uint256 i = 1; i < ACTIONS; ++i) {
            Everybody.Interval[] memory list = everybody.intervalsOf(i);
            for (uint256 k = 0; k < list.length; ++k) {
                assertLe(list[k].to - list[k].from, DURATION);
                // The sum is largest where the window begins or ends with a restriction.
                assertLe(everybody.restrictedWithin(i, list[k].from, list[k].from + WINDOW), BUDGET);
                assertLe(everybody.restrictedWithin(i, list[k].to - WINDOW, list[k].to), BUDGET);
            }
        }
    }

    /// @dev restricted by the network → anyone ends it at most maxDuration after it began.
    function invariant_I5_RestrictionAlwaysExpires() public {
        for (uint256 i = 1; i < ACTIONS; ++i) {
            uint256 until = watched.state(idOf(i)).until;
            if (until == 0 || everybody.isHostile(i)) continue;
            assertLe(until, vm.getBlockTimestamp() + DURATION);
            if (until > vm.getBlockTimestamp()) vm.warp(until);
            vm.prank(makeAddr("anyone"));
            watched.expire{gas: GAS}(idOf(i));
            assertFalse(everybody.isPaused(i));
        }
    }

    /// @dev paused by governance, or adopted by it → paused until governance unpauses.
    function invariant_I6_PauseOfGovernanceIsNeverLiftedByTheNetwork() public view {
        for (uint256 i = 1; i < ACTIONS; ++i) {
            if (everybody.isGovernances(i)) assertTrue(everybody.isPaused(i));
        }
    }

    /// @dev What left the tank was paid to submitters; nobody asked for a withdrawal.
    function invariant_I6_NoMoneyGoesElsewhere() public view {
        assertEq(address(watched).balance + everybody.received(), everybody.deposited());
        assertEq(everybody.owner_().balance, 0);
    }

    /// @dev restricted by the network → the owner lifts it now, whatever the time.
    function invariant_I7_OwnerCanAlwaysLift() public {
        for (uint256 i = 1; i < ACTIONS; ++i) {
            if (watched.state(idOf(i)).until == 0 || everybody.isHostile(i)) continue;
            vm.prank(everybody.owner_());
            watched.lift{gas: GAS}(idOf(i));
            assertFalse(everybody.isPaused(i));
            assertEq(watched.state(idOf(i)).until, 0);
        }
    }

    /// @dev What acts alone acts in a batch beside any hostile target, and what fails alone fails there.
    function invariant_I11_HostileTargetNeverBlocksTheOthers() public view {
        assertFalse(everybody.brokeI11());
    }

    /// @dev The same certificate once more: no effect, no revert.
    function invariant_I12_SecondDeliveryIsANoOp() public view {
        assertFalse(everybody.brokeI12());
    }
}
