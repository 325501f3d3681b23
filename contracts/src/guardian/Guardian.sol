// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";
import {IAdapter} from "../interfaces/IAdapter.sol";
import {Alert, AlertLib} from "../libraries/AlertLib.sol";
import {AnchorLib} from "../libraries/AnchorLib.sol";
import {BoundedCall} from "../libraries/BoundedCall.sol";

/// @notice Ladder of responses. The share of weight that each needs has a floor in the bytecode.
enum Level {
    Alert,
    Limit,
    Freeze,
    Pause
}

/// @notice What became of a delivered certificate.
enum Outcome {
    Acted,
    AlreadyActive
}

/// @notice One action that the owner allows the network.
/// @param adapter      how it is done; holds the right on the target
/// @param level        rung of the ladder, Limit or higher
/// @param thresholdBps share of the weight that must be exceeded, at or above the level's floor
/// @param minGas       gas that the adapter gets, whoever submits
/// @param maxDuration  seconds after which the restriction is over
/// @param cooldown     seconds after its end in which no alert may set it again
struct ActionConfig {
    IAdapter adapter;
    Level level;
    uint16 thresholdBps;
    uint24 minGas;
    uint32 maxDuration;
    uint32 cooldown;
}

/// @title Guardian: brakes one protocol on the word of a quorum, for a bounded time
/// @notice Design. A clone without an upgrade path; verifier and network are immutables of the implementation.
///         The owner fixes actions beforehand, each with an adapter that holds the right on one target; the
///         guardian itself holds no right on anybody. Anyone may deliver a certificate: the alert must be about
///         a policy that the owner approved, be in its time window, name a block of this chain where this chain
///         can tell, and carry this chain, this guardian, the action and its parameters in one of its leaves.
///         The threshold comes from storage. The effect is read back from the target. When the restriction is
///         already there nothing happens, and nothing reverts.
///
///         What it cannot do. Lift what it did not set; keep a restriction beyond `maxDuration`; move funds,
///         upgrade, or call anything but the adapters that the owner named. Total restricted time is at most
///         maxDuration in every maxDuration + cooldown. `adopt` turns a restriction into governance's own.
///         When governance lifts at the target and sets the same restriction itself within the same time, the
///         two cannot be told apart here: it adopts to keep it.
///
///         Trust. The owner is the protocol's governance: it may lift at once, and name adapters and policies.
///         The verifier is trusted to count. Targets are not trusted: they get `minGas`, what they return is
///         copied up to 256 bytes, and what they claim is read back. A submitter chooses time, gas and bytes
///         of delivery only.
///
///         Storage.
///         slot 0            `policyHash`
///         slot 1            `maxCauseDepth` (1 byte)
///         slot 2            `_actions`: actionId => adapter 20, level 1, thresholdBps 2, minGas 3, maxDuration 4
///         slot 3            `_states`: actionId => until 8, lastEndedAt 8, observedAfter 8, cooldown 4, ownerLifted 1
///         transient slot 0  reentrancy lock
///         The owner stands in Solady's owner slot. A state's slot is never zero while the action exists, so the
///         first response overwrites it instead of paying for a new one.
contract Guardian is Ownable {
    struct StoredAction {
        IAdapter adapter;
        Level level;
        uint16 thresholdBps;
        uint24 minGas;
        uint32 maxDuration;
    }

    /// @param until         unix seconds at which the restriction is over; zero when there is none of ours
    /// @param lastEndedAt   unix seconds at which the last one ended
    /// @param observedAfter only alerts observed later than this may act
    /// @param cooldown      seconds between an end and the next alert
    /// @param ownerLifted   the adapter could not lift the last one and left it to the owner
    struct ActionState {
        uint64 until;
        uint64 lastEndedAt;
        uint64 observedAfter;
        uint32 cooldown;
        bool ownerLifted;
    }

    /// @dev What the verifier found, on its way into the event.
    struct Quorum {
        bytes32 digest;
        bytes32 slotId;
        uint128 signedWeight;
        uint128 totalWeight;
        uint32 epoch;
    }

    /// @notice Longest restriction that an owner may allow, seconds.
    uint32 public constant MAX_DURATION = 30 days;

    /// @notice Least gas that an action must set aside for its adapter.
    uint24 public constant MIN_ACTION_GAS = 50_000;

    /// @notice Gas kept back for reading the effect and the event.
    uint256 public constant RESERVE_GAS = 60_000;

    /// @notice Gas for one question to an adapter.
    uint256 public constant READ_GAS = 250_000;

    /// @notice Gas for asking an adapter whether it is ready; it asks the target's access control in turn.
    uint256 public constant READY_GAS = 1_000_000;

    uint256 private constant BPS = 10_000;

    IQuorumVerifier public immutable verifier;
    bytes32 public immutable networkId;

    /// @notice Policy under which alerts may act; zero: none.
    bytes32 public policyHash;

    /// @notice Longest chain of causes that an alert may have.
    uint8 public maxCauseDepth;

    mapping(bytes32 actionId => StoredAction) private _actions;
    mapping(bytes32 actionId => ActionState) private _states;

    bool private transient _entered;

    /// @notice A quorum's alert took effect.
    event Responded(
        bytes32 indexed digest,
        bytes32 indexed actionId,
        uint8 level,
        uint64 until,
        uint128 signedWeight,
        uint128 totalWeight,
        uint32 epoch,
        bytes32 slotId
    );

    /// @notice The owner ended a restriction.
    event Lifted(bytes32 indexed actionId, uint64 endedAt, bool released);
    /// @notice A restriction ran out; `released` is false where the owner must lift at the target.
    event Expired(bytes32 indexed actionId, uint64 endedAt, bool released);
    /// @notice The owner made a restriction its own: it stays, and is no longer the network's.
    event Adopted(bytes32 indexed actionId, uint64 endedAt);
    event ActionSet(
        bytes32 indexed actionId,
        address adapter,
        uint8 level,
        uint16 thresholdBps,
        uint24 minGas,
        uint32 maxDuration,
        uint32 cooldown
    );
    event ActionRemoved(bytes32 indexed actionId);
    event PolicySet(bytes32 indexed policyHash);
    event MaxCauseDepthSet(uint8 maxCauseDepth);

    error Reentered();
    error UseOwnershipHandover();
    error UnknownAction(bytes32 actionId);
    error LeafCountInvalid(uint256 given, uint256 max);
    error LeafIndexOutOfRange(uint256 given, uint256 leaves);
    error LeafMismatch(bytes32 given, bytes32 expected);
    error VerdictNotThreat(uint8 verdict);
    error PolicyNotApproved(bytes32 given, bytes32 approved);
    error CauseInvalid(bytes32 causeDigest, uint8 causeDepth);
    error CauseTooDeep(uint8 given, uint8 max);
    error AlertFromFuture(uint64 observedAt, uint256 time);
    error AlertExpired(uint64 expiresAt, uint256 time);
    error AlertWindowInvalid(uint64 observedAt, uint64 expiresAt, uint64 maxTtl);
    error AlertTooOld(uint64 observedAt, uint256 observedAfter);
    error AnchorNotPast(uint256 anchorNumber, uint256 blockNumber);
    error AnchorUnknownBlock(uint256 anchorNumber, bytes32 anchorHash);
    error GasTooLow(uint256 gasLeft, uint256 minGas, uint256 reserve);
    error ActionFailed(bytes32 actionId, bytes returned);
    error EffectMissing(bytes32 actionId);
    error NotActive(bytes32 actionId);
    error NotYetExpired(uint64 until, uint256 time);
    error ActionActive(bytes32 actionId, uint64 until);
    error LevelInvalid(uint8 level);
    error ThresholdBelowFloor(uint8 level, uint16 given, uint16 floor);
    error ThresholdUnreachable(uint16 given, uint16 max);
    error DurationInvalid(uint32 given, uint32 max);
    error MinGasTooLow(uint24 given, uint24 min);
    error AdapterNotOurs(address adapter);

    modifier nonReentrant() {
        if (_entered) revert Reentered();
        _entered = true;
        _;
        _entered = false;
    }

    /// @param verifier_ counts signatures for every clone of this implementation
    constructor(IQuorumVerifier verifier_) {
        verifier = verifier_;
        networkId = verifier_.networkId();
        // The implementation itself guards nothing: its owner is nobody.
        _initializeOwner(address(1));
    }

    /// @dev Solady: refuse a second initialisation.
    function _guardInitializeOwner() internal pure override returns (bool) {
        return true;
    }

    /// @notice Called once by the factory, in the transaction that creates the clone.
    function initialize(address owner_, bytes32 policyHash_) external {
        if (owner_ == address(0)) revert NewOwnerIsZeroAddress();
        _initializeOwner(owner_);
        policyHash = policyHash_;
        emit PolicySet(policyHash_);
    }

    // ---- the quorum

    /// @notice Delivers a certificate: restricts the target of one action, or finds that it is already so.
    /// @param alert        what the operators signed
    /// @param actionLeaves hashes of all actions that the alert names, on all chains
    /// @param leafIndex    place of this guardian's action among them
    /// @param actionId     action, as the owner named it
    /// @param params       parameters that the leaf binds
    /// @param certificate  as `IQuorumVerifier.verify` takes it
    function respond(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        uint256 leafIndex,
        bytes32 actionId,
        bytes calldata params,
        bytes calldata certificate
    ) external nonReentrant returns (Outcome) {
        StoredAction memory stored = _actions[actionId];
        if (address(stored.adapter) == address(0)) revert UnknownAction(actionId);
        _checkLeaf(actionLeaves, leafIndex, actionId, params);
        ActionState memory current = _states[actionId];
        if (block.timestamp < current.until) return Outcome.AlreadyActive;
        _checkAlert(alert, current);
        // Restricted without us: governance's own, or left to it. It stays theirs, and we do not touch it.
        bool isEngaged = _isEngaged(stored.adapter);
        if (isEngaged && current.until == 0) return Outcome.AlreadyActive;

        Quorum memory quorum = _requireQuorum(alert, actionLeaves, stored.thresholdBps, certificate);
        // A restriction that ran out and was not yet cleared ends here, and the new one takes its place.
        if (current.until != 0) current.lastEndedAt = current.until;
        current.until = uint64(block.timestamp) + stored.maxDuration;
        current.ownerLifted = false;
        _states[actionId] = current;
        if (!isEngaged) _engage(actionId, stored, params);
        _emitResponded(actionId, uint8(stored.level), current.until, quorum);
        return Outcome.Acted;
    }

    // ---- anyone

    /// @notice Ends a restriction whose time is over.
    function expire(bytes32 actionId) external nonReentrant {
        ActionState memory current = _states[actionId];
        if (current.until == 0) revert NotActive(actionId);
        if (block.timestamp < current.until) revert NotYetExpired(current.until, block.timestamp);
        // The time at which it was over, not the time of this call: nobody moves the cooldown by waiting.
        uint64 endedAt = current.until;
        bool released = _end(actionId, current, endedAt);
        emit Expired(actionId, endedAt, released);
    }

    // ---- the owner

    /// @notice Ends a restriction at once.
    function lift(bytes32 actionId) external onlyOwner nonReentrant {
        ActionState memory current = _states[actionId];
        if (current.until == 0) revert NotActive(actionId);
        bool released = _end(actionId, current, uint64(block.timestamp));
        emit Lifted(actionId, uint64(block.timestamp), released);
    }

    /// @notice Makes a restriction governance's own: it no longer runs out, and the network will not lift it.
    function adopt(bytes32 actionId) external onlyOwner nonReentrant {
        ActionState memory current = _states[actionId];
        if (current.until == 0) revert NotActive(actionId);
        _close(actionId, current, uint64(block.timestamp));
        emit Adopted(actionId, uint64(block.timestamp));
    }

    /// @notice Approves the policy under which alerts may act; zero withdraws approval.
    function setPolicy(bytes32 policyHash_) external onlyOwner {
        policyHash = policyHash_;
        emit PolicySet(policyHash_);
    }

    /// @notice Longest chain of causes that an alert may have.
    function setMaxCauseDepth(uint8 maxCauseDepth_) external onlyOwner {
        maxCauseDepth = maxCauseDepth_;
        emit MaxCauseDepthSet(maxCauseDepth_);
    }

    /// @notice Allows an action, or changes one that is not active. Alerts observed until now cannot use it.
    function setAction(bytes32 actionId, ActionConfig calldata config) external onlyOwner nonReentrant {
        ActionState memory current = _states[actionId];
        if (current.until != 0) revert ActionActive(actionId, current.until);
        _checkConfig(config);
        _actions[actionId] = StoredAction({
            adapter: config.adapter,
            level: config.level,
            thresholdBps: config.thresholdBps,
            minGas: config.minGas,
            maxDuration: config.maxDuration
        });
        current.cooldown = config.cooldown;
        if (current.observedAfter < block.timestamp) current.observedAfter = uint64(block.timestamp);
        _states[actionId] = current;
        emit ActionSet(
            actionId,
            address(config.adapter),
            uint8(config.level),
            config.thresholdBps,
            config.minGas,
            config.maxDuration,
            config.cooldown
        );
    }

    /// @notice Forgets an action that is not active. Its state stays, so that no old alert comes back with it.
    function removeAction(bytes32 actionId) external onlyOwner {
        if (address(_actions[actionId].adapter) == address(0)) revert UnknownAction(actionId);
        uint64 until = _states[actionId].until;
        if (until != 0) revert ActionActive(actionId, until);
        delete _actions[actionId];
        emit ActionRemoved(actionId);
    }

    /// @dev Ownership moves by `requestOwnershipHandover` and `completeOwnershipHandover` only.
    function transferOwnership(address) public payable override {
        revert UseOwnershipHandover();
    }

    /// @dev A guardian without an owner could never be lifted.
    function renounceOwnership() public payable override {
        revert UseOwnershipHandover();
    }

    // ---- views

    /// @notice The action as the owner set it; the adapter is zero when there is none.
    function action(bytes32 actionId) external view returns (ActionConfig memory) {
        StoredAction memory stored = _actions[actionId];
        return ActionConfig({
            adapter: stored.adapter,
            level: stored.level,
            thresholdBps: stored.thresholdBps,
            minGas: stored.minGas,
            maxDuration: stored.maxDuration,
            cooldown: _states[actionId].cooldown
        });
    }

    /// @notice Where the action stands; `until` is zero when the network holds no restriction.
    function state(bytes32 actionId)
        external
        view
        returns (uint64 until, uint64 lastEndedAt, uint64 observedAfter, bool ownerLifted)
    {
        ActionState memory stored = _states[actionId];
        return (stored.until, stored.lastEndedAt, stored.observedAfter, stored.ownerLifted);
    }

    /// @notice Whether the action could be carried out now; `reason` is an ASCII word otherwise.
    function readiness(bytes32 actionId) external view returns (bool ok, bytes32 reason) {
        IAdapter adapter = _actions[actionId].adapter;
        if (address(adapter) == address(0)) return (false, "UNKNOWN_ACTION");
        if (policyHash == bytes32(0)) return (false, "POLICY_UNSET");
        if (_states[actionId].ownerLifted && _isEngaged(adapter)) return (false, "LEFT_TO_OWNER");
        (bool answered, bytes memory answer) =
            BoundedCall.read(address(adapter), READY_GAS, abi.encodeCall(IAdapter.ready, ()));
        if (!answered || answer.length < 64) return (false, "ADAPTER_FAILED");
        (uint256 isReady, bytes32 why) = abi.decode(answer, (uint256, bytes32));
        return (isReady == 1, why);
    }

    // ---- checks

    /// @dev Chain and address are read here and never cached: a fork of the chain is another chain.
    function _checkLeaf(
        bytes32[] calldata actionLeaves,
        uint256 leafIndex,
        bytes32 actionId,
        bytes calldata params
    ) private view {
        uint256 leaves = actionLeaves.length;
        if (leaves > AlertLib.MAX_ACTIONS) revert LeafCountInvalid(leaves, AlertLib.MAX_ACTIONS);
        if (leafIndex >= leaves) revert LeafIndexOutOfRange(leafIndex, leaves);
        bytes32 expected = AlertLib.actionLeaf(block.chainid, address(this), actionId, keccak256(params));
        bytes32 given = actionLeaves[leafIndex];
        if (given != expected) revert LeafMismatch(given, expected);
    }

    /// @dev Cheap checks, all before the verifier is called.
    function _checkAlert(Alert calldata alert, ActionState memory current) private view {
        if (alert.verdict != AlertLib.VERDICT_THREAT) revert VerdictNotThreat(alert.verdict);
        bytes32 approved = policyHash;
        if (approved == bytes32(0) || alert.policyHash != approved) {
            revert PolicyNotApproved(alert.policyHash, approved);
        }
        if ((alert.causeDepth == 0) != (alert.causeDigest == bytes32(0))) {
            revert CauseInvalid(alert.causeDigest, alert.causeDepth);
        }
        if (alert.causeDepth != 0 && alert.causeDepth > maxCauseDepth) {
            revert CauseTooDeep(alert.causeDepth, maxCauseDepth);
        }

        if (alert.observedAt > block.timestamp) revert AlertFromFuture(alert.observedAt, block.timestamp);
        if (alert.expiresAt < block.timestamp) revert AlertExpired(alert.expiresAt, block.timestamp);
        // From the two lines above: observedAt <= now <= expiresAt.
        if (alert.expiresAt == alert.observedAt || alert.expiresAt - alert.observedAt > AlertLib.MAX_TTL) {
            revert AlertWindowInvalid(alert.observedAt, alert.expiresAt, AlertLib.MAX_TTL);
        }
        uint256 observedAfter = current.observedAfter;
        // Ran out and not yet cleared: what `expire` would write.
        if (current.until != 0) observedAfter = uint256(current.until) + current.cooldown;
        if (alert.observedAt <= observedAfter) revert AlertTooOld(alert.observedAt, observedAfter);

        if (alert.sourceChainId == block.chainid) _checkAnchor(alert.anchorNumber, alert.anchorHash);
    }

    function _checkAnchor(uint256 number, bytes32 hash) private view {
        AnchorLib.Anchor anchor = AnchorLib.check(number, hash);
        if (anchor == AnchorLib.Anchor.NotPast) revert AnchorNotPast(number, block.number);
        if (anchor == AnchorLib.Anchor.Differs) revert AnchorUnknownBlock(number, hash);
    }

    function _checkConfig(ActionConfig calldata config) private view {
        uint8 level = uint8(config.level);
        if (config.level == Level.Alert) revert LevelInvalid(level);
        // limit > 1/3, freeze > 1/2, pause > 2/3; the comparison itself is strict.
        (uint256 parts, uint256 of_, uint16 floor) = config.level == Level.Limit
            ? (uint256(1), uint256(3), uint16(3334))
            : config.level == Level.Freeze
                ? (uint256(1), uint256(2), uint16(5000))
                : (uint256(2), uint256(3), uint16(6667));
        if (uint256(config.thresholdBps) * of_ < parts * BPS) {
            revert ThresholdBelowFloor(level, config.thresholdBps, floor);
        }
        if (config.thresholdBps >= BPS) revert ThresholdUnreachable(config.thresholdBps, uint16(BPS - 1));
        if (config.maxDuration == 0 || config.maxDuration > MAX_DURATION) {
            revert DurationInvalid(config.maxDuration, MAX_DURATION);
        }
        if (config.minGas < MIN_ACTION_GAS) revert MinGasTooLow(config.minGas, MIN_ACTION_GAS);
        if (config.adapter.guardian() != address(this)) revert AdapterNotOurs(address(config.adapter));
    }

    /// @dev The threshold is the action's own, from storage.
    function _requireQuorum(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        uint16 thresholdBps,
        bytes calldata certificate
    ) private view returns (Quorum memory quorum) {
        quorum.epoch = alert.epoch;
        quorum.slotId = AlertLib.slotId(alert);
        bytes32 actionsHash = AlertLib.actionsHash(actionLeaves);
        quorum.digest = AlertLib.digest(networkId, alert, quorum.slotId, actionsHash);
        (quorum.signedWeight, quorum.totalWeight) =
            verifier.verify(quorum.digest, alert.epoch, alert.headerHash, thresholdBps, certificate);
    }

    // ---- effects

    /// @dev 63/64 of the gas left must cover `minGas`, so a submitter cannot starve the call; one that is
    ///      starved after it reverts whole, and the certificate can be delivered again.
    function _engage(bytes32 actionId, StoredAction memory stored, bytes calldata params) private {
        bytes memory data = abi.encodeCall(IAdapter.engage, (params));
        if (gasleft() * 63 < uint256(stored.minGas) * 64 + 63 * RESERVE_GAS) {
            revert GasTooLow(gasleft(), stored.minGas, RESERVE_GAS);
        }
        (bool ok, bytes memory returned) = BoundedCall.call(address(stored.adapter), stored.minGas, data);
        if (!ok) revert ActionFailed(actionId, returned);
        if (!_isEngaged(stored.adapter)) revert EffectMissing(actionId);
    }

    /// @dev State first, then the target. A target that is not restricted any more needs no call.
    function _end(bytes32 actionId, ActionState memory current, uint64 endedAt)
        private
        returns (bool released)
    {
        IAdapter adapter = _actions[actionId].adapter;
        _close(actionId, current, endedAt);
        if (!_isEngaged(adapter)) return true;
        (bool ok, bytes memory returned) =
            BoundedCall.call(address(adapter), gasleft(), abi.encodeCall(IAdapter.release, ()));
        if (!ok || returned.length < 32) revert ActionFailed(actionId, returned);
        released = bytes32(returned) == bytes32(uint256(1)) && !_isEngaged(adapter);
        if (!released) _states[actionId].ownerLifted = true;
    }

    function _close(bytes32 actionId, ActionState memory current, uint64 endedAt) private {
        current.until = 0;
        current.lastEndedAt = endedAt;
        current.observedAfter = endedAt + current.cooldown;
        current.ownerLifted = false;
        _states[actionId] = current;
    }

    function _emitResponded(bytes32 actionId, uint8 level, uint64 until, Quorum memory quorum) private {
        emit Responded(
            quorum.digest,
            actionId,
            level,
            until,
            quorum.signedWeight,
            quorum.totalWeight,
            quorum.epoch,
            quorum.slotId
        );
    }

    function _isEngaged(IAdapter adapter) private view returns (bool) {
        (bool ok, bytes32 word) =
            BoundedCall.readWord(address(adapter), READ_GAS, abi.encodeCall(IAdapter.engaged, ()));
        return ok && word == bytes32(uint256(1));
    }
}
