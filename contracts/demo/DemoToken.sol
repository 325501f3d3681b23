// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title DemoToken: an ERC-20 that anyone may mint. For the demonstration, never for production.
contract DemoToken is ERC20 {
    constructor(string memory name_, string memory symbol_) ERC20(name_, symbol_) {}

    /// @notice Mints `amount` units to `to`.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
