// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IStakeSource} from "../interfaces/IStakeSource.sol";
import {OperatorRegistry} from "./OperatorRegistry.sol";

/// @title BondedStake: operators' stake as a bond in one ERC-20
/// @notice Design. An operator bonds when it registers and may add at any time. What it unbonds stops counting at
///         once and is free `unbondingDelay` later; until it is really released, a slash can take it. All that
///         is on its way out has one date: unbonding more starts the delay anew for all of it, so whoever
///         unbonds in parts releases each before the next. In exchange an operator's whole account is
///         one slot, and a slash needs no loop. What is on its way out can come back to work with the next
///         registration, so an operator that was displaced needs no second bond.
///
///         A slash moves no token: reporter and burn address are owed, and anyone may have them paid. A token
///         that is paused, or refuses an address, cannot make a fault expire unpunished.
///
///         Trust. No owner and no upgrade. The registry is fixed at deployment, before it exists; until it
///         does, nobody can bond. The token must not rebase; a transfer that brings less than its amount is
///         refused.
///
///         Storage. slot 0: `_accounts` operator => (bonded 12 bytes, leaving 12, releasableAt 8); slot 1: `owed`.
contract BondedStake is IStakeSource {
    using SafeERC20 for IERC20;

    /// @param bonded       units of the token that count
    /// @param leaving      units on their way out
    /// @param releasableAt unix seconds from which those may be released
    struct Account {
        uint96 bonded;
        uint96 leaving;
        uint64 releasableAt;
    }

    /// @notice Longest delay that may be fixed, seconds.
    uint64 public constant MAX_UNBONDING_DELAY = 365 days;

    uint256 private constant BPS = 10_000;

    /// @notice Token of the bond.
    IERC20 public immutable token;
    /// @inheritdoc IStakeSource
    address public immutable registry;
    /// @inheritdoc IStakeSource
    uint64 public immutable unbondingDelay;
    /// @notice Where slashed stake goes, the reward apart.
    address public immutable burnAddress;

    mapping(address operator => Account) private _accounts;

    /// @notice Units of the token that an account may have paid: rewards, and what the burn address is due.
    mapping(address account => uint256) public owed;

    /// @notice `returned` of the stake came back from its way out, the rest from the operator's balance.
    event Bonded(address indexed operator, uint256 added, uint256 returned, uint256 bonded);
    /// @notice Stake stopped to count and is on its way out.
    event Unbonding(address indexed operator, uint256 removed, uint256 leaving, uint64 releasableAt);
    /// @notice Stake on its way out became free.
    event Released(address indexed operator, uint256 released);
    /// @notice Stake was taken for a proven fault.
    event Slashed(address indexed operator, address indexed reporter, uint256 taken, uint256 reward);
    /// @notice Free stake was paid out.
    event Paid(address indexed account, uint256 paid);

    error TokenWithoutCode(address token);
    error AddressZero();
    error DelayTooLong(uint64 given, uint64 max);
    error AmountZero();
    error BondTooLarge(uint256 given, uint256 max);
    error BondNotReceived(uint256 received, uint256 expected);
    error BondBelowMinimum(uint256 remaining, uint256 minStake);
    error UnbondTooLarge(uint256 given, uint256 bonded);
    error NotBonded(address operator);
    error NotReleasable(uint256 time, uint64 releasableAt, uint256 leaving);
    error NothingOwed(address account);

    modifier onlyRegistry() {
        if (msg.sender != registry) revert NotRegistry(msg.sender, registry);
        _;
    }

    /// @param token_          token of the bond
    /// @param registry_       address that the registry will have; its constructor checks this
    /// @param unbondingDelay_ seconds; the registry wants more than its evidence lives
    /// @param burnAddress_    where slashed stake goes; an address that the token lets receive
    constructor(IERC20 token_, address registry_, uint64 unbondingDelay_, address burnAddress_) {
        if (address(token_).code.length == 0) revert TokenWithoutCode(address(token_));
        if (registry_ == address(0) || burnAddress_ == address(0)) revert AddressZero();
        if (unbondingDelay_ > MAX_UNBONDING_DELAY) revert DelayTooLong(unbondingDelay_, MAX_UNBONDING_DELAY);
        token = token_;
        registry = registry_;
        unbondingDelay = unbondingDelay_;
        burnAddress = burnAddress_;
    }

    // ---- the operator

    /// @notice Adds to the sender's bond; counts from the next capture on. The sender has approved the units.
    /// @param amount units of the token
    function bond(uint256 amount) external {
        // Only the registry opens an account, and no transfer from outside moves this figure.
        // slither-disable-next-line incorrect-equality
        if (_accounts[msg.sender].bonded == 0) revert NotBonded(msg.sender);
        if (amount == 0) revert AmountZero();
        _bond(msg.sender, amount, 0);
    }

    /// @notice Takes a part of the sender's bond off; what remains must be enough. To take all, leave the
    ///         registry.
    /// @param amount units of the token
    function unbond(uint256 amount) external {
        uint256 bonded = _accounts[msg.sender].bonded;
        if (amount == 0) revert AmountZero();
        if (amount > bonded) revert UnbondTooLarge(amount, bonded);
        uint256 minStake = OperatorRegistry(registry).minStake();
        if (bonded - amount < minStake) revert BondBelowMinimum(bonded - amount, minStake);
        _unbond(msg.sender, uint96(amount));
    }

    /// @notice Pays the sender what it unbonded, after the delay.
    function release() external {
        Account storage account = _accounts[msg.sender];
        uint96 leaving = account.leaving;
        if (leaving == 0 || block.timestamp < account.releasableAt) {
            revert NotReleasable(block.timestamp, account.releasableAt, leaving);
        }
        (account.leaving, account.releasableAt) = (0, 0);
        emit Released(msg.sender, leaving);
        token.safeTransfer(msg.sender, leaving);
    }

    // ---- anyone

    /// @notice Pays an account what it is owed: a reporter its reward, the burn address what was burnt.
    function pay(address account) external {
        uint256 due = owed[account];
        if (due == 0) revert NothingOwed(account);
        owed[account] = 0;
        emit Paid(account, due);
        token.safeTransfer(account, due);
    }

    // ---- the registry

    /// @inheritdoc IStakeSource
    /// @dev `data` is `abi.encode(uint256 amount)`: how much to bond in all. What is on its way out comes back
    ///      first; the rest is moved from the operator, who has approved it.
    function enter(address operator, bytes calldata data) external onlyRegistry {
        uint256 amount = abi.decode(data, (uint256));
        uint256 leaving = _accounts[operator].leaving;
        _bond(operator, amount, amount < leaving ? amount : leaving);
    }

    /// @inheritdoc IStakeSource
    function leave(address operator) external onlyRegistry {
        _unbond(operator, _accounts[operator].bonded);
    }

    /// @inheritdoc IStakeSource
    function slash(address operator, uint256 amount, uint16 rewardBps, address reporter)
        external
        onlyRegistry
        returns (uint256 taken)
    {
        Account storage account = _accounts[operator];
        uint256 fromBonded = _min(amount, account.bonded);
        uint256 fromLeaving = _min(amount - fromBonded, account.leaving);
        account.bonded -= uint96(fromBonded);
        account.leaving -= uint96(fromLeaving);
        taken = fromBonded + fromLeaving;
        uint256 reward = taken * rewardBps / BPS;
        owed[reporter] += reward;
        owed[burnAddress] += taken - reward;
        emit Slashed(operator, reporter, taken, reward);
    }

    // ---- views

    /// @inheritdoc IStakeSource
    function stakeOf(address operator) external view returns (uint256) {
        return _accounts[operator].bonded;
    }

    /// @inheritdoc IStakeSource
    function slashableOf(address operator) external view returns (uint256) {
        Account storage account = _accounts[operator];
        return uint256(account.bonded) + account.leaving;
    }

    /// @notice An operator's account: units that count, units on their way out, and since when those are free.
    function accountOf(address operator)
        external
        view
        returns (uint96 bonded, uint96 leaving, uint64 releasableAt)
    {
        Account storage account = _accounts[operator];
        return (account.bonded, account.leaving, account.releasableAt);
    }

    // ---- internals

    /// @dev The bound is on the whole account: `_unbond` must never revert for one that is too large, else its
    ///      operator could neither be ejected nor slashed. A token that charges on transfer would leave weight
    ///      without tokens behind it.
    function _bond(address operator, uint256 amount, uint256 returned) private {
        Account storage account = _accounts[operator];
        uint256 most = type(uint96).max - uint256(account.bonded) - account.leaving + returned;
        if (amount > most) revert BondTooLarge(amount, most);
        account.bonded += uint96(amount);
        account.leaving -= uint96(returned);
        emit Bonded(operator, amount, returned, account.bonded);

        uint256 fresh = amount - returned;
        if (fresh == 0) return;
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(operator, address(this), fresh);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != fresh) revert BondNotReceived(received, fresh);
    }

    function _unbond(address operator, uint96 amount) private {
        Account storage account = _accounts[operator];
        uint64 releasableAt = uint64(block.timestamp) + unbondingDelay;
        account.bonded -= amount;
        account.leaving += amount;
        account.releasableAt = releasableAt;
        emit Unbonding(operator, amount, account.leaving, releasableAt);
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
