// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Dependency, IGuardianEvents, LiftTerms} from "../interfaces/IGuardianEvents.sol";
import {Action} from "../libraries/ActionWords.sol";

/// @title GuardianStorage: what a guardian remembers
/// @notice Both halves of a guardian, `Guardian` and `GuardianOffice`, run on this layout.
///
///         slot 0            `_policyHash`
///         slot 1            `_maxCauseDepth` (1 byte)
///         slot 2            `_actions`: actionId => terms 32; standing 32 (see ActionWords)
///         slot 3            `_liftTerms`: actionId => minHold 4; graceAction 32; graceSeconds 3
///         slot 4            `_predecessors`: actionId => actionId
///         slot 5            `_actionIds`
///         slot 6            `_dependencies`: chainId 32; guardian 20
///         slot 7            `_tank`: maxPerResponse 9, maxPerWindow 9, window 3, tipCap 6, budgetFullAt 5
///         transient slot 0  `_gasAtStart`, the lock
///
///         The owner stands in Solady's owner slot. A pause reads slot 0 and the two of its action, and writes
///         one of these. A standing is never zero once its action was set, so the first response overwrites it
///         instead of paying for a new slot.
abstract contract GuardianStorage is IGuardianEvents {
    struct Tank {
        uint72 maxPerResponse;
        uint72 maxPerWindow;
        uint24 window;
        uint48 tipCap;
        uint40 budgetFullAt;
    }

    // Written by `GuardianOffice`, which runs on this storage by delegate call.
    // slither-disable-start uninitialized-state
    bytes32 internal _policyHash;
    uint8 internal _maxCauseDepth;
    mapping(bytes32 actionId => Action) internal _actions;
    mapping(bytes32 actionId => LiftTerms) internal _liftTerms;
    mapping(bytes32 actionId => bytes32) internal _predecessors;
    bytes32[] internal _actionIds;
    Dependency[] internal _dependencies;
    Tank internal _tank;
    // slither-disable-end uninitialized-state

    /// @dev The lock: the gas with which the outermost call began, zero outside of one.
    uint256 internal transient _gasAtStart;

    modifier nonReentrant() {
        _lock();
        _;
        _gasAtStart = 0;
    }

    modifier onlySelf() {
        if (msg.sender != address(this)) revert NotSelf(msg.sender);
        _;
    }

    function _lock() internal {
        if (_gasAtStart != 0) revert Reentered();
        _gasAtStart = gasleft();
    }
}
