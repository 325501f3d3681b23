// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {HeaderLib} from "../libraries/HeaderLib.sol";

/// @title OperatorRecord: an operator's public key and peer id, written once, as the code of an account
/// @notice Layout: key 192 raw bytes | multihash of the peer id, the rest. Nine storage slots would cost
///         200,000 gas, the code costs 80,000, and a capture reads it for one cold access in place of six.
library OperatorRecord {
    function write(bytes memory publicKey, bytes memory peerId) internal returns (address record) {
        return SSTORE2.write(bytes.concat(publicKey, peerId));
    }

    /// @notice The key of a record that exists.
    function publicKeyOf(address record) internal view returns (bytes memory) {
        return SSTORE2.read(record, 0, HeaderLib.PUBLIC_KEY_BYTES);
    }

    /// @notice The peer id of a record that exists.
    function peerIdOf(address record) internal view returns (bytes memory) {
        return SSTORE2.read(record, HeaderLib.PUBLIC_KEY_BYTES);
    }
}
