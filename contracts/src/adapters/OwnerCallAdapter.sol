// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedCallAdapter} from "./FixedCallAdapter.sol";

/// @title OwnerCallAdapter: a fixed call on a target that obeys its owner alone
/// @notice This adapter is the target's owner. `admin`, the protocol's governance, acts on the target through
///         `execute` and takes ownership out with it (`transferOwnership`); the guardian can make the fixed
///         calls and nothing else. Whoever `admin` is has every right that the owner had before.
///
///         Storage: as FixedCallAdapter; slot 5 `admin` (20 bytes), slot 6 `pendingAdmin` (20 bytes).
contract OwnerCallAdapter is FixedCallAdapter {
    /// @notice Governance of the protocol.
    address public admin;

    /// @notice Has been offered to become `admin`.
    address public pendingAdmin;

    event AdminOffered(address indexed admin, address indexed pendingAdmin);
    event AdminChanged(address indexed previous, address indexed admin);
    event Executed(bytes4 indexed selector, uint256 valueWei);

    error AdminZero();
    error NotAdmin(address caller);

    modifier onlyAdmin() {
        if (msg.sender != admin) revert NotAdmin(msg.sender);
        _;
    }

    constructor(
        address guardian_,
        address target_,
        address admin_,
        bytes memory engageCall_,
        bytes memory releaseCall_,
        bytes memory probeCall_,
        Compare compare_,
        bytes32 expected_
    ) FixedCallAdapter(guardian_, target_, engageCall_, releaseCall_, probeCall_, compare_, expected_) {
        if (admin_ == address(0)) revert AdminZero();
        admin = admin_;
        emit AdminChanged(address(0), admin_);
    }

    /// @notice Calls the target as its owner. Governance trusts its own target, so the answer is not bounded.
    function execute(bytes calldata data) external payable onlyAdmin returns (bytes memory returned) {
        bool ok;
        (ok, returned) = target.call{value: msg.value}(data);
        if (!ok) revert TargetFailed(target, returned);
        emit Executed(bytes4(data), msg.value);
    }

    /// @notice Offers the admin's place; `acceptAdmin` completes.
    function offerAdmin(address pendingAdmin_) external onlyAdmin {
        pendingAdmin = pendingAdmin_;
        emit AdminOffered(admin, pendingAdmin_);
    }

    function acceptAdmin() external {
        if (msg.sender != pendingAdmin) revert NotAdmin(msg.sender);
        emit AdminChanged(admin, msg.sender);
        admin = msg.sender;
        pendingAdmin = address(0);
    }

    function _holdsRight(bytes4, bytes4) internal view override returns (bool ok, bytes32 reason) {
        if (_targetNames(abi.encodeWithSignature("owner()"))) return (true, bytes32(0));
        return (false, "NOT_OWNER");
    }
}
