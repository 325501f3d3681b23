// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title IStakeSource: what stands behind an operator's word
/// @notice All that the registry knows of stake. The default is a bond in one ERC-20; a restaking system gets
///         another implementation. Amounts are in the source's own unit, the same for all operators.
interface IStakeSource {
    /// @notice The caller is not the registry that this source serves.
    error NotRegistry(address caller, address registry);

    /// @notice The registry whose operators are backed here; fixed at deployment.
    function registry() external view returns (address);

    /// @notice Least time between stake that stops counting and stake that no slash can reach, seconds. Fixed at
    ///         deployment: the registry compares it with the life of its evidence once, in its constructor.
    function unbondingDelay() external view returns (uint64);

    /// @notice Stake that counts for `operator` from the next capture on. Stake on its way out does not count.
    function stakeOf(address operator) external view returns (uint256);

    /// @notice Stake that a slash could still take, counted and on its way out.
    function slashableOf(address operator) external view returns (uint256);

    /// @notice An operator registers. Only the registry calls this, and reads `stakeOf` afterwards.
    /// @param data the operator's own words to this source, for instance how much to bond
    function enter(address operator, bytes calldata data) external;

    /// @notice An operator leaves the set. Only the registry calls this; stake becomes free after the unbonding
    ///         delay.
    function leave(address operator) external;

    /// @notice Takes up to `amount` for a proven fault. Only the registry calls this.
    /// @param rewardBps share of what is taken that the reporter earns, in hundredths of a percent; the rest is
    ///                  burnt. A share, so that a reward can never exceed what is taken
    /// @param reporter  who brought the proof
    /// @return taken    what was really taken; less than `amount` where less is there
    function slash(address operator, uint256 amount, uint16 rewardBps, address reporter)
        external
        returns (uint256 taken);
}
