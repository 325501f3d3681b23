// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title IRestrictions: what these contracts ask of a guardian
interface IRestrictions {
    /// @notice When the action's restriction is over, unix seconds; zero when there is none.
    /// @dev The first word of the answer of `IGuardian.state`; a guardian returns more, which is not read here.
    function state(bytes32 actionId) external view returns (uint64 until);
}
