// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Administered: governance's own hand on an adapter, passed on in two steps
/// @notice The admin is the protocol's governance, not the guardian. It cannot be renounced: a right on the target
///         that nobody can take out would be lost with it.
///
///         Storage. two slots: `admin` (20 bytes), `pendingAdmin` (20 bytes).
abstract contract Administered {
    /// @notice Governance of the protocol.
    address public admin;

    /// @notice Has been offered to become `admin`.
    address public pendingAdmin;

    /// @notice The admin's place was offered; it stays as it is until accepted.
    event AdminOffered(address indexed admin, address indexed pendingAdmin);
    /// @notice Somebody else is the admin from here on.
    event AdminChanged(address indexed previous, address indexed admin);

    /// @notice The admin given at construction is nobody.
    error AdminZero();
    /// @notice The caller is not the admin, or not the one to whom the place was offered.
    error NotAdmin(address caller);

    modifier onlyAdmin() {
        if (msg.sender != admin) revert NotAdmin(msg.sender);
        _;
    }

    constructor(address admin_) {
        if (admin_ == address(0)) revert AdminZero();
        admin = admin_;
        emit AdminChanged(address(0), admin_);
    }

    /// @notice Offers the admin's place; `acceptAdmin` completes. Zero takes an offer back. For the admin alone.
    function offerAdmin(address pendingAdmin_) external onlyAdmin {
        pendingAdmin = pendingAdmin_;
        emit AdminOffered(admin, pendingAdmin_);
    }

    /// @notice Takes the place that was offered. For `pendingAdmin` alone.
    function acceptAdmin() external {
        if (msg.sender != pendingAdmin) revert NotAdmin(msg.sender);
        emit AdminChanged(admin, msg.sender);
        admin = msg.sender;
        pendingAdmin = address(0);
    }
}
