// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title GasRefund: what a submitter is paid for gas
/// @notice The price is the transaction's own, but no more than the block's base fee and a tip that the payer has
///         fixed: base fee is burnt, so nobody gains by paying it, and a submitter that is also the block's
///         producer cannot pay itself a tip of its own choosing.
library GasRefund {
    /// @param gasUsed  gas of the transaction
    /// @param gasPrice wei per gas that the transaction pays
    /// @param baseFee  wei per gas that the block burns
    /// @param tipCap   most wei per gas above that
    /// @param cap      most wei altogether
    function amountWei(uint256 gasUsed, uint256 gasPrice, uint256 baseFee, uint256 tipCap, uint256 cap)
        internal
        pure
        returns (uint256)
    {
        uint256 price = gasPrice < baseFee + tipCap ? gasPrice : baseFee + tipCap;
        uint256 wanted = gasUsed * price;
        return wanted < cap ? wanted : cap;
    }
}
