// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {IAdapter} from "../interfaces/IAdapter.sol";
import {TargetAdapter} from "./TargetAdapter.sol";

/// @title RoleRevocationAdapter: takes one role from one account
/// @notice For a key that may be in the wrong hands. The target keeps the roles: an OpenZeppelin AccessControl, or an
///         AccessManager. The adapter holds the role's admin role, which could also grant; it has no code that does.
///         So a release gives nothing back: the owner grants the role anew when the account can be trusted again.
///
///         An account that is admin of its own role grants itself what was taken; readiness says so.
///
///         Storage: none.
contract RoleRevocationAdapter is TargetAdapter {
    /// @notice Who keeps the roles.
    enum Registry {
        AccessControl,
        AccessManager
    }

    /// @notice What kind of contract the target is.
    Registry public immutable registry;

    /// @notice The role; of an AccessManager its number.
    bytes32 public immutable role;

    /// @notice The account that loses it.
    address public immutable account;

    /// @notice An AccessManager's roles have 64 bits, and its public role is everybody's.
    error RoleInvalid(bytes32 role);
    /// @notice The account given at construction is nobody.
    error AccountZero();

    constructor(address guardian_, address target_, Registry registry_, bytes32 role_, address account_)
        TargetAdapter(guardian_, target_)
    {
        if (registry_ == Registry.AccessManager && uint256(role_) >= type(uint64).max) {
            revert RoleInvalid(role_);
        }
        if (account_ == address(0)) revert AccountZero();
        registry = registry_;
        role = role_;
        account = account_;
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone. `params` must be empty.
    function engage(bytes calldata params) external onlyGuardian {
        _refuseParameters(params);
        _callTarget(
            registry == Registry.AccessControl
                ? abi.encodeCall(IAccessControl.revokeRole, (role, account))
                : abi.encodeCall(IAccessManager.revokeRole, (_roleNumber(role), account))
        );
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone. Always false: the owner grants the role anew.
    function release() external view onlyGuardian returns (bool released) {
        return false;
    }

    /// @inheritdoc IAdapter
    function engaged() external view returns (bool) {
        (bool ok, bool isMember,) = _membership(role, account);
        return ok && !isMember;
    }

    /// @inheritdoc IAdapter
    function ready() external view returns (bool ok, bytes32 reason) {
        (ok,,) = _membership(role, account);
        if (!ok) return (false, "ROLE_NOT_READABLE");
        bytes32 adminRole;
        (ok, adminRole) = _readTarget(
            registry == Registry.AccessControl
                ? abi.encodeCall(IAccessControl.getRoleAdmin, (role))
                : abi.encodeCall(IAccessManager.getRoleAdmin, (_roleNumber(role)))
        );
        if (!ok) return (false, "ROLE_NOT_READABLE");
        (, bool isMember, uint256 delaySeconds) = _membership(adminRole, address(this));
        if (!isMember || delaySeconds != 0) return (false, "NOT_ROLE_ADMIN");
        (, isMember,) = _membership(adminRole, account);
        if (isMember) return (false, "ACCOUNT_IS_ROLE_ADMIN");
        return (true, bytes32(0));
    }

    function _membership(bytes32 role_, address account_)
        private
        view
        returns (bool ok, bool isMember, uint256 delaySeconds)
    {
        bytes32 word;
        if (registry == Registry.AccessControl) {
            (ok, word) = _readTarget(abi.encodeCall(IAccessControl.hasRole, (role_, account_)));
            return (ok, word == bytes32(uint256(1)), 0);
        }
        bytes memory data = abi.encodeCall(IAccessManager.hasRole, (_roleNumber(role_), account_));
        (ok, word) = _readWordAt(target, data, 1);
        delaySeconds = uint256(word);
        if (ok) (ok, word) = _readTarget(data);
        return (ok, word == bytes32(uint256(1)), delaySeconds);
    }

    function _roleNumber(bytes32 role_) private pure returns (uint64) {
        return uint64(uint256(role_));
    }
}
