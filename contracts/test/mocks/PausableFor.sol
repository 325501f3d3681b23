// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

/// @title PausableUntil: a pause that ends by itself, behaving as Lido's contract of that name does. For tests.
abstract contract PausableUntil {
    uint256 public resumeSince;

    error ZeroPauseDuration();
    error PausedExpected();
    error ResumedExpected();

    function isPaused() public view returns (bool) {
        return block.timestamp < resumeSince;
    }

    function _pauseFor(uint256 durationSeconds) internal {
        if (isPaused()) revert ResumedExpected();
        if (durationSeconds == 0) revert ZeroPauseDuration();
        resumeSince =
            durationSeconds == type(uint256).max ? durationSeconds : block.timestamp + durationSeconds;
    }

    function _resume() internal {
        if (!isPaused()) revert PausedExpected();
        resumeSince = block.timestamp;
    }
}

/// @title PausableFor: rights by roles, as Lido's contracts have them. For tests.
contract PausableFor is PausableUntil, AccessControl {
    bytes32 public constant PAUSE_ROLE = keccak256("PAUSE_ROLE");
    bytes32 public constant RESUME_ROLE = keccak256("RESUME_ROLE");

    constructor(address admin) {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
    }

    function pauseFor(uint256 durationSeconds) external onlyRole(PAUSE_ROLE) {
        _pauseFor(durationSeconds);
    }

    function resume() external onlyRole(RESUME_ROLE) {
        _resume();
    }
}

/// @title ManagedPausableFor: rights by an AccessManager. For tests.
contract ManagedPausableFor is PausableUntil, AccessManaged {
    constructor(address authority) AccessManaged(authority) {}

    function pauseFor(uint256 durationSeconds) external restricted {
        _pauseFor(durationSeconds);
    }

    function resume() external restricted {
        _resume();
    }
}
