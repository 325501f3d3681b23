// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    IERC7786GatewaySource,
    IERC7786Recipient
} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";
import {InteroperableAddress} from "@openzeppelin/contracts/utils/draft-InteroperableAddress.sol";

/// @title Gateway: an ERC-7786 gateway that delivers when it is told to, in any order, as often as one likes. For tests.
contract Gateway is IERC7786GatewaySource {
    struct Message {
        bytes sender;
        bytes recipient;
        bytes payload;
    }

    Message[] public messages;
    uint256 public fees;

    function supportsAttribute(bytes4) external pure returns (bool) {
        return false;
    }

    function sendMessage(bytes calldata recipient, bytes calldata payload, bytes[] calldata attributes)
        external
        payable
        returns (bytes32 sendId)
    {
        if (attributes.length != 0) revert UnsupportedAttribute(bytes4(attributes[0]));
        fees += msg.value;
        bytes memory sender = InteroperableAddress.formatEvmV1(block.chainid, msg.sender);
        messages.push(Message(sender, recipient, payload));
        sendId = bytes32(messages.length);
        emit MessageSent(sendId, sender, recipient, payload, 0, attributes);
    }

    function deliver(uint256 index) external payable {
        Message memory message = messages[index];
        (uint256 chainId, address recipient) = InteroperableAddress.parseEvmV1(message.recipient);
        require(chainId == block.chainid, "Gateway: another chain");
        receive_(recipient, message.sender, message.payload);
    }

    /// @dev What a gateway may do that lies.
    function receive_(address recipient, bytes memory sender, bytes memory payload) public payable {
        bytes4 answer = IERC7786Recipient(recipient).receiveMessage{value: msg.value}("id", sender, payload);
        require(answer == IERC7786Recipient.receiveMessage.selector, "Gateway: not received");
    }
}
