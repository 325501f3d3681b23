// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IInterchainSecurityModule, IRoutingIsm, ISM_ROUTING} from "./IInterchainSecurityModule.sol";
import {IRestrictions} from "./IRestrictions.sol";

/// @title GuardedIsm: another Hyperlane module's word, except while a guardian's action is in force
/// @notice Design. An app that names this as its security module is paused for messages by that guardian, without
///         a changed line of its own: it names the module that it had as `module`. Nothing is lost, as a message
///         that is refused can be delivered later. It presents itself as a routing module, so relayers make the
///         metadata for `module`, of whatever kind that is.
///
///         Trust. `module` decides on messages, and the guardian on time; both are fixed. The app's owner ends it
///         by naming another module. A restriction that the guardian's owner adopts is governance's own from there
///         on, and ends here.
///
///         Stateless.
contract GuardedIsm is IRoutingIsm {
    /// @notice Who decides while nothing is in force.
    IInterchainSecurityModule public immutable module;

    /// @notice Whose action stops messages.
    IRestrictions public immutable guardian;

    /// @notice The action.
    bytes32 public immutable actionId;

    error Restricted(bytes32 messageId, bytes32 actionId, uint64 until);

    /// @param module_   who decides while nothing is in force
    /// @param guardian_ whose action stops messages
    /// @param actionId_ the action, as the guardian's owner named it
    /// @dev Asks both once: a mistyped address reverts here, and not with the first message.
    constructor(IInterchainSecurityModule module_, IRestrictions guardian_, bytes32 actionId_) {
        // Asked for the revert of an address that cannot answer.
        // slither-disable-next-line unused-return
        module_.moduleType();
        // As above.
        // slither-disable-next-line unused-return
        guardian_.state(actionId_);
        module = module_;
        guardian = guardian_;
        actionId = actionId_;
    }

    /// @inheritdoc IInterchainSecurityModule
    function moduleType() external pure returns (uint8) {
        return ISM_ROUTING;
    }

    /// @inheritdoc IInterchainSecurityModule
    /// @dev Anyone may call. Reverts with Restricted while the action is in force; else says what `module` says.
    function verify(bytes calldata metadata, bytes calldata message) external returns (bool) {
        return route(message).verify(metadata, message);
    }

    /// @inheritdoc IRoutingIsm
    /// @dev Reverts with Restricted while the action is in force, so relayers wait.
    function route(bytes calldata message) public view returns (IInterchainSecurityModule) {
        uint64 until = guardian.state(actionId);
        if (block.timestamp < until) revert Restricted(keccak256(message), actionId, until);
        return module;
    }
}
