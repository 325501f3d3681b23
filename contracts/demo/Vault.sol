// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title Vault: an ERC-4626 vault with a limit on what leaves per hour. For the demonstration, never for production.
/// @notice Stands on the second chain, where one certificate that pauses the pool on the first sets this limit.
///         `setWithdrawLimit` and `pause` are `restricted` by an AccessManager.
///
///         Storage. slots of ERC20, AccessManaged and Pausable, then `withdrawLimit`, `_hour`, `_withdrawnInHour`.
contract Vault is ERC4626, AccessManaged, Pausable {
    /// @notice Most units of the asset that may leave in one hour of the clock, all holders together.
    uint256 public withdrawLimit = type(uint256).max;

    uint256 private _hour;
    uint256 private _withdrawnInHour;

    event WithdrawLimitSet(uint256 perHour);

    error WithdrawLimitReached(uint256 requested, uint256 left);

    constructor(address authority, IERC20 asset_, string memory name_, string memory symbol_)
        ERC20(name_, symbol_)
        ERC4626(asset_)
        AccessManaged(authority)
    {}

    function setWithdrawLimit(uint256 perHour) external restricted {
        withdrawLimit = perHour;
        emit WithdrawLimitSet(perHour);
    }

    function pause() external restricted {
        _pause();
    }

    function unpause() external restricted {
        _unpause();
    }

    /// @notice Units of the asset that may still leave in this hour.
    function withdrawableNow() public view returns (uint256) {
        uint256 withdrawn = _hour == block.timestamp / 1 hours ? _withdrawnInHour : 0;
        return withdrawLimit > withdrawn ? withdrawLimit - withdrawn : 0;
    }

    function _withdraw(address caller, address receiver, address owner, uint256 assets, uint256 shares)
        internal
        override
        whenNotPaused
    {
        uint256 left = withdrawableNow();
        if (assets > left) revert WithdrawLimitReached(assets, left);
        uint256 hour = block.timestamp / 1 hours;
        if (_hour != hour) {
            _hour = hour;
            _withdrawnInHour = 0;
        }
        _withdrawnInHour += assets;
        super._withdraw(caller, receiver, owner, assets, shares);
    }
}
