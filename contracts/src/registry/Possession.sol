// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AlertLib} from "../libraries/AlertLib.sol";
import {Bls12381, G1Point, G2Point} from "../libraries/Bls12381.sol";
import {HeaderLib} from "../libraries/HeaderLib.sol";

/// @title Possession: whoever registers a key must hold it
/// @notice Keys are summed, so a key that is made from the others' (X minus their sum) would sign for everybody.
///         Nobody can prove possession of such a key. The digest binds key, operator, registry and chain, and
///         has a tag of its own.
library Possession {
    error PublicKeyLength(uint256 given, uint256 expected);
    error PossessionLength(uint256 given, uint256 expected);
    error KeyIsInfinity();
    error PossessionIsInfinity();
    error PossessionInvalid();

    /// @notice Reverts unless `possession` is the signature of `publicKey` over `digest`.
    /// @dev The pairing also refuses keys and signatures off the curve, off the subgroup or not canonical. It
    ///      comes last: a malformed point burns all of `pairingGas`.
    function requireProven(
        bytes calldata publicKey,
        bytes calldata possession,
        bytes32 digest,
        uint256 pointGas,
        uint256 pairingGas
    ) internal view {
        if (publicKey.length != HeaderLib.PUBLIC_KEY_BYTES) {
            revert PublicKeyLength(publicKey.length, HeaderLib.PUBLIC_KEY_BYTES);
        }
        if (possession.length != HeaderLib.SIGNATURE_BYTES) {
            revert PossessionLength(possession.length, HeaderLib.SIGNATURE_BYTES);
        }
        // With both at infinity the pairing would be one for any digest.
        G2Point memory key = Bls12381.readG2(publicKey, 0);
        if (Bls12381.isInfinity(key)) revert KeyIsInfinity();
        G1Point memory signature = Bls12381.readG1(possession, 0);
        if (Bls12381.isInfinity(signature)) revert PossessionIsInfinity();
        G1Point memory hash = Bls12381.hashToG1(abi.encodePacked(digest), AlertLib.POSSESSION_DST, pointGas);
        if (!Bls12381.isSignatureBy(signature, hash, key, pairingGas)) revert PossessionInvalid();
    }
}
