// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title IStakeSource: what stands behind an operator's word
/// @notice All that the registry knows of stake. The default is a bond in one ERC-20; a restaking system gets
///         another implementation. Amounts are in the source's own unit, the same for all operators.
interface IStakeSource {
    /// @notice The caller is not the registry that this source serves.
    error NotRegistry(address caller, address registry);

    /// @notice The registry whose operators are backed here.
    function registry() external view returns (address);

    /// @notice Stake that counts for `operator` from the next capture on. Stake on its way out does not count.
    function stakeOf(address operator) external view returns (uint256);

    /// @notice Stake that a slash could still take, counted and on its way out.
    function slashableOf(address operator) external view returns (uint256);

    /// @notice An operator registers. Only the registry calls this.
    /// @param data the operator's own words to this source, for instance how much to bond
    /// @return stake what `stakeOf` says from now on
    function enter(address operator, bytes calldata data) external returns (uint256 stake);

    /// @notice An operator leaves the set. Only the registry calls this; stake becomes free after the unbonding
    ///         delay.
    function leave(address operator) external;

    /// @notice Takes up to `amount` for a proven fault. Only the registry calls this.
    /// @param reporter who brought the proof, and is paid `reward` of what is taken; the rest is burnt
    /// @return taken what was really taken; less than `amount` where less is there
    function slash(address operator, uint256 amount, uint256 reward, address reporter)
        external
        returns (uint256 taken);
}
