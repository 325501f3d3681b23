// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {
    ActionConfig,
    ActionState,
    Dependency,
    IGuardianOffice,
    Level,
    LiftTerms,
    TankTerms
} from "../interfaces/IGuardian.sol";
import {Mark, Standing, Terms, TermsLib} from "../libraries/ActionWords.sol";
import {Ladder} from "../libraries/Ladder.sol";
import {QuorumLib} from "../libraries/QuorumLib.sol";
import {TimeBudget} from "../libraries/TimeBudget.sol";
import {GuardianStorage} from "./GuardianStorage.sol";

/// @title GuardianTerms: what the owner of a guardian fixes beforehand
/// @notice Policy, actions and their terms, how restrictions may end early, on whom the protocol depends, and
///         what the tank pays. Nothing here touches a target.
abstract contract GuardianTerms is IGuardianOffice, GuardianStorage, Ownable {
    /// @notice Longest restriction that an owner may allow, seconds.
    uint24 public constant MAX_DURATION = 30 days;

    /// @notice Longest window of a budget, seconds.
    uint24 public constant MAX_WINDOW = 180 days;

    /// @notice Least gas that an action must set aside for its adapter.
    uint24 public constant MIN_ACTION_GAS = 50_000;

    /// @notice Most actions of one guardian: `disconnect` walks through all of them.
    uint256 public constant MAX_ACTIONS = 32;

    /// @notice Most declared dependencies.
    uint256 public constant MAX_DEPENDENCIES = 32;

    // ---- the factory

    /// @inheritdoc IGuardianOffice
    function initialize(address owner_, bytes32 policyHash_) external {
        if (owner_ == address(0)) revert NewOwnerIsZeroAddress();
        _initializeOwner(owner_);
        _setPolicy(policyHash_);
    }

    // ---- the owner

    /// @inheritdoc IGuardianOffice
    function setPolicy(bytes32 policyHash_) external onlyOwner {
        _setPolicy(policyHash_);
    }

    /// @inheritdoc IGuardianOffice
    function setAction(bytes32 actionId, ActionConfig calldata config) external onlyOwner nonReentrant {
        Standing standing = _actions[actionId].standing;
        if (standing.until() != 0) revert ActionActive(actionId, uint40(standing.until()));
        _checkConfig(config);
        if (!_actions[actionId].terms.isSet()) _addAction(actionId);
        _actions[actionId].terms = TermsLib.pack(config);
        uint256 observedAfter = _later(standing.observedAfter(), block.timestamp);
        // What an older and longer window has used up is not more than all that there is now.
        uint256 fullAt = _earlier(standing.budgetFullAt(), block.timestamp + config.window);
        _actions[actionId].standing = standing.configured(observedAfter, fullAt, config.budget, config.window);
        emit ActionSet(actionId, config, uint40(observedAfter), uint40(fullAt));
    }

    /// @inheritdoc IGuardianOffice
    function removeAction(bytes32 actionId) external onlyOwner nonReentrant {
        if (!_actions[actionId].terms.isSet()) revert UnknownAction(actionId);
        uint256 until = _actions[actionId].standing.until();
        if (until != 0) revert ActionActive(actionId, uint40(until));
        _actions[actionId].terms = Terms.wrap(0);
        delete _liftTerms[actionId];
        delete _predecessors[actionId];
        uint256 last = _actionIds.length - 1;
        for (uint256 i = 0; i < last; ++i) {
            if (_actionIds[i] == actionId) _actionIds[i] = _actionIds[last];
        }
        _actionIds.pop();
        emit ActionRemoved(actionId);
    }

    /// @inheritdoc IGuardianOffice
    function setLiftTerms(bytes32 actionId, LiftTerms calldata terms) external onlyOwner {
        if (!_actions[actionId].terms.isSet()) revert UnknownAction(actionId);
        uint24 maxSeconds = _actions[terms.graceAction].terms.maxDuration();
        bool isNamed = terms.graceAction != bytes32(0);
        // An unknown action or an alert has no duration, so no grace fits into it.
        if (
            isNamed != (terms.graceSeconds != 0) || terms.graceAction == actionId
                || terms.graceSeconds > maxSeconds
        ) {
            revert GraceInvalid(terms.graceAction, terms.graceSeconds, maxSeconds);
        }
        _liftTerms[actionId] = terms;
        emit LiftTermsSet(actionId, terms);
    }

    /// @inheritdoc IGuardianOffice
    function setPredecessor(bytes32 actionId, bytes32 predecessor) external onlyOwner {
        if (!_actions[actionId].terms.isSet()) revert UnknownAction(actionId);
        if (predecessor != bytes32(0) && _actions[predecessor].terms.level() != Level.Limit) {
            revert PredecessorInvalid(predecessor);
        }
        _predecessors[actionId] = predecessor;
        emit PredecessorSet(actionId, predecessor);
    }

    /// @inheritdoc IGuardianOffice
    function setMaxCauseDepth(uint8 maxCauseDepth_) external onlyOwner {
        _maxCauseDepth = maxCauseDepth_;
        emit MaxCauseDepthSet(maxCauseDepth_);
    }

    /// @inheritdoc IGuardianOffice
    function setDependencies(Dependency[] calldata dependencies_) external onlyOwner {
        if (dependencies_.length > MAX_DEPENDENCIES) {
            revert TooManyDependencies(dependencies_.length, MAX_DEPENDENCIES);
        }
        delete _dependencies;
        for (uint256 i = 0; i < dependencies_.length; ++i) {
            _dependencies.push(dependencies_[i]);
        }
        emit DependenciesSet(dependencies_);
    }

    /// @inheritdoc IGuardianOffice
    function setTank(TankTerms calldata terms) external onlyOwner nonReentrant {
        if (
            terms.maxPerResponse != 0
                && (terms.maxPerWindow < 2 * uint256(terms.maxPerResponse)
                    || terms.window == 0
                    || terms.window > MAX_WINDOW)
        ) {
            revert TankTermsInvalid(terms.maxPerResponse, terms.maxPerWindow, terms.window, MAX_WINDOW);
        }
        uint40 fullAt = uint40(_earlier(_tank.budgetFullAt, block.timestamp + terms.window));
        _tank = Tank({
            maxPerResponse: terms.maxPerResponse,
            maxPerWindow: terms.maxPerWindow,
            window: terms.window,
            tipCap: terms.tipCap,
            budgetFullAt: fullAt
        });
        emit TankSet(terms, fullAt);
    }

    /// @inheritdoc IGuardianOffice
    function withdraw(address payable to, uint256 amountWei) external onlyOwner nonReentrant {
        (bool ok,) = to.call{value: amountWei}("");
        if (!ok) revert WithdrawalFailed(to, amountWei);
        emit Withdrawn(to, amountWei);
    }

    /// @dev Ownership moves by `requestOwnershipHandover` and `completeOwnershipHandover` only.
    function transferOwnership(address) public payable override {
        revert UseOwnershipHandover();
    }

    /// @dev A guardian without an owner could never be lifted.
    function renounceOwnership() public payable override {
        revert UseOwnershipHandover();
    }

    /// @dev Solady: refuse a second initialisation.
    function _guardInitializeOwner() internal pure override returns (bool) {
        return true;
    }

    // ---- views

    /// @inheritdoc IGuardianOffice
    function policyHash() external view returns (bytes32) {
        return _policyHash;
    }

    /// @inheritdoc IGuardianOffice
    function maxCauseDepth() external view returns (uint8) {
        return _maxCauseDepth;
    }

    /// @inheritdoc IGuardianOffice
    function predecessorOf(bytes32 actionId) external view returns (bytes32) {
        return _predecessors[actionId];
    }

    /// @inheritdoc IGuardianOffice
    function action(bytes32 actionId) external view returns (ActionConfig memory) {
        Terms terms = _actions[actionId].terms;
        Standing standing = _actions[actionId].standing;
        return ActionConfig({
            adapter: terms.adapter(),
            level: terms.level(),
            thresholdBps: terms.thresholdBps(),
            minGas: terms.minGas(),
            maxDuration: terms.maxDuration(),
            cooldown: terms.cooldown(),
            budget: terms.isSet() ? standing.budget() : 0,
            window: terms.isSet() ? standing.window() : 0
        });
    }

    /// @inheritdoc IGuardianOffice
    function state(bytes32 actionId) external view returns (ActionState memory) {
        Standing standing = _actions[actionId].standing;
        return ActionState({
            until: uint40(standing.until()),
            startedAt: uint40(standing.startedAt()),
            observedAfter: uint40(standing.observedAfter()),
            lastEndedAt: uint40(standing.lastEndedAt()),
            budgetFullAt: uint40(standing.budgetFullAt()),
            isGrace: standing.mark() == Mark.Grace,
            ownerLifted: standing.mark() == Mark.LeftToOwner
        });
    }

    /// @inheritdoc IGuardianOffice
    function budgetLeft(bytes32 actionId) public view returns (uint256) {
        Standing standing = _actions[actionId].standing;
        if (!_actions[actionId].terms.isSet() || standing.budget() == 0) return 0;
        return TimeBudget.left(standing.budgetFullAt(), block.timestamp, standing.budget(), standing.window());
    }

    /// @inheritdoc IGuardianOffice
    function liftTerms(bytes32 actionId) external view returns (LiftTerms memory) {
        return _liftTerms[actionId];
    }

    /// @inheritdoc IGuardianOffice
    function actionIds() external view returns (bytes32[] memory) {
        return _actionIds;
    }

    /// @inheritdoc IGuardianOffice
    function dependencies() external view returns (Dependency[] memory) {
        return _dependencies;
    }

    /// @inheritdoc IGuardianOffice
    function tank() external view returns (TankTerms memory terms, uint40 budgetFullAt) {
        Tank memory stored = _tank;
        terms = TankTerms({
            maxPerResponse: stored.maxPerResponse,
            maxPerWindow: stored.maxPerWindow,
            window: stored.window,
            tipCap: stored.tipCap
        });
        return (terms, stored.budgetFullAt);
    }

    // ---- internals

    function _setPolicy(bytes32 policyHash_) internal {
        _policyHash = policyHash_;
        emit PolicySet(policyHash_);
    }

    function _addAction(bytes32 actionId) private {
        if (_actionIds.length == MAX_ACTIONS) revert TooManyActions(MAX_ACTIONS);
        _actionIds.push(actionId);
        // No all-clear ends what it restricts, until the owner says so.
        _liftTerms[actionId].minHold = type(uint32).max;
    }

    function _checkConfig(ActionConfig calldata config) private view {
        if (!Ladder.isAtFloor(config.level, config.thresholdBps)) {
            revert ThresholdBelowFloor(
                uint8(config.level), config.thresholdBps, Ladder.floorBps(config.level)
            );
        }
        if (config.thresholdBps >= QuorumLib.BPS) {
            revert ThresholdUnreachable(config.thresholdBps, uint16(QuorumLib.BPS - 1));
        }
        if (config.level == Level.Alert) _checkAlertOnly(config);
        else _checkRestriction(config);
    }

    function _checkAlertOnly(ActionConfig calldata config) private pure {
        if (
            address(config.adapter) != address(0) || config.minGas != 0 || config.maxDuration != 0
                || config.budget != 0 || config.window != 0
        ) revert AlertActsNot();
    }

    function _checkRestriction(ActionConfig calldata config) private view {
        if (config.maxDuration == 0 || config.maxDuration > MAX_DURATION) {
            revert DurationInvalid(config.maxDuration, MAX_DURATION);
        }
        // Half the budget is all that can be set at once: a whole restriction must fit into it.
        if (
            config.budget < 2 * uint256(config.maxDuration) || config.budget > config.window
                || config.window > MAX_WINDOW
        ) {
            revert BudgetInvalid(config.budget, config.window, config.maxDuration, MAX_WINDOW);
        }
        if (config.cooldown == 0) revert CooldownZero();
        if (config.minGas < MIN_ACTION_GAS) revert MinGasTooLow(config.minGas, MIN_ACTION_GAS);
        if (config.adapter.guardian() != address(this)) revert AdapterNotOurs(address(config.adapter));
        uint16 floor = config.adapter.floorBps();
        if (config.thresholdBps < floor) {
            revert ThresholdBelowFloor(uint8(config.level), config.thresholdBps, floor);
        }
    }

    function _later(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }

    function _earlier(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
