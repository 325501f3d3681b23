// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IStakeSource} from "../../src/interfaces/IStakeSource.sol";
import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {BondedStake} from "../../src/registry/BondedStake.sol";
import {NetworkTerms, OperatorRegistry} from "../../src/registry/OperatorRegistry.sol";
import {OperatorSetChain, SuccessionTerms} from "../../src/verifier/OperatorSetChain.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {OracleStake} from "../mocks/OracleStake.sol";
import {Registered} from "../support/Registered.sol";
import {Signer} from "../support/Signer.sol";

contract CaptureTest is Registered {
    function setUp() public override {
        super.setUp();
        register(alice, 1, 250e18);
        register(bob, 2, 150e18);
    }

    /// @dev The header and the leaves, put together here by hand.
    function test_CaptureEmitsWhatItHashes() public {
        bytes memory first = abi.encodePacked(uint16(0), uint96(250e18), Signer.publicKey(Signer.key(1)));
        bytes memory second = abi.encodePacked(uint16(1), uint96(150e18), Signer.publicKey(Signer.key(2)));
        bytes memory header = abi.encodePacked(
            uint32(1),
            uint16(2),
            uint128(400e18),
            uint64(block.number),
            uint64(block.timestamp),
            uint64(block.timestamp + LIFETIME),
            bytes32(0),
            keccak256(abi.encodePacked(keccak256(first), keccak256(second))),
            Signer.publicKey(addmod(Signer.key(1), Signer.key(2), Signer.ORDER))
        );
        address[] memory operators = new address[](2);
        (operators[0], operators[1]) = (alice, bob);

        vm.expectEmit(address(registry));
        emit OperatorRegistry.EpochCaptured(
            1, keccak256(header), header, bytes.concat(first, second), operators
        );
        vm.prank(makeAddr("anyone"));
        registry.capture();

        assertEq(registry.headerHash(1), keccak256(header));
        assertEq(registry.currentEpoch(), 1);
        // A verifier takes it, and a certificate of both passes.
        QuorumVerifier verifier = verifierOf(header);
        bytes memory signature =
            Signer.sign(addmod(Signer.key(1), Signer.key(2), Signer.ORDER), "digest", AlertLib.ALERT_DST);
        (uint128 signed,) = verifier.verify(
            "digest", 1, keccak256(header), 6667, abi.encodePacked(header, signature, uint8(0), uint16(0))
        );
        assertEq(signed, 400e18);
    }

    function verifierOf(bytes memory header) private returns (QuorumVerifier) {
        return new QuorumVerifier(registry.networkId(), header, SuccessionTerms(address(0), 1, 0, 0));
    }

    function test_EpochsAreChained() public {
        (, bytes32 firstHash) = registry.capture();
        pass(INTERVAL);
        (bytes memory header,,) = capture();

        assertEq(registry.currentEpoch(), 2);
        assertEq(slice(header, 46, 78), abi.encodePacked(firstHash));
    }

    function test_RevertIf_CapturedTooEarly() public {
        registry.capture();
        uint256 notBefore = vm.getBlockTimestamp() + INTERVAL;
        vm.warp(notBefore - 1);

        vm.expectRevert(
            abi.encodeWithSelector(OperatorRegistry.CaptureTooEarly.selector, notBefore - 1, notBefore)
        );
        registry.capture();
        vm.warp(notBefore);
        registry.capture();
    }

    function test_RevertIf_NobodyIsActive() public {
        vm.prank(alice);
        registry.exit();
        vm.prank(bob);
        registry.exit();

        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.TotalStakeTooSmall.selector, 0, MIN_STAKE));
        registry.capture();
    }

    /// @dev Whatever is bonded, unbonded and capped, the leaves add up to the header.
    function testFuzz_T18_LeavesAddUpToTheHeadersTotal(uint96 aliceStake, uint96 bobStake, uint16 maxShareBps)
        public
    {
        NetworkTerms memory capped = terms();
        capped.maxShareBps = uint16(bound(maxShareBps, 1, 10_000));
        OracleStake oracle = new OracleStake(nextAddress(1), DELAY);
        registry = new OperatorRegistry(oracle, capped);
        register(alice, 1, bound(aliceStake, MIN_STAKE, type(uint96).max));
        register(bob, 2, bound(bobStake, MIN_STAKE, type(uint96).max));
        register(carol, 3, MIN_STAKE);

        (bytes memory header, bytes memory leafPreimages,) = capture();

        uint256 total = 0;
        for (uint256 i = 0; i < 3; ++i) {
            uint256 at = i * HeaderLib.ENTRY_BYTES;
            uint96 weight = uint96(bytes12(slice(leafPreimages, at + 2, at + 14)));
            assertGt(weight, 0);
            total += weight;
        }
        assertEq(uint128(bytes16(slice(header, 6, 22))), total);
    }

    function test_T18_StakeBeyondTheWeightsTypeIsCutNotWrapped() public {
        OracleStake oracle = new OracleStake(nextAddress(1), DELAY);
        registry = new OperatorRegistry(oracle, terms());
        register(alice, 1, uint256(type(uint96).max) + MIN_STAKE);
        register(bob, 2, MIN_STAKE);

        (bytes memory header, bytes memory leafPreimages,) = capture();

        assertEq(slice(leafPreimages, 2, 14), abi.encodePacked(type(uint96).max));
        assertEq(slice(header, 6, 22), abi.encodePacked(uint128(type(uint96).max) + MIN_STAKE));
    }

    function test_T20_NoOperatorWeighsMoreThanItsShare() public {
        NetworkTerms memory capped = terms();
        capped.maxShareBps = 4000;
        deploy(capped);
        for (uint256 i = 0; i < 3; ++i) {
            address operator = [alice, bob, carol][i];
            vm.prank(operator);
            token.approve(address(stake), type(uint256).max);
            register(operator, i + 1, [uint256(800e18), 150e18, 150e18][i]);
        }

        (bytes memory header, bytes memory leafPreimages,) = capture();

        // 200 is 40 % of 500.
        assertEq(slice(leafPreimages, 2, 14), abi.encodePacked(uint96(200e18)));
        assertEq(slice(leafPreimages, 208, 220), abi.encodePacked(uint96(150e18)));
        assertEq(slice(header, 6, 22), abi.encodePacked(uint128(500e18)));
    }

    function test_T28_KeysOfLeaversAreWorthNothingBeforeTheirStakeIsFree() public {
        (bytes memory header,,) = capture();
        QuorumVerifier verifier = verifierOf(header);
        bytes memory signature =
            Signer.sign(addmod(Signer.key(1), Signer.key(2), Signer.ORDER), "digest", AlertLib.ALERT_DST);
        bytes memory certificate = abi.encodePacked(header, signature, uint8(0), uint16(0));
        vm.prank(alice);
        registry.exit();
        (,, uint64 releasableAt) = stake.accountOf(alice);
        uint64 validUntil = uint64(vm.getBlockTimestamp()) + LIFETIME;

        assertGt(releasableAt, validUntil + registry.evidenceWindow());
        vm.warp(releasableAt);
        vm.expectRevert(
            abi.encodeWithSelector(OperatorSetChain.HeaderExpired.selector, validUntil, releasableAt)
        );
        verifier.verify("digest", 1, keccak256(header), 6667, certificate);
    }

    function test_CaptureOf100CostsUnderThreeMillionGas() public {
        OracleStake oracle = new OracleStake(nextAddress(1), DELAY);
        NetworkTerms memory capped = terms();
        capped.maxShareBps = 150;
        registry = new OperatorRegistry(oracle, capped);
        for (uint256 i = 0; i < 100; ++i) {
            register(address(uint160(0x1000 + i)), 100 + i, MIN_STAKE * (1 + i % 7));
        }

        uint256 before = gasleft();
        registry.capture();

        assertLt(before - gasleft(), 3_000_000);
    }
}

/// @dev Nothing is initialised after deployment: what is wrong at deployment is refused there.
contract DeploymentTest is Registered {
    function expectTermsRefused(NetworkTerms memory given, bytes memory reason) private {
        OracleStake oracle = new OracleStake(nextAddress(1), DELAY);
        vm.expectRevert(reason);
        this.deployWith(oracle, given);
    }

    /// @dev As a call, so that a test goes on after a refusal however forge links the contract.
    function deployWith(OracleStake oracle, NetworkTerms memory given) external {
        new OperatorRegistry(oracle, given);
    }

    function test_T37_RegistryRefusesAStakeSourceThatServesAnother() public {
        OracleStake foreign = new OracleStake(address(registry), DELAY);

        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorRegistry.StakeSourceServesAnother.selector, address(foreign), address(registry)
            )
        );
        new OperatorRegistry(foreign, terms());
    }

    function test_T37_NobodyBondsBeforeTheRegistryStands() public {
        BondedStake early = new BondedStake(token, nextAddress(1), DELAY, BURN);

        vm.expectRevert(
            abi.encodeWithSelector(IStakeSource.NotRegistry.selector, address(this), nextAddress(0))
        );
        early.enter(alice, abi.encode(MIN_STAKE));
        vm.expectRevert(abi.encodeWithSelector(BondedStake.NotBonded.selector, address(this)));
        early.bond(1);
    }

    function test_T37_TermsOfADeployedRegistryAreTheGivenOnes() public view {
        assertEq(address(registry.stakeSource()), address(stake));
        assertEq(stake.registry(), address(registry));
        assertEq(registry.networkId(), AlertLib.networkId(block.chainid, address(registry)));
        assertEq(registry.minStake(), MIN_STAKE);
        assertEq(registry.minTotalStake(), MIN_STAKE);
        assertEq(registry.maxShareBps(), 10_000);
        assertEq(registry.slashBps(), SLASH_BPS);
        assertEq(registry.rewardBps(), REWARD_BPS);
        assertEq(registry.minEpochInterval(), INTERVAL);
        assertEq(registry.headerLifetime(), LIFETIME);
        assertEq(registry.evidenceWindow(), WINDOW);
    }

    function test_I9_UnbondingMustOutlastHeaderAndEvidence() public {
        NetworkTerms memory given = terms();
        given.evidenceWindow = DELAY - LIFETIME;
        expectTermsRefused(
            given, abi.encodeWithSelector(OperatorRegistry.UnbondingTooShort.selector, DELAY, DELAY)
        );

        given.evidenceWindow -= 1;
        OracleStake oracle = new OracleStake(nextAddress(1), DELAY);
        new OperatorRegistry(oracle, given);
    }

    function test_RevertIf_HeaderDoesNotOutliveTheEpoch() public {
        NetworkTerms memory given = terms();
        given.headerLifetime = INTERVAL;
        expectTermsRefused(
            given, abi.encodeWithSelector(OperatorRegistry.LifetimeTooShort.selector, INTERVAL, INTERVAL)
        );
        given.minEpochInterval = 0;
        expectTermsRefused(
            given, abi.encodeWithSelector(OperatorRegistry.LifetimeTooShort.selector, INTERVAL, 0)
        );
    }

    function test_T21_RevertIf_StakeBoundsAreMissing() public {
        NetworkTerms memory given = terms();
        given.minTotalStake = MIN_STAKE - 1;
        expectTermsRefused(
            given,
            abi.encodeWithSelector(OperatorRegistry.StakeBoundsInvalid.selector, MIN_STAKE, MIN_STAKE - 1)
        );
        given.minStake = 0;
        expectTermsRefused(
            given, abi.encodeWithSelector(OperatorRegistry.StakeBoundsInvalid.selector, 0, MIN_STAKE - 1)
        );
    }

    function test_RevertIf_SharesAreOutOfBounds() public {
        expectSharesRefused(0, SLASH_BPS, REWARD_BPS);
        expectSharesRefused(10_001, SLASH_BPS, REWARD_BPS);
        expectSharesRefused(5000, 0, REWARD_BPS);
        expectSharesRefused(5000, 10_001, REWARD_BPS);
        expectSharesRefused(5000, SLASH_BPS, 5001);
    }

    function test_SharesMayTouchTheirBounds() public {
        NetworkTerms memory given = terms();
        (given.maxShareBps, given.slashBps, given.rewardBps) = (10_000, 10_000, 5000);
        this.deployWith(new OracleStake(nextAddress(1), DELAY), given);
        (given.maxShareBps, given.slashBps, given.rewardBps) = (1, 1, 0);
        this.deployWith(new OracleStake(nextAddress(1), DELAY), given);
    }

    function expectSharesRefused(uint16 maxShareBps, uint16 slashBps, uint16 rewardBps) private {
        NetworkTerms memory given = terms();
        (given.maxShareBps, given.slashBps, given.rewardBps) = (maxShareBps, slashBps, rewardBps);
        expectTermsRefused(
            given,
            abi.encodeWithSelector(OperatorRegistry.SharesInvalid.selector, maxShareBps, slashBps, rewardBps)
        );
    }
}
