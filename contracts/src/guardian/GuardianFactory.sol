// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {LibClone} from "solady/utils/LibClone.sol";
import {IGuardianOffice} from "../interfaces/IGuardian.sol";

/// @title GuardianFactory: one clone per protocol, created and initialised in one step
/// @notice The address follows from owner, policy and salt, so whoever sends the transaction, the guardian at
///         that address belongs to that owner; a second call returns the one that is there. Nobody has a right
///         here. Storage: none.
contract GuardianFactory {
    /// @notice Code behind every clone.
    address public immutable implementation;

    /// @notice A guardian was created and belongs to `owner`.
    event GuardianCreated(address indexed guardian, address indexed owner, bytes32 policyHash, bytes32 salt);

    error ImplementationHasNoCode(address implementation);

    constructor(address implementation_) {
        if (implementation_.code.length == 0) revert ImplementationHasNoCode(implementation_);
        implementation = implementation_;
    }

    /// @notice Creates the guardian of `owner`, with a policy approved from the start (zero: none yet).
    function create(address owner, bytes32 policyHash, bytes32 salt)
        external
        returns (address payable guardian)
    {
        guardian = payable(predict(owner, policyHash, salt));
        if (guardian.code.length != 0) return guardian;
        guardian = payable(LibClone.cloneDeterministic(implementation, _salt(owner, policyHash, salt)));
        emit GuardianCreated(guardian, owner, policyHash, salt);
        IGuardianOffice(guardian).initialize(owner, policyHash);
    }

    /// @notice Address of that guardian, created or not.
    function predict(address owner, bytes32 policyHash, bytes32 salt) public view returns (address) {
        return
            LibClone.predictDeterministicAddress(
                implementation, _salt(owner, policyHash, salt), address(this)
            );
    }

    function _salt(address owner, bytes32 policyHash, bytes32 salt) private pure returns (bytes32) {
        return keccak256(abi.encode(owner, policyHash, salt));
    }
}
