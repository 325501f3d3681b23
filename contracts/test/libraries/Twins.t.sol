// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {AnchorLib} from "../../src/libraries/AnchorLib.sol";
import {Bls12381, G1Point, G2Point} from "../../src/libraries/Bls12381.sol";
import {BoundedCall} from "../../src/libraries/BoundedCall.sol";
import {HandoverLib} from "../../src/libraries/HandoverLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {Signer} from "../support/Signer.sol";

/// @title Twins: every piece of assembly in src/libraries, said again in plain Solidity
/// @notice Each test asks both the same and compares. What needs curve points runs less often.
abstract contract Twins is Test {
    /// @dev As many bytes as asked for, all from the seed.
    function bytesFrom(bytes32 seed, uint256 length) internal pure returns (bytes memory data) {
        while (data.length < length) {
            data = abi.encodePacked(data, keccak256(abi.encode(seed, data.length)));
        }
        assembly {
            mstore(data, length)
        }
    }
}

/// @notice Bytes to points and back.
contract PointTwinsTest is Twins {
    function coordinate(bytes memory data, uint256 offset) private pure returns (uint256 high, uint256 low) {
        for (uint256 i = 0; i < 48; ++i) {
            uint8 next = uint8(data[offset + i]);
            if (i < 16) high = high << 8 | next;
            else low = low << 8 | next;
        }
    }

    function plainG1(bytes memory data, uint256 offset) private pure returns (G1Point memory point) {
        (point.xHigh, point.xLow) = coordinate(data, offset);
        (point.yHigh, point.yLow) = coordinate(data, offset + 48);
    }

    function plainG2(bytes memory data, uint256 offset) private pure returns (G2Point memory point) {
        (point.x0High, point.x0Low) = coordinate(data, offset);
        (point.x1High, point.x1Low) = coordinate(data, offset + 48);
        (point.y0High, point.y0Low) = coordinate(data, offset + 96);
        (point.y1High, point.y1Low) = coordinate(data, offset + 144);
    }

    function readG1(bytes calldata data, uint256 offset) external pure returns (G1Point memory) {
        return Bls12381.readG1(data, offset);
    }

    function readG2(bytes calldata data, uint256 offset) external pure returns (G2Point memory) {
        return Bls12381.readG2(data, offset);
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_PointsAreReadAsInPlainSolidity(bytes32 seed, uint8 offset) public view {
        bytes memory data = bytesFrom(seed, uint256(offset) + 192);

        assertEq(abi.encode(this.readG1(data, offset)), abi.encode(plainG1(data, offset)));
        assertEq(abi.encode(this.readG2(data, offset)), abi.encode(plainG2(data, offset)));
        assertEq(abi.encode(Bls12381.loadG2(data, offset)), abi.encode(plainG2(data, offset)));
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_PointsAreWrittenAsInPlainSolidity(bytes32 seed) public pure {
        bytes memory data = bytesFrom(seed, 192);
        G2Point memory point = plainG2(data, 0);

        bytes memory plain = abi.encodePacked(
            abi.encodePacked(uint128(point.x0High), point.x0Low, uint128(point.x1High), point.x1Low),
            abi.encodePacked(uint128(point.y0High), point.y0Low, uint128(point.y1High), point.y1Low)
        );

        assertEq(Bls12381.rawG2(point), plain);
        assertEq(plain, data);
    }

    /// @dev p - y byte by byte, as on paper.
    function plainNegative(uint256 high, uint256 low) private pure returns (uint256, uint256) {
        bytes memory prime = abi.encodePacked(uint128(Bls12381.P_HIGH), Bls12381.P_LOW);
        bytes memory y = abi.encodePacked(uint128(high), low);
        uint256 borrow = 0;
        bool isZero = true;
        for (uint256 i = 48; i > 0; --i) {
            uint256 take = uint256(uint8(y[i - 1])) + borrow;
            if (y[i - 1] != 0) isZero = false;
            borrow = take > uint8(prime[i - 1]) ? 1 : 0;
            y[i - 1] = bytes1(uint8(uint256(uint8(prime[i - 1])) + 256 * borrow - take));
        }
        return isZero ? (0, 0) : coordinate(y, 0);
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_NegationIsThatOfPaper(uint128 high, uint256 low, uint128 otherHigh, uint256 otherLow)
        public
        pure
    {
        // Below p, as every coordinate of a key is; high and low each at its edges, too.
        high = uint128(bound(high, 0, Bls12381.P_HIGH - 1));
        otherHigh = uint128(bound(otherHigh, 0, Bls12381.P_HIGH));
        if (otherHigh == Bls12381.P_HIGH) otherLow = bound(otherLow, 0, Bls12381.P_LOW - 1);
        G2Point memory point;
        (point.y0High, point.y0Low, point.y1High, point.y1Low) = (high, low, otherHigh, otherLow);
        (point.x0High, point.x1Low) = (otherLow, low);

        Bls12381.negate(point);

        (uint256 y0High, uint256 y0Low) = plainNegative(high, low);
        (uint256 y1High, uint256 y1Low) = plainNegative(otherHigh, otherLow);
        assertEq(abi.encode(point.y0High, point.y0Low), abi.encode(y0High, y0Low));
        assertEq(abi.encode(point.y1High, point.y1Low), abi.encode(y1High, y1Low));
        assertEq(abi.encode(point.x0High, point.x1Low), abi.encode(otherLow, low), "x stays");
    }
}

/// @notice Hashes and digests.
contract DigestTwinsTest is Twins {
    /// @dev RFC 9380 section 5.3.1 step by step, for any length.
    function plainExpand(bytes memory message, bytes memory tag, uint256 length)
        private
        pure
        returns (bytes memory uniform)
    {
        bytes memory tagPrime = abi.encodePacked(tag, uint8(tag.length));
        bytes32 first = sha256(
            abi.encodePacked(new bytes(64), message, uint8(length >> 8), uint8(length), uint8(0), tagPrime)
        );
        bytes32 last = 0;
        for (uint8 i = 1; uniform.length < length; ++i) {
            last = sha256(abi.encodePacked(first ^ last, i, tagPrime));
            uniform = abi.encodePacked(uniform, last);
        }
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_T07_MessagesAreExpandedAsTheRfcSays(bytes memory message, bytes32 seed, uint8 tagBytes)
        public
        pure
    {
        bytes memory tag = bytesFrom(seed, tagBytes);

        assertEq(Bls12381.expandMessage(message, tag), plainExpand(message, tag, 128));
    }

    function actionsHash(bytes32[] calldata leaves) external pure returns (bytes32) {
        return AlertLib.actionsHash(leaves);
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_ActionsAreHashedInARow(bytes32[] calldata leaves) public view {
        assertEq(this.actionsHash(leaves), keccak256(abi.encodePacked(leaves)));
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_HeaderIsDecodedAsItWasEncoded(HeaderLib.Header memory header, bytes32 seed)
        public
        pure
    {
        header.apk = bytesFrom(seed, 192);

        HeaderLib.Header memory decoded = HeaderLib.decode(HeaderLib.encode(header));

        assertEq(abi.encode(decoded), abi.encode(header));
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_HeaderIsDecodedAsInPlainSolidity(bytes32 seed) public view {
        bytes memory set = bytesFrom(seed, 302 + uint256(seed) % 64);

        assertEq(abi.encode(HeaderLib.decode(set)), abi.encode(this.plainDecode(set)));
    }

    function plainDecode(bytes calldata set) external pure returns (HeaderLib.Header memory) {
        return HeaderLib.Header({
            epoch: uint32(bytes4(set[0:4])),
            count: uint16(bytes2(set[4:6])),
            totalWeight: uint128(bytes16(set[6:22])),
            captureBlock: uint64(bytes8(set[22:30])),
            captureTime: uint64(bytes8(set[30:38])),
            validUntil: uint64(bytes8(set[38:46])),
            prevHeaderHash: bytes32(set[46:78]),
            leavesHash: bytes32(set[78:110]),
            apk: set[110:302]
        });
    }

    /// @dev The digest by hand, and no field that could be changed without it.
    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_HandoverDigestBindsEveryField(
        bytes32 networkId,
        uint32 epoch,
        bytes32 setHash,
        bytes32 nextSetHash,
        bytes32 change
    ) public pure {
        vm.assume(change != 0 && uint32(uint256(change)) != 0);
        bytes32 digest = HandoverLib.digest(networkId, epoch, setHash, nextSetHash);

        assertEq(
            digest,
            keccak256(
                abi.encodePacked(
                    keccak256(
                        "TocsinHandover(bytes32 networkId,uint32 epoch,bytes32 setHash,bytes32 nextSetHash)"
                    ),
                    networkId,
                    uint256(epoch),
                    setHash,
                    nextSetHash
                )
            )
        );
        assertNotEq(digest, HandoverLib.digest(networkId ^ change, epoch, setHash, nextSetHash));
        assertNotEq(
            digest, HandoverLib.digest(networkId, epoch ^ uint32(uint256(change)), setHash, nextSetHash)
        );
        assertNotEq(digest, HandoverLib.digest(networkId, epoch, setHash ^ change, nextSetHash));
        assertNotEq(digest, HandoverLib.digest(networkId, epoch, setHash, nextSetHash ^ change));
        if (setHash != nextSetHash) {
            assertNotEq(digest, HandoverLib.digest(networkId, epoch, nextSetHash, setHash));
        }
    }

    function digestOf(bytes32 network, Alert calldata alert, bytes32 actions)
        external
        pure
        returns (bytes32)
    {
        return AlertLib.digest(network, alert, AlertLib.slotId(alert), actions);
    }

    /// @dev The alert's words and nothing else: any other word, another digest.
    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_AlertDigestBindsEveryField(
        bytes32 network,
        Alert memory alert,
        bytes32 actions,
        uint256 field,
        bytes32 other
    ) public view {
        bytes32 digest = this.digestOf(network, alert, actions);
        assertEq(digest, plainDigest(network, alert, actions));

        bytes memory words = abi.encode(network, actions, alert);
        field = bound(field, 0, words.length / 32 - 1);
        bytes32 before;
        (before, other) = narrowed(words, field, other);
        for (uint256 i = 0; i < 32; ++i) {
            words[32 * field + i] = other[i];
        }
        (bytes32 network_, bytes32 actions_, Alert memory alert_) =
            abi.decode(words, (bytes32, bytes32, Alert));
        assertEq(this.digestOf(network_, alert_, actions_) == digest, before == other);
    }

    /// @dev The word at `field`, and `other` made narrow enough to stand in its place.
    function narrowed(bytes memory words, uint256 field, bytes32 other)
        private
        pure
        returns (bytes32 before, bytes32)
    {
        for (uint256 i = 0; i < 32; ++i) {
            before |= bytes32(words[32 * field + i]) >> (8 * i);
        }
        // epoch, verdict, observedAt, expiresAt and causeDepth, two words after network and actions.
        uint8[16] memory widths = [0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 8, 64, 64, 0, 0, 8];
        uint8 width = widths[field];
        return (before, width == 0 ? other : bytes32(uint256(other) & (1 << width) - 1));
    }

    function plainDigest(bytes32 network, Alert memory alert, bytes32 actions)
        private
        pure
        returns (bytes32)
    {
        bytes32 slot = keccak256(
            abi.encodePacked(
                keccak256(
                    "TocsinSlot(bytes32 policyHash,bytes32 ruleId,uint256 sourceChainId,uint256 anchorNumber,bytes32 anchorHash,bytes32 subject)"
                ),
                alert.policyHash,
                alert.ruleId,
                alert.sourceChainId,
                alert.anchorNumber,
                alert.anchorHash,
                alert.subject
            )
        );
        bytes memory head = abi.encodePacked(
            keccak256(
                "TocsinAlert(bytes32 networkId,uint32 epoch,bytes32 headerHash,bytes32 slotId,uint8 verdict,uint64 observedAt,uint64 expiresAt,bytes32 evidenceHash,bytes32 causeDigest,uint8 causeDepth,bytes32 actionsHash)"
            ),
            network,
            uint256(alert.epoch),
            alert.headerHash,
            slot
        );
        return keccak256(
            bytes.concat(
                head,
                abi.encodePacked(
                    uint256(alert.verdict),
                    uint256(alert.observedAt),
                    uint256(alert.expiresAt),
                    alert.evidenceHash,
                    alert.causeDigest,
                    uint256(alert.causeDepth),
                    actions
                )
            )
        );
    }
}

/// @notice Calls to precompiles, by their addresses and in the layout of EIP-2537.
contract PrecompileTwinsTest is Twins {
    uint256 private constant GAS = 1_000_000;
    uint256 private constant ORDER = Signer.ORDER;

    function timesG1(uint256 scalar) private view returns (G1Point memory) {
        (bool ok, bytes memory output) = address(0x0c).staticcall(abi.encode(Bls12381.generatorG1(), scalar));
        assertTrue(ok);
        return abi.decode(output, (G1Point));
    }

    function timesG2(uint256 scalar) private view returns (G2Point memory) {
        (bool ok, bytes memory output) = address(0x0e).staticcall(abi.encode(Bls12381.generatorG2(), scalar));
        assertTrue(ok);
        return abi.decode(output, (G2Point));
    }

    function addG1(G1Point memory sum, G1Point memory term) external view returns (bytes memory) {
        Bls12381.addG1(sum, term, GAS);
        return abi.encode(sum);
    }

    function addG2(G2Point memory sum, G2Point memory term) external view returns (bytes memory) {
        Bls12381.addG2(sum, term, GAS);
        return abi.encode(sum);
    }

    function expectSame(address precompile, bytes memory input, bytes memory call) private view {
        (bool plainOk, bytes memory plain) = precompile.staticcall{gas: GAS}(input);
        (bool ok, bytes memory answer) = address(this).staticcall(call);

        assertEq(ok, plainOk);
        if (ok) assertEq(abi.decode(answer, (bytes)), plain);
        else assertEq(answer, abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, precompile));
    }

    /// @dev Points, and with `spoiled` words that are none.
    /// forge-config: default.fuzz.runs = 512
    /// forge-config: prove.fuzz.runs = 10000
    function testFuzz_AdditionsAreThoseOfThePrecompiles(uint256 a, uint256 b, uint256 spoiled) public view {
        G1Point memory oneG1 = timesG1(a);
        G1Point memory otherG1 = timesG1(b);
        G2Point memory oneG2 = timesG2(a);
        G2Point memory otherG2 = timesG2(b);
        if (spoiled % 4 == 1) (oneG1.yLow, oneG2.y1Low) = (spoiled, spoiled);
        if (spoiled % 4 == 2) (otherG1.xHigh, otherG2.x0High) = (spoiled, spoiled);

        expectSame(address(0x0b), abi.encode(oneG1, otherG1), abi.encodeCall(this.addG1, (oneG1, otherG1)));
        expectSame(address(0x0d), abi.encode(oneG2, otherG2), abi.encodeCall(this.addG2, (oneG2, otherG2)));
    }

    /// @dev True for the right key and false for another, and with both at infinity true for any message.
    /// forge-config: default.fuzz.runs = 32
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_PairingIsThatOfThePrecompile(uint256 secret, uint256 message, bool isRight)
        public
        view
    {
        G1Point memory hash = timesG1(message);
        G1Point memory signature = timesG1(mulmod(secret, message, ORDER));
        G2Point memory key = timesG2(isRight ? secret : secret ^ 1);
        G2Point memory minusOne = timesG2(ORDER - 1);

        (bool ok, bytes memory output) =
            address(0x0f).staticcall{gas: GAS}(abi.encode(signature, minusOne, hash, key));

        assertTrue(ok);
        assertEq(Bls12381.isSignatureBy(signature, hash, key, GAS), abi.decode(output, (bool)));
        assertEq(abi.decode(output, (bool)), isRight || message % ORDER == 0);
    }

    /// @dev RFC 9380 section 3: two field elements, mapped and added.
    /// forge-config: default.fuzz.runs = 512
    /// forge-config: prove.fuzz.runs = 10000
    function testFuzz_T07_HashToCurveIsMapMapAdd(bytes memory message) public view {
        bytes memory tag = AlertLib.ALERT_DST;
        bytes memory uniform = Bls12381.expandMessage(message, tag);

        (bool ok, bytes memory output) =
            address(0x0b).staticcall(bytes.concat(plainMap(uniform, 0), plainMap(uniform, 64)));

        assertTrue(ok);
        assertEq(abi.encode(Bls12381.hashToG1(message, tag, GAS)), output);
    }

    function plainMap(bytes memory uniform, uint256 offset) private view returns (bytes memory point) {
        bytes memory wide = new bytes(64);
        for (uint256 i = 0; i < 64; ++i) {
            wide[i] = uniform[offset + i];
        }
        bytes memory prime = abi.encode(Bls12381.P_HIGH, Bls12381.P_LOW);
        (, bytes memory element) = address(0x05)
            .staticcall(abi.encodePacked(uint256(64), uint256(1), uint256(64), wide, uint8(1), prime));
        (, point) = address(0x10).staticcall(element);
    }
}

/// @notice Answers as it is told: a flag, a length, and bytes.
contract Parrot {
    fallback() external {
        (bool succeeds, bytes memory answer) = abi.decode(msg.data, (bool, bytes));
        if (!succeeds) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
        assembly {
            return(add(answer, 32), mload(answer))
        }
    }
}

/// @notice Calls to targets.
contract CallTwinsTest is Twins {
    address private target = address(new Parrot());

    function firstBytes(bytes memory data, uint256 most) private pure returns (bytes memory part) {
        part = new bytes(data.length < most ? data.length : most);
        for (uint256 i = 0; i < part.length; ++i) {
            part[i] = data[i];
        }
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_CallsAreBoundedPlainCalls(bool succeeds, bytes32 seed, uint16 length, bool isEmpty)
        public
    {
        bytes memory order = abi.encode(succeeds, bytesFrom(seed, length % 600));
        address to = isEmpty ? address(0xE0E0) : target;
        (bool plainOk, bytes memory plain) = to.call{gas: 1_000_000}(order);

        (bool ok, bytes memory returned) = BoundedCall.call(to, 1_000_000, order);
        (bool readOk, bytes memory read) = BoundedCall.read(to, 1_000_000, order);
        (bool wordOk, bytes32 word) = BoundedCall.readWord(to, 1_000_000, order);

        assertEq(ok, plainOk && !isEmpty);
        assertEq(returned, firstBytes(plain, 256));
        assertEq(readOk, ok);
        assertEq(read, returned);
        assertEq(wordOk, ok && plain.length >= 32);
        assertEq(word, wordOk ? bytes32(firstBytes(plain, 32)) : bytes32(0));
    }

    /// @dev What is beyond BLOCKHASH comes from the history contract, by a plain call.
    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_HistoryIsAskedAsByAPlainCall(uint64 blockNumber, bytes32 known) public {
        vm.roll(uint256(type(uint64).max) + 300);
        vm.mockCall(AnchorLib.HISTORY, abi.encode(uint256(blockNumber)), abi.encode(known));
        (, bytes memory plain) = AnchorLib.HISTORY.staticcall(abi.encode(uint256(blockNumber)));

        assertEq(AnchorLib.blockHash(blockNumber), abi.decode(plain, (bytes32)));
        vm.clearMockedCalls();
    }
}
