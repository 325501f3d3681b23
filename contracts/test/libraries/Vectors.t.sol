// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381, G1Point} from "../../src/libraries/Bls12381.sol";
import {HandoverLib} from "../../src/libraries/HandoverLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {SuccessionTerms} from "../../src/verifier/OperatorSetChain.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Signer} from "../support/Signer.sol";

/// @notice The twin in Python and this one say the same, byte for byte: `tests/vectors/README.md`.
abstract contract VectorsTest is Test {
    function file(string memory name) internal view returns (string memory) {
        return vm.readFile(string.concat("../tests/vectors/", name));
    }

    function countOf(string memory json) internal pure returns (uint256 count) {
        count = vm.parseJsonUint(json, ".count");
        assertGt(count, 0);
    }

    /// @dev One case at once, by the types of its fields: reading each on its own parses the file each time.
    function caseOf(string memory name, string memory list, uint256 index, string memory fields)
        internal
        view
        returns (bytes memory)
    {
        return this.parse(name, string.concat(".", list, "[", vm.toString(index), "]"), fields);
    }

    /// @dev From outside, so that the file's text leaves memory with the call.
    function parse(string memory name, string memory path, string memory fields)
        external
        view
        returns (bytes memory)
    {
        return vm.parseJsonType(file(name), path, string.concat("Row(", fields, ")"));
    }
}

contract AlertVectorsTest is VectorsTest {
    struct Actions {
        uint256[] actionChainIds;
        address[] actionGuardians;
        bytes32[] actionIds;
        bytes[] actionParams;
        bytes32[] actionLeaves;
    }

    struct Digests {
        string name;
        bytes32 networkId;
        bytes32 actionsHash;
        bytes32 slotId;
        bytes32 digest;
    }

    string private constant ACTIONS =
        "uint256[] actionChainIds,address[] actionGuardians,bytes32[] actionIds,bytes[] actionParams,bytes32[] actionLeaves";
    string private constant DIGESTS =
        "string name,bytes32 networkId,bytes32 actionsHash,bytes32 slotId,bytes32 digest";
    string private constant ALERT =
        "uint32 epoch,bytes32 headerHash,bytes32 policyHash,bytes32 ruleId,uint256 sourceChainId,uint256 anchorNumber,bytes32 anchorHash,bytes32 subject,uint8 verdict,uint64 observedAt,uint64 expiresAt,bytes32 evidenceHash,bytes32 causeDigest,uint8 causeDepth";

    function test_NamesOfTypes() public view {
        string memory json = file("alert.json");

        assertEq(
            AlertLib.networkId(
                vm.parseJsonUint(json, ".homeChainId"), vm.parseJsonAddress(json, ".registry")
            ),
            vm.parseJsonBytes32(json, ".networkId")
        );
        assertEq(AlertLib.ACTION_TYPEHASH, vm.parseJsonBytes32(json, ".actionTypehash"));
        assertEq(AlertLib.SLOT_TYPEHASH, vm.parseJsonBytes32(json, ".slotTypehash"));
        assertEq(AlertLib.ALERT_TYPEHASH, vm.parseJsonBytes32(json, ".alertTypehash"));
        assertEq(AlertLib.POSSESSION_TYPEHASH, vm.parseJsonBytes32(json, ".possessionTypehash"));
    }

    function test_AlertDigests() public view {
        uint256 count = countOf(file("alert.json"));
        assertGe(count, 20);
        for (uint256 i = 0; i < count; ++i) {
            Actions memory actions = abi.decode(caseOf("alert.json", "cases", i, ACTIONS), (Actions));
            Alert memory alert = abi.decode(caseOf("alert.json", "cases", i, ALERT), (Alert));
            Digests memory expected = abi.decode(caseOf("alert.json", "cases", i, DIGESTS), (Digests));

            checkLeaves(actions);
            this.checkAlert(alert, actions.actionLeaves, expected);
        }
    }

    function checkLeaves(Actions memory actions) private pure {
        for (uint256 i = 0; i < actions.actionLeaves.length; ++i) {
            bytes32 leaf = AlertLib.actionLeaf(
                actions.actionChainIds[i],
                actions.actionGuardians[i],
                actions.actionIds[i],
                keccak256(actions.actionParams[i])
            );
            assertEq(leaf, actions.actionLeaves[i]);
        }
    }

    function checkAlert(Alert calldata alert, bytes32[] calldata leaves, Digests calldata expected)
        external
        pure
    {
        bytes32 actionsHash = AlertLib.actionsHash(leaves);
        bytes32 slot = AlertLib.slotId(alert);

        assertEq(actionsHash, expected.actionsHash, expected.name);
        assertEq(slot, expected.slotId, expected.name);
        assertEq(
            AlertLib.digest(expected.networkId, alert, slot, actionsHash), expected.digest, expected.name
        );
    }
}

contract HandoverVectorsTest is VectorsTest {
    struct Digest {
        bytes32 networkId;
        uint32 epoch;
        bytes32 setHash;
        bytes32 nextSetHash;
        bytes32 digest;
    }

    struct Case {
        string name;
        bool valid;
        bool installs;
        uint256 now_;
        uint256 captureTime;
        bytes currentHeader;
        bytes32 nextSetHash;
        bytes outgoing;
        bytes incoming;
    }

    string private constant DIGEST =
        "bytes32 networkId,uint32 epoch,bytes32 setHash,bytes32 nextSetHash,bytes32 digest";
    string private constant CASE =
        "string name,bool valid,bool installs,uint256 now,uint256 captureTime,bytes currentHeader,bytes32 nextSetHash,bytes outgoing,bytes incoming";

    bytes32 private networkId;
    uint64 private interval;

    function setUp() public {
        networkId = vm.parseJsonBytes32(file("handovers.json"), ".networkId");
        interval = uint64(vm.parseJsonUint(file("handovers.json"), ".minEpochInterval"));
    }

    function test_HandoverDigests() public view {
        string memory json = file("handovers.json");
        assertEq(HandoverLib.HANDOVER_TYPEHASH, vm.parseJsonBytes32(json, ".handoverTypehash"));
        assertEq(string(HandoverLib.HANDOVER_DST), vm.parseJsonString(json, ".tag"));
        uint256 count = vm.parseJsonUint(json, ".digestCount");
        assertGe(count, 20);
        for (uint256 i = 0; i < count; ++i) {
            Digest memory each = abi.decode(caseOf("handovers.json", "digests", i, DIGEST), (Digest));
            assertEq(
                HandoverLib.digest(each.networkId, each.epoch, each.setHash, each.nextSetHash), each.digest
            );
        }
    }

    /// @dev The valid ones were signed in Python, and move a real chain on.
    function test_HandoversPassOrAreRefusedAsInPython() public {
        uint256 count = countOf(file("handovers.json"));
        uint256 installs = 0;
        for (uint256 i = 0; i < count; ++i) {
            if (deliver(abi.decode(caseOf("handovers.json", "cases", i, CASE), (Case)))) ++installs;
        }
        assertGt(installs, 5);
        assertGt(count - installs, 20);
    }

    function deliver(Case memory each) private returns (bool installed) {
        vm.warp(each.captureTime);
        SuccessionTerms memory terms = SuccessionTerms(address(0), interval, 0, 0);
        QuorumVerifier verifier = new QuorumVerifier(networkId, each.currentHeader, terms);
        vm.warp(each.now_);
        bytes memory call = abi.encodeCall(verifier.handover, (each.outgoing, each.incoming));
        (bool ok, bytes memory answer) = address(verifier).call(call);

        installed = ok && abi.decode(answer, (bool));
        assertEq(ok, each.valid, each.name);
        assertEq(installed, each.installs, each.name);
        (uint32 epoch,) = verifier.currentSet();
        bytes32 expected = installed ? each.nextSetHash : keccak256(each.currentHeader);
        assertEq(verifier.setHashes(epoch), expected, each.name);
    }
}

contract CertificateVectorsTest is VectorsTest {
    struct Case {
        string name;
        bool valid;
        bytes32 digest;
        uint32 epoch;
        bytes32 headerHash;
        bytes header;
        uint16 thresholdBps;
        bytes certificate;
        uint256 signedWeight;
        uint256 totalWeight;
    }

    string private constant CASE =
        "string name,bool valid,bytes32 digest,uint32 epoch,bytes32 headerHash,bytes header,uint16 thresholdBps,bytes certificate,uint256 signedWeight,uint256 totalWeight";

    function test_T05_CertificatesPassOrAreRefusedAsInPython() public {
        uint256 count = countOf(file("certificates.json"));
        for (uint256 i = 0; i < count; ++i) {
            check(abi.decode(caseOf("certificates.json", "cases", i, CASE), (Case)));
        }
    }

    function check(Case memory each) private {
        vm.warp(uint64(bytes8(this.captureTimeOf(each.header))) + 1);
        SuccessionTerms memory terms = SuccessionTerms(address(0), 1, 0, 0);
        QuorumVerifier verifier = new QuorumVerifier("network", each.header, terms);
        bytes memory call = abi.encodeCall(
            verifier.verify, (each.digest, each.epoch, each.headerHash, each.thresholdBps, each.certificate)
        );
        (bool ok, bytes memory answer) = address(verifier).staticcall(call);

        assertEq(ok, each.valid, each.name);
        if (!ok) return;
        (uint128 signed, uint128 total) = abi.decode(answer, (uint128, uint128));
        assertEq(signed, each.signedWeight, each.name);
        assertEq(total, each.totalWeight, each.name);
    }

    function captureTimeOf(bytes calldata header) external pure returns (bytes memory) {
        return header[30:38];
    }
}

contract HashToCurveVectorsTest is VectorsTest {
    struct Case {
        bytes message;
        bytes x;
        bytes y;
    }

    struct Tagged {
        string purpose;
        string tag;
    }

    string private constant CASE = "bytes message,bytes x,bytes y";

    function checkHash(Case memory each, bytes memory tag) private view {
        G1Point memory point = Bls12381.hashToG1(each.message, tag, 1_000_000);
        assertEq(Signer.rawG1(point), bytes.concat(each.x, each.y));
    }

    function test_T07_HashToCurveIsThatOfRfc9380() public view {
        string memory name = "hash_to_curve_rfc9380.json";
        bytes memory tag = bytes(vm.parseJsonString(file(name), ".tag"));
        assertEq(countOf(file(name)), 5);
        for (uint256 i = 0; i < 5; ++i) {
            checkHash(abi.decode(caseOf(name, "cases", i, CASE), (Case)), tag);
        }
    }

    /// @dev Messages of 0, 1, 32 and 33 bytes under each tag; py_ecc says the same.
    function test_T07_HashToCurveUnderOurTags() public view {
        string memory name = "hash_to_curve_tags.json";
        uint256 count = countOf(file(name));
        for (uint256 i = 0; i < count; ++i) {
            Tagged memory tagged = abi.decode(caseOf(name, "cases", i, "string purpose,string tag"), (Tagged));
            checkHash(abi.decode(caseOf(name, "cases", i, CASE), (Case)), bytes(tagged.tag));
            assertEq(tagged.tag, string(tagOf(tagged.purpose)));
        }
    }

    function tagOf(string memory purpose) private pure returns (bytes memory) {
        bytes32 name = keccak256(bytes(purpose));
        if (name == keccak256("HANDOVER")) return HandoverLib.HANDOVER_DST;
        return name == keccak256("ALERT") ? AlertLib.ALERT_DST : AlertLib.POSSESSION_DST;
    }

    function hashWithTag(bytes memory tag) external view {
        Bls12381.hashToG1("message", tag, 1_000_000);
    }

    function test_T07_RevertIf_TagIsLongerThan255Bytes() public {
        this.hashWithTag(new bytes(255));
        vm.expectRevert(abi.encodeWithSelector(Bls12381.TagTooLong.selector, 256));
        this.hashWithTag(new bytes(256));
    }
}

contract PossessionVectorsTest is VectorsTest {
    struct Case {
        string name;
        bool valid;
        bytes32 networkId;
        uint256 chainId;
        address registry;
        address operator;
        bytes publicKey;
        bytes32 digest;
        bytes signature;
    }

    string private constant CASE =
        "string name,bool valid,bytes32 networkId,uint256 chainId,address registry,address operator,bytes publicKey,bytes32 digest,bytes signature";

    function test_Possession() public view {
        uint256 count = countOf(file("possession.json"));
        for (uint256 i = 0; i < count; ++i) {
            Case memory each = abi.decode(caseOf("possession.json", "cases", i, CASE), (Case));
            bytes32 digest = AlertLib.possessionDigest(
                each.networkId, each.chainId, each.registry, each.operator, keccak256(each.publicKey)
            );
            if (each.valid) assertEq(digest, each.digest, each.name);
            assertEq(this.isPossession(digest, each.signature, each.publicKey), each.valid, each.name);
        }
    }

    function isPossession(bytes32 digest, bytes calldata signature, bytes calldata key)
        external
        view
        returns (bool)
    {
        return Bls12381.isSignatureBy(
            Bls12381.readG1(signature, 0),
            Bls12381.hashToG1(abi.encodePacked(digest), AlertLib.POSSESSION_DST, 1_000_000),
            Bls12381.readG2(key, 0),
            1_000_000
        );
    }
}

contract OperatorVectorsTest is VectorsTest {
    struct Numbers {
        string name;
        uint32 epoch;
        uint16 operatorCount;
        uint128 totalWeight;
        uint64 captureBlock;
        uint64 captureTime;
        uint64 validUntil;
    }

    struct Hashes {
        bytes32 prevHeaderHash;
        bytes32 leavesHash;
        bytes apk;
        bytes header;
        bytes32 headerHash;
    }

    struct Leaves {
        uint256[] weights;
        bytes[] publicKeys;
        bytes32[] leaves;
        bytes leafPreimages;
    }

    string private constant NUMBERS =
        "string name,uint32 epoch,uint16 operatorCount,uint128 totalWeight,uint64 captureBlock,uint64 captureTime,uint64 validUntil";
    string private constant HASHES =
        "bytes32 prevHeaderHash,bytes32 leavesHash,bytes apk,bytes header,bytes32 headerHash";
    string private constant LEAVES =
        "uint256[] weights,bytes[] publicKeys,bytes32[] leaves,bytes leafPreimages";

    function test_HeadersAndLeaves() public view {
        uint256 count = countOf(file("operators.json"));
        for (uint256 i = 0; i < count; ++i) {
            Numbers memory numbers = abi.decode(caseOf("operators.json", "cases", i, NUMBERS), (Numbers));
            Hashes memory hashes = abi.decode(caseOf("operators.json", "cases", i, HASHES), (Hashes));
            checkHeader(numbers, hashes);
            checkLeaves(abi.decode(caseOf("operators.json", "cases", i, LEAVES), (Leaves)), hashes.leavesHash);
        }
    }

    function checkHeader(Numbers memory numbers, Hashes memory hashes) private pure {
        bytes memory header = HeaderLib.encode(
            HeaderLib.Header({
                epoch: numbers.epoch,
                count: numbers.operatorCount,
                totalWeight: numbers.totalWeight,
                captureBlock: numbers.captureBlock,
                captureTime: numbers.captureTime,
                validUntil: numbers.validUntil,
                prevHeaderHash: hashes.prevHeaderHash,
                leavesHash: hashes.leavesHash,
                apk: hashes.apk
            })
        );
        assertEq(header, hashes.header, numbers.name);
        assertEq(keccak256(header), hashes.headerHash, numbers.name);
    }

    function checkLeaves(Leaves memory set, bytes32 leavesHash) private pure {
        bytes memory preimages = "";
        for (uint256 i = 0; i < set.leaves.length; ++i) {
            bytes memory preimage = HeaderLib.encodeLeaf(uint16(i), uint96(set.weights[i]), set.publicKeys[i]);
            assertEq(keccak256(preimage), set.leaves[i]);
            preimages = bytes.concat(preimages, preimage);
        }
        assertEq(preimages, set.leafPreimages);
        assertEq(keccak256(abi.encodePacked(set.leaves)), leavesHash);
    }
}
