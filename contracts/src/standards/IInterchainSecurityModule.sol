// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @dev A kind of module for which Hyperlane's own relayers have no metadata.
uint8 constant ISM_UNUSED = 0;
/// @dev A module that names another one, whose metadata it takes.
uint8 constant ISM_ROUTING = 1;

/// @title IInterchainSecurityModule: who decides whether a Hyperlane message is delivered
/// @notice As in hyperlane-xyz/hyperlane-monorepo, `solidity/contracts/interfaces/IInterchainSecurityModule.sol`;
///         its numbers for kinds of modules are those of its `enum Types`.
interface IInterchainSecurityModule {
    /// @notice Tells relayers how to make the metadata.
    function moduleType() external view returns (uint8);

    /// @notice Whether the message may be delivered. A mailbox delivers only on true.
    function verify(bytes calldata metadata, bytes calldata message) external returns (bool);
}

/// @notice As in the same repository, `solidity/contracts/interfaces/isms/IRoutingIsm.sol`.
interface IRoutingIsm is IInterchainSecurityModule {
    /// @notice The module that decides on this message.
    function route(bytes calldata message) external view returns (IInterchainSecurityModule);
}
