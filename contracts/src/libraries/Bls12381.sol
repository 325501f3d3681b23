// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice Point of G1 as EIP-2537 takes it: x and y, each 48 bytes padded to 64.
struct G1Point {
    uint256 xHigh;
    uint256 xLow;
    uint256 yHigh;
    uint256 yLow;
}

/// @notice Point of G2 as EIP-2537 takes it: x.c0, x.c1, y.c0, y.c1, each 48 bytes padded to 64.
struct G2Point {
    uint256 x0High;
    uint256 x0Low;
    uint256 x1High;
    uint256 x1Low;
    uint256 y0High;
    uint256 y0Low;
    uint256 y1High;
    uint256 y1Low;
}

/// @title Bls12381: BLS signatures with the signature in G1 and the key in G2, over the EIP-2537 precompiles
/// @notice Twin of `consensus/bls.py`; the hash to the curve is RFC 9380 `BLS12381G1_XMD:SHA-256_SSWU_RO_`.
/// @dev Every precompile call has a gas limit (a malformed point burns all that it is given), must succeed,
///      must return the exact size (a call to an address without code succeeds and returns nothing), and
///      writes over a zeroed word. The additions do not check the subgroup: the pairing does, for the
///      signature and for the sum of keys.
library Bls12381 {
    address internal constant SHA256 = address(0x02);
    address internal constant MODEXP = address(0x05);
    address internal constant G1_ADD = address(0x0b);
    address internal constant G2_ADD = address(0x0d);
    address internal constant PAIRING = address(0x0f);
    address internal constant MAP_FP_TO_G1 = address(0x10);

    /// @notice The field's prime in two words, as a coordinate stands in memory.
    uint256 internal constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 internal constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    /// @notice A precompile failed, or returned another size than EIP-2537 says: bad point, too little gas, or
    ///         a chain without it.
    error PrecompileFailed(address precompile);

    /// @notice A tag of RFC 9380 has at most 255 bytes.
    error TagTooLong(uint256 length);

    // ---- points

    /// @notice The generator of G1.
    function generatorG1() internal pure returns (G1Point memory) {
        return G1Point({
            xHigh: 0x17f1d3a73197d7942695638c4fa9ac0f,
            xLow: 0xc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb,
            yHigh: 0x08b3f481e3aaa0f1a09e30ed741d8ae4,
            yLow: 0xfcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1
        });
    }

    /// @notice The generator of G2.
    function generatorG2() internal pure returns (G2Point memory) {
        return G2Point({
            x0High: 0x024aa2b2f08f0a91260805272dc51051,
            x0Low: 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8,
            x1High: 0x13e02b6052719f607dacd3a088274f65,
            x1Low: 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e,
            y0High: 0x0ce5d527727d6e118cc9cdc6da2e351a,
            y0Low: 0xadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801,
            y1High: 0x0606c4a02ea734cc32acd2b02bc28b99,
            y1Low: 0xcb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be
        });
    }

    /// @notice Reads 96 raw bytes x|y of `data` at `offset`. The caller has checked the length.
    function readG1(bytes calldata data, uint256 offset) internal pure returns (G1Point memory point) {
        assembly ("memory-safe") {
            let from := add(data.offset, offset)
            calldatacopy(add(point, 16), from, 48)
            calldatacopy(add(point, 80), add(from, 48), 48)
        }
    }

    /// @notice Reads 192 raw bytes x.c0|x.c1|y.c0|y.c1 of `data` at `offset`. The caller has checked the length.
    function readG2(bytes calldata data, uint256 offset) internal pure returns (G2Point memory point) {
        assembly ("memory-safe") {
            let from := add(data.offset, offset)
            calldatacopy(add(point, 16), from, 48)
            calldatacopy(add(point, 80), add(from, 48), 48)
            calldatacopy(add(point, 144), add(from, 96), 48)
            calldatacopy(add(point, 208), add(from, 144), 48)
        }
    }

    /// @notice As `readG2`, from memory.
    function loadG2(bytes memory data, uint256 offset) internal pure returns (G2Point memory point) {
        assembly ("memory-safe") {
            let from := add(add(data, 32), offset)
            mcopy(add(point, 16), from, 48)
            mcopy(add(point, 80), add(from, 48), 48)
            mcopy(add(point, 144), add(from, 96), 48)
            mcopy(add(point, 208), add(from, 144), 48)
        }
    }

    /// @notice The 192 raw bytes of a point.
    function rawG2(G2Point memory point) internal pure returns (bytes memory raw) {
        raw = new bytes(192);
        assembly ("memory-safe") {
            let to := add(raw, 32)
            mcopy(to, add(point, 16), 48)
            mcopy(add(to, 48), add(point, 80), 48)
            mcopy(add(to, 96), add(point, 144), 48)
            mcopy(add(to, 144), add(point, 208), 48)
        }
    }

    function isInfinity(G1Point memory point) internal pure returns (bool) {
        return point.xHigh | point.xLow | point.yHigh | point.yLow == 0;
    }

    function isInfinity(G2Point memory point) internal pure returns (bool) {
        return point.x0High | point.x0Low | point.x1High | point.x1Low | point.y0High | point.y0Low
                | point.y1High | point.y1Low == 0;
    }

    /// @notice Negates a point of G2 in place: y becomes p - y, zero stays zero.
    /// @dev Expects canonical coordinates, as every key has after registration.
    function negate(G2Point memory point) internal pure {
        (point.y0High, point.y0Low) = _negateField(point.y0High, point.y0Low);
        (point.y1High, point.y1Low) = _negateField(point.y1High, point.y1Low);
    }

    function _negateField(uint256 high, uint256 low) private pure returns (uint256, uint256) {
        if (high | low == 0) return (0, 0);
        unchecked {
            return (P_HIGH - high - (low > P_LOW ? 1 : 0), P_LOW - low);
        }
    }

    // ---- precompiles

    /// @notice Adds `term` to `sum`, in place.
    function addG2(G2Point memory sum, G2Point memory term, uint256 gasLimit) internal view {
        bool ok;
        assembly ("memory-safe") {
            let input := mload(0x40)
            mcopy(input, sum, 256)
            mcopy(add(input, 256), term, 256)
            ok := staticcall(gasLimit, 0x0d, input, 512, sum, 256)
            ok := and(ok, eq(returndatasize(), 256))
        }
        if (!ok) revert PrecompileFailed(G2_ADD);
    }

    /// @notice Whether `signature` over the hashed message `hash` was made by the holder of `key`:
    ///         e(signature, -G2) * e(hash, key) == 1.
    /// @dev True for (infinity, any hash, infinity): callers refuse infinity first. Reverts on a point that is
    ///      off the curve, off the subgroup or not canonical.
    function isSignatureBy(
        G1Point memory signature,
        G1Point memory hash,
        G2Point memory key,
        uint256 gasLimit
    ) internal view returns (bool isOne) {
        bool ok;
        assembly ("memory-safe") {
            let input := mload(0x40)
            mcopy(input, signature, 128)
            mstore(add(input, 128), 0x024aa2b2f08f0a91260805272dc51051)
            mstore(add(input, 160), 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8)
            mstore(add(input, 192), 0x13e02b6052719f607dacd3a088274f65)
            mstore(add(input, 224), 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e)
            mstore(add(input, 256), 0x0d1b3cc2c7027888be51d9ef691d77bc)
            mstore(add(input, 288), 0xb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa)
            mstore(add(input, 320), 0x13fa4d4a0ad8b1ce186ed5061789213d)
            mstore(add(input, 352), 0x993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed)
            mcopy(add(input, 384), hash, 128)
            mcopy(add(input, 512), key, 256)
            mstore(0x00, 0)
            ok := staticcall(gasLimit, 0x0f, input, 768, 0x00, 32)
            ok := and(ok, eq(returndatasize(), 32))
            isOne := eq(mload(0x00), 1)
        }
        if (!ok) revert PrecompileFailed(PAIRING);
    }

    /// @notice Adds `term` to `sum`, in place.
    function addG1(G1Point memory sum, G1Point memory term, uint256 gasLimit) internal view {
        bool ok;
        assembly ("memory-safe") {
            let input := mload(0x40)
            mcopy(input, sum, 128)
            mcopy(add(input, 128), term, 128)
            ok := staticcall(gasLimit, 0x0b, input, 256, sum, 128)
            ok := and(ok, eq(returndatasize(), 128))
        }
        if (!ok) revert PrecompileFailed(G1_ADD);
    }

    /// @notice hash_to_curve of RFC 9380 section 3, suite `BLS12381G1_XMD:SHA-256_SSWU_RO_` (section 8.8.1).
    /// @param message any bytes; in Tocsin always a 32-byte digest
    /// @param tag     domain separation tag, at most 255 bytes
    /// @dev The precompile's map clears the cofactor; map, map, add equals map, map, add, clear, as clearing is
    ///      a homomorphism.
    function hashToG1(bytes memory message, bytes memory tag, uint256 gasLimit)
        internal
        view
        returns (G1Point memory point)
    {
        bytes memory uniform = expandMessage(message, tag);
        point = _mapToG1(uniform, 0, gasLimit);
        addG1(point, _mapToG1(uniform, 64, gasLimit), gasLimit);
    }

    /// @notice expand_message_xmd of RFC 9380 section 5.3.1 with SHA-256, to 128 bytes.
    function expandMessage(bytes memory message, bytes memory tag) internal pure returns (bytes memory) {
        if (tag.length > 255) revert TagTooLong(tag.length);
        bytes memory suffix = abi.encodePacked(tag, uint8(tag.length));
        // 64 zero bytes, the message, the length to make as two bytes, and a zero byte.
        bytes32 b0 = sha256(abi.encodePacked(bytes32(0), bytes32(0), message, uint24(128 << 8), suffix));
        bytes32 b1 = sha256(abi.encodePacked(b0, uint8(1), suffix));
        bytes32 b2 = sha256(abi.encodePacked(b0 ^ b1, uint8(2), suffix));
        bytes32 b3 = sha256(abi.encodePacked(b0 ^ b2, uint8(3), suffix));
        bytes32 b4 = sha256(abi.encodePacked(b0 ^ b3, uint8(4), suffix));
        return abi.encodePacked(b1, b2, b3, b4);
    }

    /// @dev Reduces the 64 bytes at `offset` mod p (MODEXP with exponent 1) and maps them to the curve.
    function _mapToG1(bytes memory uniform, uint256 offset, uint256 gasLimit)
        private
        view
        returns (G1Point memory point)
    {
        bool reduced;
        bool mapped;
        assembly ("memory-safe") {
            let input := mload(0x40)
            mstore(input, 64)
            mstore(add(input, 32), 1)
            mstore(add(input, 64), 64)
            mcopy(add(input, 96), add(add(uniform, 32), offset), 64)
            mstore8(add(input, 160), 1)
            mstore(add(input, 161), P_HIGH)
            mstore(add(input, 193), P_LOW)
            reduced := staticcall(gasLimit, 0x05, input, 225, input, 64)
            reduced := and(reduced, eq(returndatasize(), 64))
            mapped := staticcall(gasLimit, 0x10, input, 64, point, 128)
            mapped := and(mapped, eq(returndatasize(), 128))
        }
        if (!reduced) revert PrecompileFailed(MODEXP);
        if (!mapped) revert PrecompileFailed(MAP_FP_TO_G1);
    }
}
