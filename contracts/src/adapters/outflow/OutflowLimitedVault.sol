// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {OutflowLimiter} from "./OutflowLimiter.sol";

/// @title OutflowLimitedVault: an ERC-4626 vault before another, with a limit on what leaves
/// @notice The vault behind it stays as it is. Whoever comes in through the wrapper holds shares of the wrapper, each
///         of which is one share of the vault that the wrapper holds: no price of its own, no rounding, nothing to
///         inflate. Leaving goes through the limit, counted in units of the asset. Shares may change hands freely.
///
///         What it does not do: bound those who hold shares of the vault itself.
///
///         Trust. The vault is trusted as its depositors trust it. The owner sets the limit and names the limiter; it
///         has no hand on shares or assets. Shares of the vault that are sent here without a deposit are nobody's.
///
///         Storage. slots of ERC20 and Ownable2Step, then the three of OutflowLimiter.
contract OutflowLimitedVault is ERC20, IERC4626, Ownable2Step, ReentrancyGuardTransient, OutflowLimiter {
    using SafeERC20 for IERC20;

    /// @notice The vault behind this one.
    IERC4626 public immutable vault;

    IERC20 private immutable _asset;
    uint8 private immutable _decimals;

    /// @param vault_  the vault behind this one
    /// @param owner_  governance
    /// @param window  seconds in which at most `limit` units of the asset leave
    /// @param limit   units of the asset
    constructor(
        IERC4626 vault_,
        address owner_,
        uint32 window,
        uint256 limit,
        string memory name_,
        string memory symbol_
    ) ERC20(name_, symbol_) Ownable(owner_) OutflowLimiter(window, limit) {
        vault = vault_;
        _asset = IERC20(vault_.asset());
        _decimals = IERC20Metadata(address(vault_)).decimals();
    }

    // ---- the owner

    /// @notice Sets the limit, in units of the asset for each window, and ends what the limiter did. For the owner
    ///         alone.
    /// @param limit units of the asset in any window
    function setOutflowLimit(uint256 limit) external onlyOwner {
        _setOutflowLimit(limit);
    }

    /// @notice Names who may tighten the limit; zero: nobody. For the owner alone.
    function setOutflowLimiter(address limiter) external onlyOwner {
        _setOutflowLimiter(limiter);
    }

    // ---- in

    /// @inheritdoc IERC4626
    function deposit(uint256 assets, address receiver) external nonReentrant returns (uint256 shares) {
        _pull(assets);
        shares = vault.deposit(assets, address(this));
        _mint(receiver, shares);
        emit Deposit(msg.sender, receiver, assets, shares);
    }

    /// @inheritdoc IERC4626
    function mint(uint256 shares, address receiver) external nonReentrant returns (uint256 assets) {
        uint256 quoted = vault.previewMint(shares);
        _pull(quoted);
        assets = vault.mint(shares, address(this));
        _mint(receiver, shares);
        emit Deposit(msg.sender, receiver, assets, shares);
        // A vault may ask for less than it quoted.
        if (assets < quoted) _asset.safeTransfer(msg.sender, quoted - assets);
    }

    // ---- out

    /// @inheritdoc IERC4626
    function withdraw(uint256 assets, address receiver, address owner_)
        external
        nonReentrant
        returns (uint256 shares)
    {
        _spendOutflow(assets);
        shares = vault.withdraw(assets, receiver, address(this));
        _burnFor(owner_, shares);
        emit Withdraw(msg.sender, receiver, owner_, assets, shares);
    }

    /// @inheritdoc IERC4626
    function redeem(uint256 shares, address receiver, address owner_)
        external
        nonReentrant
        returns (uint256 assets)
    {
        _burnFor(owner_, shares);
        assets = vault.redeem(shares, receiver, address(this));
        _spendOutflow(assets);
        emit Withdraw(msg.sender, receiver, owner_, assets, shares);
    }

    // ---- views

    /// @inheritdoc IERC4626
    function asset() external view returns (address) {
        return address(_asset);
    }

    /// @inheritdoc IERC20Metadata
    function decimals() public view override(ERC20, IERC20Metadata) returns (uint8) {
        return _decimals;
    }

    /// @inheritdoc IERC4626
    function totalAssets() external view returns (uint256) {
        return vault.convertToAssets(totalSupply());
    }

    /// @inheritdoc IERC4626
    function convertToShares(uint256 assets) external view returns (uint256) {
        return vault.convertToShares(assets);
    }

    /// @inheritdoc IERC4626
    function convertToAssets(uint256 shares) external view returns (uint256) {
        return vault.convertToAssets(shares);
    }

    /// @inheritdoc IERC4626
    function maxDeposit(address) external view returns (uint256) {
        return vault.maxDeposit(address(this));
    }

    /// @inheritdoc IERC4626
    function maxMint(address) external view returns (uint256) {
        return vault.maxMint(address(this));
    }

    /// @inheritdoc IERC4626
    /// @dev Never more than is left of the limit.
    function maxWithdraw(address owner_) external view returns (uint256) {
        uint256 ofVault = Math.min(vault.previewRedeem(_maxShares(owner_)), vault.maxWithdraw(address(this)));
        return Math.min(ofVault, outflowLeft());
    }

    /// @inheritdoc IERC4626
    /// @dev Never more than is left of the limit.
    function maxRedeem(address owner_) external view returns (uint256) {
        uint256 shares = _maxShares(owner_);
        uint256 left = outflowLeft();
        if (vault.previewRedeem(shares) <= left) return shares;
        return Math.min(shares, vault.convertToShares(left));
    }

    /// @inheritdoc IERC4626
    function previewDeposit(uint256 assets) external view returns (uint256) {
        return vault.previewDeposit(assets);
    }

    /// @inheritdoc IERC4626
    function previewMint(uint256 shares) external view returns (uint256) {
        return vault.previewMint(shares);
    }

    /// @inheritdoc IERC4626
    function previewWithdraw(uint256 assets) external view returns (uint256) {
        return vault.previewWithdraw(assets);
    }

    /// @inheritdoc IERC4626
    function previewRedeem(uint256 shares) external view returns (uint256) {
        return vault.previewRedeem(shares);
    }

    // ---- internals

    function _pull(uint256 assets) private {
        _asset.safeTransferFrom(msg.sender, address(this), assets);
        _asset.forceApprove(address(vault), assets);
    }

    function _burnFor(address owner_, uint256 shares) private {
        if (msg.sender != owner_) _spendAllowance(owner_, msg.sender, shares);
        _burn(owner_, shares);
    }

    function _maxShares(address owner_) private view returns (uint256) {
        return Math.min(balanceOf(owner_), vault.maxRedeem(address(this)));
    }
}
