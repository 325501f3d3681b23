// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title TokenVault: an ERC-4626 vault that holders of PAUSER_ROLE may pause. An example of a protocol.
/// @notice Plain OpenZeppelin parts, as such vaults are usually put together; it knows nothing of watchers.
///         While it is paused nothing comes in and nothing goes out.
///
///         Storage: as ERC20, ERC4626, AccessControl and Pausable.
contract TokenVault is ERC4626, AccessControl, Pausable {
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    /// @param governance holds the admin role, and may pause
    constructor(IERC20 asset_, address governance) ERC20("Vault share", "vSHARE") ERC4626(asset_) {
        _grantRole(DEFAULT_ADMIN_ROLE, governance);
        _grantRole(PAUSER_ROLE, governance);
    }

    /// @notice Stops deposits and withdrawals. PAUSER_ROLE only.
    function pause() external onlyRole(PAUSER_ROLE) {
        _pause();
    }

    /// @notice Opens them again. PAUSER_ROLE only.
    function unpause() external onlyRole(PAUSER_ROLE) {
        _unpause();
    }

    function _deposit(address caller, address receiver, uint256 assets, uint256 shares)
        internal
        override
        whenNotPaused
    {
        super._deposit(caller, receiver, assets, shares);
    }

    function _withdraw(address caller, address receiver, address holder, uint256 assets, uint256 shares)
        internal
        override
        whenNotPaused
    {
        super._withdraw(caller, receiver, holder, assets, shares);
    }
}
