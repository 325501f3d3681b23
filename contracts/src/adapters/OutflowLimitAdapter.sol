// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../interfaces/IAdapter.sol";
import {Setting, SettingAdapter} from "./SettingAdapter.sol";

/// @title OutflowLimitAdapter: tightens a target's limit on outflow, within the owner's bounds
/// @notice `engage` takes the new limit as one word, in the target's own unit: from `floor` to `ceiling`, and below
///         the limit that stands. A limit at or below the ceiling counts as restricted, whoever set it. The floor is
///         never zero: an outflow of zero is a pause, and a pause needs more weight than a limit.
///
///         Made for `OutflowLimiter` (`brakeOutflow`, `outflowLimit`, right probe `outflowLimiter()`); any setter of
///         one number will do, where a lower number means less outflow.
///
///         Storage: as SettingAdapter.
contract OutflowLimitAdapter is SettingAdapter {
    /// @notice Tightest limit that the network may set, in the target's own unit.
    uint256 public immutable floor;

    /// @notice Loosest one, and the highest that counts as restricted.
    uint256 public immutable ceiling;

    /// @notice The floor must be above zero and not above the ceiling.
    error BoundsInvalid(uint256 floor, uint256 ceiling);
    /// @notice The limit asked for is outside the owner's bounds.
    error LimitOutOfBounds(uint256 given, uint256 floor, uint256 ceiling);
    /// @notice The limit asked for is not below the one that stands.
    error LimitNotTighter(uint256 given, uint256 current);

    constructor(address guardian_, address target_, Setting memory setting_, uint256 floor_, uint256 ceiling_)
        SettingAdapter(guardian_, target_, setting_)
    {
        if (floor_ == 0 || floor_ > ceiling_) revert BoundsInvalid(floor_, ceiling_);
        floor = floor_;
        ceiling = ceiling_;
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone. `params` is one word: the new limit.
    function engage(bytes calldata params) external onlyGuardian {
        uint256 limit = _requireWord(params);
        if (limit < floor || limit > ceiling) revert LimitOutOfBounds(limit, floor, ceiling);
        uint256 current = uint256(_probe());
        if (limit >= current) revert LimitNotTighter(limit, current);
        _set(bytes32(limit));
    }

    function _isRestricted(bytes32 word) internal view override returns (bool) {
        return uint256(word) <= ceiling;
    }

    /// @dev A limit of governance's own that counts as restricted would leave this adapter without a use.
    function _obstacle(bytes32 word) internal view override returns (bytes32 reason) {
        if (uint256(word) <= ceiling && !_isOurs(word)) return "ALREADY_LIMITED";
    }
}
