// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IInterchainSecurityModule} from "../../src/standards/IInterchainSecurityModule.sol";

/// @title Mailbox: delivers messages as Hyperlane's does, from its own chain. For tests.
contract Mailbox {
    mapping(bytes32 messageId => bool) public delivered;

    /// @dev version u8 | nonce u32 | origin u32 | sender 32 | destination u32 | recipient 32 | body
    function process(bytes calldata metadata, bytes calldata message) external {
        bytes32 messageId = keccak256(message);
        require(!delivered[messageId], "Mailbox: already delivered");
        delivered[messageId] = true;
        MailApp recipient = MailApp(address(uint160(uint256(bytes32(message[45:77])))));
        require(
            recipient.interchainSecurityModule().verify(metadata, message), "Mailbox: ISM verification failed"
        );
        recipient.handle(uint32(bytes4(message[5:9])), bytes32(message[9:41]), message[77:]);
    }
}

/// @title MailApp: keeps the last message that reached it. For tests.
contract MailApp {
    IInterchainSecurityModule public interchainSecurityModule;
    bytes public last;

    function setModule(IInterchainSecurityModule module) external {
        interchainSecurityModule = module;
    }

    function handle(uint32, bytes32, bytes calldata body) external {
        last = body;
    }
}

/// @title FixedIsm: says what it was told to say, to a metadata that it knows. For tests.
contract FixedIsm is IInterchainSecurityModule {
    uint8 public immutable moduleType;
    bytes32 private immutable _metadataHash;

    constructor(uint8 moduleType_, bytes memory metadata) {
        moduleType = moduleType_;
        _metadataHash = keccak256(metadata);
    }

    function verify(bytes calldata metadata, bytes calldata) external view returns (bool) {
        return keccak256(metadata) == _metadataHash;
    }
}
