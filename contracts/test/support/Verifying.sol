// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Network} from "./Network.sol";

/// @title Verifying: one digest, seven operators, and a verifier that is asked about them. For tests.
abstract contract Verifying is Network {
    bytes32 internal constant DIGEST = keccak256("an alert");
    uint16 internal constant TWO_THIRDS = 6667;

    function setUp() public virtual {
        setUpNetwork();
    }

    function verify(bytes memory certificate) internal view returns (uint128, uint128) {
        return verifier.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    function expectRevert(bytes memory reason, bytes memory certificate) internal {
        vm.expectRevert(reason);
        verifier.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    function everybody() internal view returns (uint256[] memory indices) {
        return firstOf(entries.length);
    }

    function firstOf(uint256 count) internal pure returns (uint256[] memory indices) {
        indices = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            indices[i] = i;
        }
    }
}
