// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC7786GatewaySource} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";
import {IRestrictions} from "./IRestrictions.sol";

/// @notice That a guardian's action is in force: what an AlarmSource sends, ABI-encoded.
/// @param guardian on the source's chain
/// @param actionId action, as the guardian's owner named it
/// @param until    unix seconds of that chain at which the restriction is over
struct Alarm {
    address guardian;
    bytes32 actionId;
    uint64 until;
}

/// @title AlarmSource: tells other chains, by ERC-7786, that a guardian's action is in force
/// @notice Design. For bookkeeping, and for protocols that already trust a messaging standard's gateways; a brake on
///         another chain is otherwise pulled there, by certificate, without anybody between. Anyone may publish, by
///         any gateway, to any recipient, as often as it pays: what is sent is read from the guardian in the same
///         transaction, and a recipient trusts gateways of its own choice. One deployment serves a whole chain.
///
///         Anything may call itself a guardian, so an alarm says which one: recipients heed those that they know.
///
///         Stateless.
contract AlarmSource {
    /// @notice An alarm went to a gateway.
    event AlarmPublished(
        address indexed guardian,
        bytes32 indexed actionId,
        uint64 until,
        address gateway,
        bytes recipient,
        bytes32 sendId
    );

    error NotInForce(bytes32 actionId, uint64 until, uint256 time);

    /// @notice Sends that the action is in force, and until when. Anyone may call. Reverts with NotInForce where
    ///         nothing is, and with the gateway's own error where it does not send.
    /// @param guardian  whose action
    /// @param actionId  action, as the guardian's owner named it
    /// @param gateway   ERC-7786 gateway of this chain that the recipient trusts
    /// @param recipient ERC-7930 address of an AlarmRecipient
    /// @return sendId zero when the gateway needs nothing further, else its name for what is still to be done
    /// @dev The value goes to the gateway, whose fee it is.
    function publish(
        IRestrictions guardian,
        bytes32 actionId,
        IERC7786GatewaySource gateway,
        bytes calldata recipient
    ) external payable returns (bytes32 sendId) {
        uint64 until = guardian.state(actionId);
        if (block.timestamp >= until) revert NotInForce(actionId, until, block.timestamp);
        bytes memory payload =
            abi.encode(Alarm({guardian: address(guardian), actionId: actionId, until: until}));
        sendId = gateway.sendMessage{value: msg.value}(recipient, payload, new bytes[](0));
        emit AlarmPublished(address(guardian), actionId, until, address(gateway), recipient, sendId);
    }
}
