// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Signer} from "../support/Signer.sol";
import {Succession} from "../support/Succession.sol";

string constant RELEASED = "out-release/QuorumVerifier.sol/QuorumVerifier.json";

/// @notice What whole transactions cost, with the bytecode that is deployed: `make contracts` compiles it. Exact
///         figures are `make bench-gas`.
contract VerifierGasTest is Succession {
    bytes32 private constant DIGEST = keccak256("an alert");
    uint16 private constant TWO_THIRDS = 6667;
    uint256 private constant TRANSACTION_GAS_CAP = 1 << 24; // EIP-7825

    mapping(uint256 operators => OperatorSet) private sets;
    mapping(uint256 operators => QuorumVerifier) private verifiers;

    function setUp() public {
        vm.warp(START);
        uint16[7] memory sizes = [uint16(1), 7, 19, 50, 100, 200, 256];
        for (uint256 i = 0; i < 7; ++i) {
            uint96[] memory weights_ = new uint96[](sizes[i]);
            for (uint256 k = 0; k < sizes[i]; ++k) {
                weights_[k] = uint96(1_000e18 + k * 987_654_321_123);
            }
            OperatorSet memory set =
                makeSet(EPOCH, 1_000, weights_, uint64(START), keccak256("the header before"));
            sets[sizes[i]] = set;
            verifiers[sizes[i]] = QuorumVerifier(
                vm.deployCode(RELEASED, abi.encode(NETWORK_ID, set.header, successionTerms()))
            );
        }
    }

    function callOf(uint256 operators, uint16 thresholdBps, bytes memory certificate)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(
            IQuorumVerifier.verify,
            (DIGEST, EPOCH, keccak256(sets[operators].header), thresholdBps, certificate)
        );
    }

    function gasWithout(uint256 operators, uint256[] memory absent) private returns (uint256) {
        bytes memory certificate = certifyBy(sets[operators], DIGEST, ALERT_TAG, absent);
        return transactionGas(address(verifiers[operators]), callOf(operators, TWO_THIRDS, certificate));
    }

    /// @dev The first `count` listed as signers. From outside, so that putting it together leaves no memory behind,
    ///      which would be paid for.
    function listSigners(uint256 operators, uint256 count) external view returns (bytes memory certificate) {
        OperatorSet memory set = sets[operators];
        uint256 secret = 0;
        bytes memory entries_ = "";
        for (uint256 i = 0; i < count; ++i) {
            secret = addmod(secret, Signer.key(set.firstKey + i), Signer.ORDER);
            entries_ = bytes.concat(entries_, entryOf(set, i));
        }
        bytes memory signature = Signer.sign(secret, DIGEST, ALERT_TAG);
        return abi.encodePacked(
            set.header, signature, HeaderLib.MODE_PRESENT, uint16(count), leavesOfSet(set), entries_
        );
    }

    function test_VerificationIsFlatWhereNobodyIsAbsent() public {
        uint8[6] memory sizes = [1, 7, 19, 50, 100, 200];
        (uint256 least, uint256 most) = (type(uint256).max, 0);
        for (uint256 i = 0; i < 6; ++i) {
            uint256 gas = gasWithout(sizes[i], none());
            if (gas < least) least = gas;
            if (gas > most) most = gas;
        }

        assertLt(most, 160_000);
        assertLt(most - least, 500, "zero bytes are all that differs");
    }

    function test_VerificationWithTwoOfNineteenAbsent() public {
        assertLt(gasWithout(19, list(3, 11)), 185_000);
    }

    /// @dev The largest set with the longest list. For its bytes alone it pays the floor of EIP-7623.
    function test_T35_LongestCertificateFitsATransaction() public {
        bytes memory longest = this.listSigners(256, 256);
        bytes memory call = callOf(256, 3334, longest);
        assertEq(longest.length, 401 + 256 * (32 + 206));

        assertLt(transactionGas(address(verifiers[256]), call), TRANSACTION_GAS_CAP / 6);
        // A handover carries two; at 64 for each byte, as EIP-7976 would have it, they still fit.
        assertLt(2 * 64 * longest.length, TRANSACTION_GAS_CAP / 2);
    }

    function test_T31_RefusalForWeightCostsLessThanAPairing() public view {
        bytes memory call = callOf(100, TWO_THIRDS, this.listSigners(100, 33));

        uint256 gas = gasleft();
        (bool ok,) = address(verifiers[100]).staticcall(call);
        gas -= gasleft();

        assertFalse(ok);
        assertLt(gas, 102_900);
    }

    function test_HandoverOfAHundredOperatorsCostsAtMost300k() public {
        vm.warp(START + INTERVAL);
        OperatorSet memory last = sets[100];
        OperatorSet memory next =
            makeSet(EPOCH + 1, 2_000, last.weights, uint64(START) + INTERVAL, keccak256(last.header));
        (bytes memory outgoing, bytes memory incoming) = handoverOf(last, next);

        bytes memory call = abi.encodeCall(verifier.handover, (outgoing, incoming));

        assertLt(transactionGas(address(verifiers[100]), call), 300_000);
        (uint32 epoch,) = verifiers[100].currentSet();
        assertEq(epoch, EPOCH + 1);
    }
}

/// @title Verifications: certificates of sets of several sizes, with any number of absent
contract Verifications is Succession {
    bytes32 private constant DIGEST = keccak256("an alert");

    OperatorSet[] private sets;
    QuorumVerifier[] private verifiers;

    /// @notice The most that a whole transaction passed its bound by.
    uint256 public excess;
    uint256 public verifications;

    constructor() {
        vm.warp(START);
        uint8[4] memory sizes = [1, 7, 19, 40];
        for (uint256 i = 0; i < 4; ++i) {
            uint96[] memory weights_ = new uint96[](sizes[i]);
            for (uint256 k = 0; k < sizes[i]; ++k) {
                weights_[k] = uint96(1_000 + k);
            }
            sets.push(makeSet(EPOCH, 1_000, weights_, uint64(START), keccak256("the header before")));
            verifiers.push(
                QuorumVerifier(
                    vm.deployCode(RELEASED, abi.encode(NETWORK_ID, sets[i].header, successionTerms()))
                )
            );
        }
    }

    /// @dev A byte of calldata costs at most 40, and an operator brings at most an entry of 206 and a leaf of 32.
    function boundOf(uint256 operators) public pure returns (uint256) {
        return 165_000 + 10_000 * operators;
    }

    function verify(uint8 which, uint256 absentSeed) external {
        QuorumVerifier target = verifiers[which % 4];
        OperatorSet memory set = sets[which % 4];
        uint256[] memory absent = new uint256[](absentSeed % set.weights.length);
        for (uint256 i = 0; i < absent.length; ++i) {
            absent[i] = i;
        }
        bytes memory certificate = certifyBy(set, DIGEST, ALERT_TAG, absent);
        bytes memory call =
            abi.encodeCall(target.verify, (DIGEST, EPOCH, keccak256(set.header), 0, certificate));

        uint256 gas = transactionGas(address(target), call);

        ++verifications;
        uint256 most = boundOf(set.weights.length);
        if (gas > most && gas - most > excess) excess = gas - most;
    }
}

contract VerificationGasInvariantTest is Succession {
    Verifications private verifications;

    function setUp() public {
        verifications = new Verifications();
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = Verifications.verify.selector;
        targetContract(address(verifications));
        targetSelector(FuzzSelector({addr: address(verifications), selectors: selectors}));
    }

    /// @dev gas(certificate of n operators) <= bound(n), a line in n, whoever is absent.
    /// forge-config: default.invariant.runs = 4
    /// forge-config: prove.invariant.runs = 256
    function invariant_I13_VerificationGasIsBoundedByTheNumberOfOperators() public view {
        assertEq(verifications.excess(), 0);
    }

    function test_VerificationsHappen() public {
        verifications.verify(3, 39);

        assertEq(verifications.verifications(), 1);
        invariant_I13_VerificationGasIsBoundedByTheNumberOfOperators();
    }
}
