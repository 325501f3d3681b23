// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";
import {OperatorSetChain} from "../../src/verifier/OperatorSetChain.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Signer} from "../support/Signer.sol";
import {Succession} from "../support/Succession.sol";

/// @title Relayers: honest sets, thieves, an owner and time, in any order
/// @notice Says before each call what must come of it, by the design's rules; and keeps what the events tell.
contract Relayers is Succession {
    enum Twist {
        None,
        OtherPrevious,
        EpochSkipped,
        CapturedTooEarly,
        CapturedInTheFuture,
        OldUnderAlertTag,
        NewUnderAlertTag,
        OtherNetwork,
        SignedByThePrevious,
        KeyAtInfinity,
        KeyCancelsTheOld
    }

    // As the design's rules have it.
    OperatorSet private current;
    OperatorSet private previous;
    uint64 private graceUntil;
    uint256 private resetReadyAt;
    OperatorSet private named;
    bytes[] private outgoings;
    bytes[] private incomings;

    // As the events tell it.
    uint32 public toldEpoch;
    bytes32 public toldCurrent;
    bytes32 public toldPrevious;
    bytes32 private toldHeld;
    bytes public toldHeader;
    bytes private toldNamed;

    // What must never be true, and what must happen at all.
    bool public brokeSuccession;
    bool public brokeActing;
    bool public brokeRepetition;
    bool public brokeReset;
    uint256 public handedOver;
    uint256 public resets;
    uint256 public acted;

    constructor() {
        vm.warp(START);
        vm.recordLogs();
        current = makeSet(EPOCH, 1_000, weightsOfThree(), uint64(START), keccak256("the header before"));
        verifier = new QuorumVerifier(NETWORK_ID, current.header, successionTerms());
        readEvents();
        vm.warp(START + INTERVAL);
    }

    function verifier_() external view returns (QuorumVerifier) {
        return verifier;
    }

    /// @dev Seven in all: 3 and one of 2 are two thirds and more, 2 and 2 are not.
    function weightsOfThree() private pure returns (uint96[] memory weights_) {
        weights_ = new uint96[](3);
        (weights_[0], weights_[1], weights_[2]) = (3, 2, 2);
    }

    function isQuorum(uint8 absentMask) private pure returns (bool) {
        uint256 signed = 7;
        if (absentMask & 1 != 0) signed -= 3;
        if (absentMask & 2 != 0) signed -= 2;
        if (absentMask & 4 != 0) signed -= 2;
        return signed * 3 > 14;
    }

    function absentOf(uint8 mask) private pure returns (uint256[] memory absent) {
        absent = new uint256[]((mask & 1) + (mask >> 1 & 1) + (mask >> 2 & 1));
        for ((uint256 i, uint256 to) = (0, 0); i < 3; ++i) {
            if (mask >> i & 1 == 1) absent[to++] = i;
        }
    }

    function captureTimeOf(OperatorSet memory set) private pure returns (uint64) {
        return uint64(bytes8(slice(set.header, 30, 38)));
    }

    function isInForce(OperatorSet memory set) private view returns (bool) {
        return vm.getBlockTimestamp() <= captureTimeOf(set) + LIFETIME;
    }

    // ---- actions

    function pass(uint256 secs) external {
        vm.warp(vm.getBlockTimestamp() + bound(secs, 1, 6 hours));
    }

    function passLong(uint256 secs) external {
        vm.warp(vm.getBlockTimestamp() + bound(secs, 1 days, 8 days));
    }

    /// @dev Mostly honest, and then mostly with enough signers.
    function handOver(uint8 oldAbsent, uint8 newAbsent, uint8 twist_, uint256 captureTime) external {
        Twist twist = twist_ % 4 != 3 ? Twist.None : Twist(twist_ / 4 % 11);
        if (twist == Twist.SignedByThePrevious && previous.header.length == 0) return;
        (oldAbsent, newAbsent) = (maskFrom(oldAbsent), maskFrom(newAbsent));
        OperatorSet memory next = makeNext(twist, captureTime);
        (bytes memory outgoing, bytes memory incoming) = sign(next, twist, oldAbsent, newAbsent);
        bool allowed = twist == Twist.None && isQuorum(oldAbsent) && isQuorum(newAbsent) && isInForce(current)
            && resetReadyAt == 0 && captureTimeOf(next) >= captureTimeOf(current) + INTERVAL
            && captureTimeOf(next) <= vm.getBlockTimestamp();

        if (deliver(outgoing, incoming) != allowed) brokeSuccession = true;
        if (!allowed) return;
        previous = current;
        current = next;
        graceUntil = uint64(vm.getBlockTimestamp()) + 30 minutes;
        outgoings.push(outgoing);
        incomings.push(incoming);
        ++handedOver;
    }

    function maskFrom(uint8 seed) private pure returns (uint8) {
        uint8[8] memory masks = [0, 0, 0, 2, 4, 1, 3, 6];
        return masks[seed % 8];
    }

    function makeNext(Twist twist, uint256 captureTime) private view returns (OperatorSet memory next) {
        uint64 earliest = captureTimeOf(current) + INTERVAL;
        uint64 latest = uint64(vm.getBlockTimestamp()) > earliest ? uint64(vm.getBlockTimestamp()) : earliest;
        uint64 at = uint64(bound(captureTime, earliest, latest));
        if (twist == Twist.CapturedTooEarly) at = earliest - 1;
        if (twist == Twist.CapturedInTheFuture) at = uint64(vm.getBlockTimestamp()) + 1;
        bytes32 last = keccak256(current.header);
        if (twist == Twist.OtherPrevious) last = keccak256(abi.encode(last));
        uint32 epoch = epochOf(current) + (twist == Twist.EpochSkipped ? 2 : 1);
        next = makeSet(epoch, 1_000 * uint256(epoch) + handedOver, weightsOfThree(), at, last);
        if (twist == Twist.KeyAtInfinity) next.header = replace(next.header, 110, new bytes(192));
        if (twist == Twist.KeyCancelsTheOld) {
            uint256 rogue = addmod(Signer.key(77), Signer.ORDER - secretOf(current, none()), Signer.ORDER);
            next.header = replace(next.header, 110, Signer.publicKey(rogue));
        }
    }

    function sign(OperatorSet memory next, Twist twist, uint8 oldAbsent, uint8 newAbsent)
        private
        view
        returns (bytes memory outgoing, bytes memory incoming)
    {
        OperatorSet memory last = twist == Twist.SignedByThePrevious ? previous : current;
        bytes32 digest =
            handoverDigest(twist == Twist.OtherNetwork ? keccak256("other") : NETWORK_ID, last, next);
        outgoing = certifyBy(
            last, digest, twist == Twist.OldUnderAlertTag ? ALERT_TAG : HANDOVER_TAG, absentOf(oldAbsent)
        );
        incoming = certifyBy(
            next, digest, twist == Twist.NewUnderAlertTag ? ALERT_TAG : HANDOVER_TAG, absentOf(newAbsent)
        );
        if (twist == Twist.KeyCancelsTheOld) {
            bytes memory signature = Signer.sign(Signer.key(77), digest, HANDOVER_TAG);
            outgoing = certificateOf(last, signature, none());
            incoming = certificateOf(next, signature, none());
        }
    }

    /// @dev Somebody submits again what is there; it must neither fail nor do anything.
    function repeatHandover(uint256 index) external {
        if (outgoings.length == 0) return;
        index = bound(index, 0, outgoings.length - 1);
        bytes32 before = toldCurrent;
        try verifier.handover(outgoings[index], incomings[index]) returns (bool installed) {
            if (installed) brokeRepetition = true;
        } catch {
            brokeRepetition = true;
        }
        readEvents();
        if (toldCurrent != before) brokeRepetition = true;
    }

    /// @dev Seldom: nothing else happens while it lasts.
    function startReset(uint8 epochsOn, bool isOwner, uint8 dice) external {
        if (dice % 2 != 0) return;
        uint32 epoch = epochOf(current) + epochsOn % 4;
        bytes32 missed = keccak256("a header that this chain missed");
        OperatorSet memory set = makeSet(
            epoch, 1_000 * uint256(epoch) + 500, weightsOfThree(), uint64(vm.getBlockTimestamp()), missed
        );
        bool allowed = isOwner && epoch > epochOf(current);

        if (isOwner) vm.prank(VERIFIER_OWNER);
        try verifier.startReset(set.header) {
            if (!allowed) brokeReset = true;
            named = set;
            resetReadyAt = vm.getBlockTimestamp() + 3 days;
        } catch {
            if (allowed) brokeReset = true;
        }
        readEvents();
    }

    function cancelReset(bool isOwner) external {
        bool allowed = isOwner && resetReadyAt != 0;
        if (isOwner) vm.prank(VERIFIER_OWNER);
        try verifier.cancelReset() {
            if (!allowed) brokeReset = true;
            delete resetReadyAt;
            delete previous;
        } catch {
            if (allowed) brokeReset = true;
        }
        readEvents();
    }

    function finishReset() external {
        bool allowed = resetReadyAt != 0 && vm.getBlockTimestamp() >= resetReadyAt && isInForce(named);
        try verifier.finishReset() {
            if (!allowed) brokeReset = true;
            current = named;
            delete previous;
            delete resetReadyAt;
            ++resets;
        } catch {
            if (allowed) brokeReset = true;
        }
        readEvents();
    }

    /// @dev All of the current, the previous or the named set sign an alert.
    function act(uint8 which) external {
        OperatorSet memory set = which % 3 == 0 ? current : which % 3 == 1 ? previous : named;
        if (set.header.length == 0) return;
        bool isCurrent = keccak256(set.header) == keccak256(current.header);
        bool isPrevious = keccak256(set.header) == keccak256(previous.header);
        bool inGrace = isPrevious && vm.getBlockTimestamp() <= graceUntil;
        bool allowed = resetReadyAt == 0 && isInForce(set) && (isCurrent || inGrace);

        try this.requireActs_(set) {
            if (!allowed) brokeActing = true;
            ++acted;
        } catch {
            if (allowed) brokeActing = true;
        }
    }

    function requireActs_(OperatorSet memory set) external view {
        requireActs(set);
    }

    function deliver(bytes memory outgoing, bytes memory incoming) private returns (bool installed) {
        try verifier.handover(outgoing, incoming) returns (bool done) {
            installed = done;
        } catch {}
        readEvents();
    }

    // ---- what the events tell

    function readEvents() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            bytes32 kind = logs[i].topics[0];
            if (kind == OperatorSetChain.SetInstalled.selector) readInstalled(logs[i]);
            if (kind == OperatorSetChain.ResetStarted.selector) {
                if (toldCurrent != 0) toldHeld = toldCurrent;
                (toldNamed,) = abi.decode(logs[i].data, (bytes, uint64));
                (toldCurrent, toldPrevious) = (0, 0);
            }
            if (kind == OperatorSetChain.ResetCancelled.selector) toldCurrent = toldHeld;
        }
    }

    function readInstalled(Vm.Log memory log) private {
        bytes memory set = abi.decode(log.data, (bytes));
        bool endsReset = set.length == 0;
        toldPrevious = endsReset ? bytes32(0) : toldCurrent;
        toldHeader = endsReset ? toldNamed : set;
        toldEpoch = uint32(uint256(log.topics[1]));
        toldCurrent = log.topics[2];
    }
}

contract SuccessionInvariantsTest is Succession {
    Relayers private relayers;

    function setUp() public {
        relayers = new Relayers();
        verifier = relayers.verifier_();
        bytes4[] memory selectors = new bytes4[](10);
        selectors[0] = Relayers.pass.selector;
        selectors[1] = Relayers.passLong.selector;
        // Thrice, so that most of what happens is a handover.
        selectors[2] = Relayers.handOver.selector;
        selectors[3] = Relayers.handOver.selector;
        selectors[4] = Relayers.handOver.selector;
        selectors[5] = Relayers.repeatHandover.selector;
        selectors[6] = Relayers.startReset.selector;
        selectors[7] = Relayers.cancelReset.selector;
        selectors[8] = Relayers.finishReset.selector;
        selectors[9] = Relayers.act.selector;
        targetContract(address(relayers));
        targetSelector(FuzzSelector({addr: address(relayers), selectors: selectors}));
    }

    /// @dev Else the invariants below could hold because nothing ever happened.
    function test_RelayersReachEveryState() public {
        relayers.handOver(0, 0, 0, 0);
        relayers.act(0);
        relayers.act(1);
        assertEq(relayers.acted(), 2, "the previous set in its grace, too");
        relayers.pass(6 hours);
        relayers.act(1);
        relayers.handOver(3, 4, 0, 0);
        relayers.handOver(7, 0, 0, 0);
        relayers.repeatHandover(0);
        relayers.startReset(3, true, 0);
        relayers.act(0);
        relayers.passLong(3 days);
        relayers.finishReset();
        relayers.act(0);

        assertEq(relayers.handedOver(), 2);
        assertEq(relayers.resets(), 1);
        assertEq(relayers.acted(), 3);
        invariant_I10_SetsFollowOneAnotherSignedByBoth();
        invariant_EventsTellTheWholeState();
    }

    /// @dev e → e' without a reset  ⇒  e' = e + 1, and more than two thirds of e and of e' signed it; and whatever
    ///      was signed so, in time and in order, is installed. Only the current set acts, and the previous in its grace.
    /// forge-config: default.invariant.runs = 16
    /// forge-config: prove.invariant.runs = 256
    function invariant_I10_SetsFollowOneAnotherSignedByBoth() public view {
        assertFalse(relayers.brokeSuccession(), "succession");
        assertFalse(relayers.brokeActing(), "acting");
        assertFalse(relayers.brokeRepetition(), "repetition");
        assertFalse(relayers.brokeReset(), "reset");
    }

    /// @dev The sum of keys of a set that may act was accepted by those who hold the keys.
    /// forge-config: default.invariant.runs = 16
    /// forge-config: prove.invariant.runs = 256
    function invariant_I14_NoSetActsWithAKeyAtInfinity() public view {
        bytes memory header_ = relayers.toldHeader();

        assertNotEq(keccak256(slice(header_, 110, 302)), keccak256(new bytes(192)));
        bytes32 current = verifier.setHashes(relayers.toldEpoch());
        assertTrue(current == 0 || current == keccak256(header_));
    }

    /// forge-config: default.invariant.runs = 16
    /// forge-config: prove.invariant.runs = 256
    function invariant_EventsTellTheWholeState() public view {
        (uint32 epoch, uint64 validUntil) = verifier.currentSet();

        assertEq(epoch, relayers.toldEpoch());
        assertEq(verifier.setHashes(epoch), relayers.toldCurrent());
        assertEq(verifier.setHashes(epoch - 1), relayers.toldPrevious());
        assertEq(validUntil == 0, relayers.toldCurrent() == 0, "no set, no time");
    }
}
