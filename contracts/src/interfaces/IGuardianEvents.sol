// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "./IAdapter.sol";

/// @notice Ladder of responses. The share of weight that each needs has a floor in the bytecode (`Ladder`).
enum Level {
    Alert,
    Limit,
    Freeze,
    Pause
}

/// @notice What became of a delivered certificate.
/// @param Acted         it took effect
/// @param AlreadyActive what it asks for is there already, whoever set it: nothing was done
/// @param NotActive     there is nothing that an all-clear could end: nothing was done
/// @param Failed        one action of a batch was refused, or its target failed; it can be delivered again
enum Outcome {
    Acted,
    AlreadyActive,
    NotActive,
    Failed
}

/// @notice One action that the owner allows the network. An Alert action has `thresholdBps` and `cooldown` only.
/// @param adapter      how it is done; holds the right on the target
/// @param level        rung of the ladder
/// @param thresholdBps share of the weight that must be exceeded, at or above the floors of level and adapter
/// @param minGas       gas that the adapter gets, whoever submits
/// @param maxDuration  seconds after which the restriction is over
/// @param cooldown     seconds after its end in which no alert may set it again
/// @param budget       most seconds of restriction in any `window`; at least twice `maxDuration`
/// @param window       length of every sliding window, seconds
struct ActionConfig {
    IAdapter adapter;
    Level level;
    uint16 thresholdBps;
    uint24 minGas;
    uint24 maxDuration;
    uint24 cooldown;
    uint24 budget;
    uint24 window;
}

/// @notice How a restriction may end before its time, and what stands in its place for a while.
/// @param minHold      seconds after its start in which no all-clear ends it; type(uint32).max: none ever does
/// @param graceAction  action of this guardian that is set when this one ends, before its target is released;
///                     zero: none
/// @param graceSeconds how long that lasts, at most the grace action's own `maxDuration`
struct LiftTerms {
    uint32 minHold;
    bytes32 graceAction;
    uint24 graceSeconds;
}

/// @notice Where an action stands. Times are unix seconds.
/// @param until          when the restriction is over; zero when the network holds none
/// @param startedAt      when the last one began
/// @param observedAfter  only alerts observed later than this may act
/// @param lastEndedAt    when the last one ended
/// @param budgetFullAt   when the whole budget will be there again
/// @param isGrace        it stands in for another action that ended, for that action's grace
/// @param ownerLifted    the adapter could not lift the last one and left it to the owner
struct ActionState {
    uint40 until;
    uint40 startedAt;
    uint40 observedAfter;
    uint40 lastEndedAt;
    uint40 budgetFullAt;
    bool isGrace;
    bool ownerLifted;
}

/// @notice One action of a batch.
struct BatchItem {
    uint256 leafIndex;
    bytes32 actionId;
    bytes params;
}

/// @notice A guardian whose responses may be the cause of alerts here.
struct Dependency {
    uint256 chainId;
    address guardian;
}

/// @notice What the tank pays to those who submit.
/// @param maxPerResponse most wei for one transaction; zero: the tank pays nothing
/// @param maxPerWindow   most wei in any `window`; at least twice `maxPerResponse`
/// @param window         length of every sliding window, seconds
/// @param tipCap         most wei per gas above the block's base fee
struct TankTerms {
    uint72 maxPerResponse;
    uint72 maxPerWindow;
    uint24 window;
    uint48 tipCap;
}

/// @title IGuardianEvents: what a guardian says
/// @notice Its whole state can be rebuilt from the events alone; errors carry what came and what was allowed.
///         Times are unix seconds, durations seconds, shares hundredths of a percent.
interface IGuardianEvents {
    // ---- events: the state can be rebuilt from them

    /// @notice A quorum's alert took effect: the target is restricted until `until`, the action's `maxDuration`
    ///         from now on.
    event Responded(
        bytes32 indexed digest, bytes32 indexed actionId, uint40 until, uint32 epoch, uint128 signedWeight
    );
    /// @notice A quorum's alert of level Alert: nothing is restricted. Alerts observed until `observedAfter` are
    ///         not told again.
    event Alerted(
        bytes32 indexed digest,
        bytes32 indexed actionId,
        uint40 observedAfter,
        uint32 epoch,
        uint128 signedWeight
    );
    /// @notice One action of a batch was not carried out; the others were not touched by it.
    event BatchItemFailed(bytes32 indexed digest, bytes32 indexed actionId, bytes reason);
    /// @notice A quorum's all-clear ended a restriction.
    event Cleared(bytes32 indexed digest, bytes32 indexed actionId, uint40 endedAt, bool released);
    /// @notice A restriction ran out; `released` is false where the owner must lift at the target.
    event Expired(bytes32 indexed actionId, uint40 endedAt, bool released);
    /// @notice The owner ended a restriction.
    event Lifted(bytes32 indexed actionId, uint40 endedAt, bool released);
    /// @notice The owner made a restriction its own: it stays, and is no longer the network's.
    event Adopted(bytes32 indexed actionId, uint40 endedAt);
    /// @notice `actionId` stands in for `ended` until `until`.
    event GraceBegun(bytes32 indexed actionId, bytes32 indexed ended, uint40 startedAt, uint40 until);
    /// @notice `ended` ends without its grace: `actionId` could not be set.
    event GraceFailed(bytes32 indexed actionId, bytes32 indexed ended, bytes reason);
    /// @notice The owner cut the guardian off. What could not be released keeps its state and can be tried again.
    event Disconnected();
    /// @notice A target did not let go during a disconnection; the restriction stays in the book.
    event ReleaseFailed(bytes32 indexed actionId, bytes reason);

    /// @notice The owner allowed an action or changed its terms. The first time no all-clear may end it yet.
    event ActionSet(bytes32 indexed actionId, ActionConfig config, uint40 observedAfter, uint40 budgetFullAt);
    /// @notice The owner took an action away, and with it its lift terms and its predecessor.
    event ActionRemoved(bytes32 indexed actionId);
    /// @notice The owner said how restrictions of this action may end, and what follows.
    event LiftTermsSet(bytes32 indexed actionId, LiftTerms terms);
    /// @notice The owner named the limit that must be in force before an induced alert may use this action.
    event PredecessorSet(bytes32 indexed actionId, bytes32 predecessor);
    /// @notice The owner approved a policy; zero: none.
    event PolicySet(bytes32 indexed policyHash);
    /// @notice The owner fixed the longest chain of causes that an alert may have.
    event MaxCauseDepthSet(uint8 maxCauseDepth);
    /// @notice The owner declared on whose guardians this protocol depends.
    event DependenciesSet(Dependency[] dependencies);

    /// @notice The owner fixed what the tank pays.
    event TankSet(TankTerms terms, uint40 budgetFullAt);
    /// @notice Ether came into the tank by a call; what comes without one has no event.
    event Deposited(address indexed from, uint256 amountWei);
    /// @notice The owner took ether out of the tank.
    event Withdrawn(address indexed to, uint256 amountWei);
    /// @notice The tank paid for a transaction's gas.
    event Refunded(address indexed to, uint256 amountWei, uint40 budgetFullAt);
    /// @notice The submitter did not take the money. It stays in the tank, and counts in the window.
    event RefundFailed(address indexed to, uint256 amountWei, uint40 budgetFullAt);

    // ---- errors

    error Reentered();
    error UseOwnershipHandover();
    error NotSelf(address caller);
    error UnknownAction(bytes32 actionId);
    error LeafCountInvalid(uint256 given, uint256 max);
    error LeafIndexOutOfRange(uint256 given, uint256 leaves);
    error LeafMismatch(bytes32 given, bytes32 expected);
    error VerdictMismatch(uint256 given, uint256 expected);
    error PolicyNotApproved(bytes32 given, bytes32 approved);
    error CauseInvalid(bytes32 causeDigest, uint8 causeDepth);
    error CauseTooDeep(uint8 given, uint8 max);
    /// @notice The alert follows from another guardian's response, and the owner declared no dependency.
    error NoDependencies();
    /// @notice An induced alert may freeze or pause only while `predecessor`, a limit, is in force.
    error PredecessorNotInForce(bytes32 actionId, bytes32 predecessor);
    error AlertFromFuture(uint256 observedAt, uint256 time);
    error AlertExpired(uint256 expiresAt, uint256 time);
    error AlertWindowInvalid(uint256 observedAt, uint256 expiresAt, uint64 maxTtl);
    error AlertTooOld(uint256 observedAt, uint256 observedAfter);
    error AnchorNotPast(uint256 anchorNumber, uint256 blockNumber);
    error AnchorUnknownBlock(uint256 anchorNumber, bytes32 anchorHash);
    /// @notice The action's time is used up; `availableAt` is when it can be set again.
    error BudgetSpent(bytes32 actionId, uint256 availableAt);
    error AllClearNotAllowed(bytes32 actionId);
    error HeldUntil(uint256 heldUntil, uint256 time);
    /// @notice One action of a batch needs more of the weight than signed; another may need less.
    error BelowThreshold(uint256 signedWeight, uint256 totalWeight, uint16 thresholdBps);
    error GasTooLow(uint256 gasLeft, uint256 minGas, uint256 reserve);
    error ActionFailed(bytes32 actionId, bytes returned);
    error EffectMissing(bytes32 actionId);
    error AlreadyRestricted(bytes32 actionId);
    error NotActive(bytes32 actionId);
    error NotYetExpired(uint40 until, uint256 time);
    error ActionActive(bytes32 actionId, uint40 until);
    /// @notice The answer of `dryRun`; nothing that it tried has stayed.
    error DryRun(bool ok, bytes reason);

    error TooManyActions(uint256 max);
    error ThresholdBelowFloor(uint8 level, uint16 given, uint16 floor);
    error ThresholdUnreachable(uint16 given, uint16 max);
    error DurationInvalid(uint24 given, uint24 max);
    error BudgetInvalid(uint24 budget, uint24 window, uint24 maxDuration, uint24 maxWindow);
    error CooldownZero();
    error MinGasTooLow(uint24 given, uint24 min);
    error AdapterNotOurs(address adapter);
    /// @notice An Alert action restricts nothing: it has no adapter, gas, duration or budget.
    error AlertActsNot();
    error GraceInvalid(bytes32 graceAction, uint24 graceSeconds, uint24 maxSeconds);
    error PredecessorInvalid(bytes32 predecessor);
    error TooManyDependencies(uint256 given, uint256 max);
    error TankTermsInvalid(uint72 maxPerResponse, uint72 maxPerWindow, uint24 window, uint24 maxWindow);
    error WithdrawalFailed(address to, uint256 amountWei);
}
