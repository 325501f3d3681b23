// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Bls12381, G1Point, G2Point} from "../../src/libraries/Bls12381.sol";

/// @title Signer: BLS keys and signatures made with the EIP-2537 multiplications. For tests.
/// @notice A sum of signatures over one message is the signature of the sum of the keys; the tests aggregate
///         scalars where the contract adds points, so neither can hide the other's mistake.
library Signer {
    uint256 internal constant ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    function key(uint256 seed) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("tocsin test key", seed))) % ORDER;
    }

    function publicKey(uint256 secret) internal view returns (bytes memory) {
        G2Point memory generator = Bls12381.generatorG2();
        (bool ok, bytes memory output) = address(0x0e).staticcall(abi.encode(generator, secret));
        require(ok && output.length == 256, "G2MSM");
        return Bls12381.rawG2(abi.decode(output, (G2Point)));
    }

    function sign(uint256 secret, bytes32 digest, bytes memory tag) internal view returns (bytes memory) {
        G1Point memory hash = Bls12381.hashToG1(abi.encodePacked(digest), tag, 1_000_000);
        (bool ok, bytes memory output) = address(0x0c).staticcall(abi.encode(hash, secret));
        require(ok && output.length == 128, "G1MSM");
        return rawG1(abi.decode(output, (G1Point)));
    }

    function rawG1(G1Point memory point) internal pure returns (bytes memory) {
        return abi.encodePacked(uint128(point.xHigh), point.xLow, uint128(point.yHigh), point.yLow);
    }
}
