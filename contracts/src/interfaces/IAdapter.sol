// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title IAdapter: one way to brake one target
/// @notice The adapter holds the right on the target, the guardian holds none. It can do what its constructor
///         fixed and nothing else, and only its guardian can make it.
interface IAdapter {
    /// @notice The caller is not the adapter's guardian.
    error NotGuardian(address caller, address guardian);

    /// @notice This adapter's effect is fixed: it takes no parameters.
    error ParametersNotTaken(uint256 length);

    /// @notice The target refused; `returned` holds the first bytes of its answer.
    error TargetFailed(address target, bytes returned);

    /// @notice The guardian that may use this adapter.
    function guardian() external view returns (address);

    /// @notice Restricts the target.
    function engage(bytes calldata params) external;

    /// @notice Lifts what `engage` set.
    /// @return released false when this adapter cannot, or must leave it to the owner
    function release() external returns (bool released);

    /// @notice Whether the target is restricted, by whomever, as read from the target itself.
    function engaged() external view returns (bool);

    /// @notice Whether the adapter could act now; `reason` is an ASCII word otherwise.
    function ready() external view returns (bool ok, bytes32 reason);

    /// @notice Share of the weight, in bps, that an action through this adapter must exceed at least, whatever
    ///         its level; zero where the level's own floor is enough.
    function floorBps() external view returns (uint16);
}
