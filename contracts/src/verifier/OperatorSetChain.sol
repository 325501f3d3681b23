// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";
import {HandoverLib} from "../libraries/HandoverLib.sol";
import {HeaderLib} from "../libraries/HeaderLib.sol";

/// @notice How operator sets follow one another on a chain; fixed at deployment.
/// @param owner            may reset a chain that has lost its thread; zero: nobody may
/// @param minEpochInterval least time between the captures of two sets that follow each other, seconds
/// @param grace            time in which the previous set may still act after a handover, seconds
/// @param resetDelay       time between the start of a reset and its end, seconds
struct SuccessionTerms {
    address owner;
    uint64 minEpochInterval;
    uint64 grace;
    uint64 resetDelay;
}

/// @title OperatorSetChain: which operator sets a chain accepts, and how one follows another
/// @notice Design. A chain knows a set by the hash of its bytes: the header, and whatever else an
///         implementation needs of each operator. Epoch e + 1 follows epoch e only, names e's header, was captured
///         at least `minEpochInterval` later, and is signed by more than two thirds of e and, in a check of
///         its own, by more than two thirds of e + 1: a sum of both would let a set that never proved
///         possession of its keys cancel the old one's. Anybody may submit; a handover that is already there
///         is a no-op. A chain that missed epochs gets them in order, several in one transaction.
///
///         Who may act: the current set until its header's `validUntil`, and the previous one for `grace` after
///         the handover, never to hand over. Time is bounded from below by the captures' own times, so
///         that a quorum whose keys were stolen cannot run ahead through epochs.
///
///         Reset. Where a chain missed so much that no valid set can sign the next one in, or a set's keys are
///         lost, `owner` can name a later set. From the start of a reset until its end, `resetDelay` later, no
///         certificate is accepted, so an owner cannot use it unseen.
///
///         Trust. The genesis set is the deployer's word: compare it with the registry on the home chain. An
///         owner can keep the chain silent for as long as it likes, and after the delay, in the open, have a set
///         of its own act; a zero owner does without. That a header says the truth about the operators is for
///         those who sign it in: each recomputes it from the registry at a finalized block.
///
///         Storage. slot 0 `_currentSet`; slot 1 `_previousSet`; slot 2 `_times`: epoch 4, captureTime 8,
///         validUntil 8, graceUntil 8; slots 3-5 `_reset`: held 32, next 32, epoch 4, captureTime 8,
///         validUntil 8, readyAt 8. A handover overwrites slots 0 to 2 and takes no new one, not even the first.
abstract contract OperatorSetChain is IQuorumVerifier {
    struct Times {
        uint32 epoch;
        uint64 captureTime;
        uint64 validUntil;
        uint64 graceUntil;
    }

    /// @dev `held` is the set that comes back when the reset is cancelled.
    struct Reset {
        bytes32 held;
        bytes32 next;
        uint32 epoch;
        uint64 captureTime;
        uint64 validUntil;
        uint64 readyAt;
    }

    /// @notice Longest grace that may be fixed, seconds.
    uint64 public constant MAX_GRACE = 1 days;
    /// @notice Least delay of a reset, seconds.
    uint64 public constant MIN_RESET_DELAY = 2 days;

    /// @dev Stands where there is no previous set: no bytes hash to it, and the slot need not be paid for again.
    bytes32 private constant NO_SET = bytes32(uint256(1));

    /// @inheritdoc IQuorumVerifier
    bytes32 public immutable networkId;
    /// @notice Who may start and cancel a reset; zero: nobody.
    address public immutable owner;
    /// @notice Least time between the captures of two sets in a row, seconds.
    uint64 public immutable minEpochInterval;
    /// @notice Time for which the previous set may act after a handover, seconds.
    uint64 public immutable grace;
    /// @notice Time that a reset takes, seconds.
    uint64 public immutable resetDelay;

    bytes32 private _currentSet;
    bytes32 private _previousSet;
    Times private _times;
    Reset private _reset;

    /// @notice An operator set took effect on this chain.
    event SetInstalled(uint32 indexed epoch, bytes32 indexed setHash, bytes set);
    /// @notice No set may act from here on until the reset has ended.
    event ResetStarted(uint32 indexed epoch, bytes32 indexed setHash, bytes set, uint64 readyAt);
    /// @notice The owner took a reset back; the set that acted before it acts again.
    event ResetCancelled(uint32 indexed epoch, bytes32 indexed setHash);

    error NetworkIdZero();
    error IntervalZero();
    error GraceTooLong(uint64 given, uint64 max);
    error ResetDelayTooShort(uint64 given, uint64 min);
    error SetLength(uint256 given, uint256 expected);
    error HeaderOutOfTime(uint64 captureTime, uint64 validUntil, uint256 time);
    error HeaderInvalid(uint16 operators, uint256 maxOperators, uint128 totalWeight);
    error HeaderMismatch(bytes32 given, bytes32 expected);
    error EpochMismatch(uint32 given, uint32 expected);
    error SetNotInstalled(uint32 epoch, bytes32 setHash);
    error GraceOver(uint32 epoch, uint64 graceUntil, uint256 time);
    error HeaderExpired(uint64 validUntil, uint256 time);
    error EpochNotNext(uint32 given, uint32 expected);
    error PreviousMismatch(bytes32 given, bytes32 expected);
    error CapturedTooEarly(uint64 captureTime, uint256 notBefore);
    error HandoverConflict(uint32 epoch, bytes32 given, bytes32 installed);
    error PairsMismatch(uint256 outgoing, uint256 incoming);
    error NotOwner(address caller, address owner);
    error EpochNotLater(uint32 given, uint32 current);
    error ResetPending(uint64 readyAt);
    error NoReset();

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender, owner);
        _;
    }

    /// @param networkId_ network whose certificates are accepted
    /// @param set        that network's current operator set, as this chain keeps it; the header comes first
    constructor(bytes32 networkId_, bytes memory set, SuccessionTerms memory terms) {
        if (networkId_ == bytes32(0)) revert NetworkIdZero();
        if (terms.minEpochInterval == 0) revert IntervalZero();
        if (terms.grace > MAX_GRACE) revert GraceTooLong(terms.grace, MAX_GRACE);
        if (terms.owner != address(0) && terms.resetDelay < MIN_RESET_DELAY) {
            revert ResetDelayTooShort(terms.resetDelay, MIN_RESET_DELAY);
        }
        networkId = networkId_;
        owner = terms.owner;
        minEpochInterval = terms.minEpochInterval;
        grace = terms.grace;
        resetDelay = terms.resetDelay;

        HeaderLib.Header memory header = _parse(set);
        _previousSet = NO_SET;
        _install(header, keccak256(set), 0);
        emit SetInstalled(header.epoch, keccak256(set), set);
    }

    // ---- anyone

    /// @notice Lets epoch e + 1 take over from epoch e. Already there: returns false and does nothing. For anybody.
    /// @dev Reverts with HandoverConflict where the epoch has another set; HeaderOutOfTime, HeaderInvalid and
    ///      SetLength for a set that could not act; ResetPending, EpochNotNext, SetNotInstalled, HeaderExpired,
    ///      PreviousMismatch and CapturedTooEarly where it does not follow the current one; and, as the
    ///      implementation says, where either set has not signed with more than two thirds.
    /// @param outgoing certificate of set e over the handover's digest
    /// @param incoming certificate of set e + 1 over the same digest
    /// @return installed whether the set was not there yet
    function handover(bytes calldata outgoing, bytes calldata incoming) public returns (bool installed) {
        bytes calldata nextSet = _setOf(incoming);
        bytes32 nextHash = keccak256(nextSet);
        Times memory times = _times;
        // Before anything that time can change: what is there already must never stall the rest of a batch.
        uint32 nextEpoch = HeaderLib.epochOf(nextSet);
        if (nextEpoch <= times.epoch) {
            _requireKnown(nextEpoch, nextHash, times.epoch);
            return false;
        }
        HeaderLib.Header memory next = _parse(nextSet);
        _requireSuccessor(next, _setOf(outgoing), times);
        bytes32 digest = HandoverLib.digest(networkId, times.epoch, _currentSet, nextHash);
        _requireHandoverSigned(digest, outgoing, incoming);

        _previousSet = _currentSet;
        _install(next, nextHash, uint64(block.timestamp) + grace);
        emit SetInstalled(next.epoch, nextHash, nextSet);
        return true;
    }

    /// @notice Several handovers in a row, for a chain that missed some: all of them or none. For anybody.
    /// @dev Reverts with PairsMismatch, and as `handover`. What is there already stalls nothing.
    /// @param outgoing certificates of the sets that hand over, oldest first
    /// @param incoming certificates of the sets that take over, in the same order
    /// @return installed number of sets that were not there yet
    function handovers(bytes[] calldata outgoing, bytes[] calldata incoming)
        external
        returns (uint256 installed)
    {
        if (outgoing.length != incoming.length) {
            revert PairsMismatch(outgoing.length, incoming.length);
        }
        for (uint256 i = 0; i < outgoing.length; ++i) {
            if (handover(outgoing[i], incoming[i])) ++installed;
        }
    }

    /// @notice Ends a reset whose time has come. For anybody.
    /// @dev Reverts with NoReset, with ResetPending before its time, with HeaderExpired when the named set has ended.
    function finishReset() external {
        Reset memory reset = _reset;
        // A hash, which nobody can move by a small amount.
        // slither-disable-next-line incorrect-equality
        if (reset.next == bytes32(0)) revert NoReset();
        if (block.timestamp < reset.readyAt) revert ResetPending(reset.readyAt);
        if (block.timestamp > reset.validUntil) revert HeaderExpired(reset.validUntil, block.timestamp);
        delete _reset;
        _currentSet = reset.next;
        _times = Times({
            epoch: reset.epoch, captureTime: reset.captureTime, validUntil: reset.validUntil, graceUntil: 0
        });
        emit SetInstalled(reset.epoch, reset.next, "");
    }

    // ---- the owner

    /// @notice Names the set that shall act after `resetDelay`; until then none may. A second call starts anew, with
    ///         the whole delay. For the owner.
    /// @dev Reverts with NotOwner, EpochNotLater, HeaderExpired where the set ends before the reset does, and
    ///      SetLength, HeaderOutOfTime or HeaderInvalid for a set that could not act.
    /// @param set the set's bytes, as this chain keeps it; the header comes first
    function startReset(bytes calldata set) external onlyOwner {
        HeaderLib.Header memory next = _parse(set);
        if (next.epoch <= _times.epoch) revert EpochNotLater(next.epoch, _times.epoch);
        uint64 readyAt = uint64(block.timestamp) + resetDelay;
        // A set that ends before the reset does would silence this chain for nothing.
        if (next.validUntil < readyAt) revert HeaderExpired(next.validUntil, readyAt);
        _reset = Reset({
            held: _reset.next == bytes32(0) ? _currentSet : _reset.held,
            next: keccak256(set),
            epoch: next.epoch,
            captureTime: next.captureTime,
            validUntil: next.validUntil,
            readyAt: readyAt
        });
        _currentSet = bytes32(0);
        _previousSet = NO_SET;
        emit ResetStarted(next.epoch, keccak256(set), set, readyAt);
    }

    /// @notice Takes a reset back: the set that acted before it acts again, without its predecessor. For the owner.
    /// @dev Reverts with NotOwner and NoReset.
    function cancelReset() external onlyOwner {
        if (_reset.next == bytes32(0)) revert NoReset();
        _currentSet = _reset.held;
        emit ResetCancelled(_reset.epoch, _reset.next);
        delete _reset;
    }

    // ---- views

    /// @inheritdoc IQuorumVerifier
    function currentSet() external view returns (uint32 epoch, uint64 validUntil) {
        // A hash.
        // slither-disable-next-line incorrect-equality
        return (_times.epoch, _currentSet == bytes32(0) ? 0 : _times.validUntil);
    }

    /// @notice Hash of the set of `epoch` where it is the current or the previous one, zero otherwise.
    function setHashes(uint32 epoch) public view returns (bytes32) {
        uint256 current = _times.epoch;
        // An epoch is a name, not an amount.
        // slither-disable-next-line incorrect-equality
        if (epoch == current) return _currentSet;
        // As above.
        // slither-disable-next-line incorrect-equality
        bool isPrevious = uint256(epoch) + 1 == current && _previousSet != NO_SET;
        return isPrevious ? _previousSet : bytes32(0);
    }

    /// @notice Unix second until which the previous set may act.
    function graceUntil() external view returns (uint64) {
        return _times.graceUntil;
    }

    /// @notice The reset that is under way; all zero when there is none.
    function pendingReset() external view returns (uint32 epoch, bytes32 setHash, uint64 readyAt) {
        return (_reset.epoch, _reset.next, _reset.readyAt);
    }

    // ---- for implementations

    /// @dev The bytes of a certificate that a chain knows its set by; they begin with the 302 of the header.
    function _setOf(bytes calldata certificate) internal pure virtual returns (bytes calldata set);

    /// @dev What an implementation asks of a set besides, whichever way it comes in; the constructor calls it, too.
    function _requireSound(bytes memory set, HeaderLib.Header memory header) internal pure virtual {}

    /// @dev Reverts unless both sets have signed `digest` as a handover, each with more than two thirds.
    function _requireHandoverSigned(bytes32 digest, bytes calldata outgoing, bytes calldata incoming)
        internal
        view
        virtual;

    /// @dev Reverts unless the certificate's set is the one that the digest names, and may act now. One storage
    ///      read for the current set.
    function _requireActing(uint32 epoch, bytes32 headerHash, bytes calldata certificate) internal view {
        bytes calldata set = _setOf(certificate);
        bytes calldata header = set[:HeaderLib.HEADER_BYTES];
        bytes32 given = keccak256(header);
        if (given != headerHash) revert HeaderMismatch(given, headerHash);
        uint32 headerEpoch = HeaderLib.epochOf(header);
        if (headerEpoch != epoch) revert EpochMismatch(headerEpoch, epoch);
        bytes32 setHash = set.length == HeaderLib.HEADER_BYTES ? given : keccak256(set);
        if (setHash != _currentSet) _requireInGrace(epoch, setHash);
        uint64 validUntil = HeaderLib.validUntilOf(header);
        if (block.timestamp > validUntil) revert HeaderExpired(validUntil, block.timestamp);
    }

    // ---- internals

    function _requireInGrace(uint32 epoch, bytes32 setHash) private view {
        if (setHash != _previousSet) revert SetNotInstalled(epoch, setHash);
        uint64 until = _times.graceUntil;
        if (block.timestamp > until) revert GraceOver(epoch, until, block.timestamp);
    }

    /// @dev A submission that somebody else was faster with is no error; another set for the same epoch is.
    function _requireKnown(uint32 epoch, bytes32 given, uint32 current) private view {
        bytes32 known = given;
        // A hash and an epoch: names, not amounts.
        // slither-disable-next-line incorrect-equality
        if (epoch == current) known = _currentSet == bytes32(0) ? _reset.held : _currentSet;
        else if (epoch + 1 == current && _previousSet != NO_SET) known = _previousSet;
        if (given != known) revert HandoverConflict(epoch, given, known);
    }

    function _requireSuccessor(HeaderLib.Header memory next, bytes calldata lastSet, Times memory times)
        private
        view
    {
        // A hash.
        // slither-disable-next-line incorrect-equality
        if (_currentSet == bytes32(0)) revert ResetPending(_reset.readyAt);
        if (next.epoch != times.epoch + 1) revert EpochNotNext(next.epoch, times.epoch + 1);
        if (keccak256(lastSet) != _currentSet) {
            revert SetNotInstalled(HeaderLib.epochOf(lastSet), keccak256(lastSet));
        }
        if (block.timestamp > times.validUntil) revert HeaderExpired(times.validUntil, block.timestamp);
        bytes32 lastHeader = keccak256(lastSet[:HeaderLib.HEADER_BYTES]);
        if (next.prevHeaderHash != lastHeader) revert PreviousMismatch(next.prevHeaderHash, lastHeader);
        uint256 notBefore = uint256(times.captureTime) + minEpochInterval;
        if (next.captureTime < notBefore) revert CapturedTooEarly(next.captureTime, notBefore);
    }

    /// @dev What every set must be, however it comes in.
    function _parse(bytes memory set) private view returns (HeaderLib.Header memory header) {
        if (set.length < HeaderLib.HEADER_BYTES) revert SetLength(set.length, HeaderLib.HEADER_BYTES);
        header = HeaderLib.decode(set);
        // A set that ends in this second would be installed and could not act.
        if (header.captureTime > block.timestamp || header.validUntil <= block.timestamp) {
            revert HeaderOutOfTime(header.captureTime, header.validUntil, block.timestamp);
        }
        if (header.count == 0 || header.count > HeaderLib.MAX_OPERATORS || header.totalWeight == 0) {
            revert HeaderInvalid(header.count, HeaderLib.MAX_OPERATORS, header.totalWeight);
        }
        _requireSound(set, header);
    }

    function _install(HeaderLib.Header memory header, bytes32 setHash, uint64 graceUntil_) private {
        _currentSet = setHash;
        _times = Times({
            epoch: header.epoch,
            captureTime: header.captureTime,
            validUntil: header.validUntil,
            graceUntil: graceUntil_
        });
    }
}
