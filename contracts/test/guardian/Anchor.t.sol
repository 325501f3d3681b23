// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ArbitrumGuardian} from "../../src/guardian/ArbitrumGuardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IGuardianEvents} from "../../src/interfaces/IGuardianEvents.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {PausableAdapter} from "../../src/adapters/PausableAdapter.sol";
import {ActionConfig} from "../../src/interfaces/IGuardianEvents.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {AnchorLib} from "../../src/libraries/AnchorLib.sol";
import {Refusing} from "./Refusal.t.sol";

/// @notice Whether the block that an alert is about was ever a block of this chain.
contract AnchorTest is Refusing {
    /// @dev As the EIP deploys it.
    bytes private constant EIP_2935 =
        hex"3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500";

    function setUp() public {
        setUpGuardian();
    }

    function test_RevertIf_AnchorIsNotPast() public {
        Alert memory alert = makeAlert();
        alert.anchorNumber = vm.getBlockNumber();

        expectSignedRefused(
            alert,
            abi.encodeWithSelector(
                IGuardianEvents.AnchorNotPast.selector, vm.getBlockNumber(), vm.getBlockNumber()
            )
        );
    }

    function test_RevertIf_AnchorHashIsWrongWithinTheLast256() public {
        Alert memory alert = makeAlert();
        alert.anchorHash = keccak256("a block that never was");

        expectSignedRefused(
            alert,
            abi.encodeWithSelector(
                IGuardianEvents.AnchorUnknownBlock.selector, alert.anchorNumber, alert.anchorHash
            )
        );
    }

    function test_RevertIf_AnchorHashIsWrongWithinTheHistoryContract() public {
        Alert memory alert = makeAlert();
        vm.roll(vm.getBlockNumber() + 5000);
        vm.mockCall(AnchorLib.HISTORY, abi.encode(alert.anchorNumber), abi.encode(keccak256("real")));

        expectSignedRefused(
            alert,
            abi.encodeWithSelector(
                IGuardianEvents.AnchorUnknownBlock.selector, alert.anchorNumber, alert.anchorHash
            )
        );
        vm.mockCall(AnchorLib.HISTORY, abi.encode(alert.anchorNumber), abi.encode(alert.anchorHash));
        deliver(alert);
        assertTrue(target.paused());
    }

    function test_AnchorOutOfRangeIsLeftToTheQuorum() public {
        Alert memory alert = makeAlert();
        vm.roll(vm.getBlockNumber() + 10_000);

        deliver(alert);

        assertTrue(target.paused());
    }

    function test_AnchorOfAnotherChainIsNotCheckedHere() public {
        Alert memory alert = makeAlert();
        (alert.sourceChainId, alert.anchorNumber) = (10, vm.getBlockNumber() + 1_000_000);

        deliver(alert);

        assertTrue(target.paused());
    }

    /// @dev The code of EIP-2935 refuses every question that is not 32 bytes long.
    function test_RevertIf_TheHistoryContractOfTheChainKnowsAnotherHash() public {
        Alert memory alert = makeAlert();
        vm.etch(AnchorLib.HISTORY, EIP_2935);
        vm.store(AnchorLib.HISTORY, bytes32(alert.anchorNumber % 8191), keccak256("real"));
        vm.roll(vm.getBlockNumber() + 5000);

        expectSignedRefused(
            alert,
            abi.encodeWithSelector(
                IGuardianEvents.AnchorUnknownBlock.selector, alert.anchorNumber, alert.anchorHash
            )
        );
    }

    function test_RangeIsNoneWhereTheChainTellsNoHash() public {
        vm.etch(AnchorLib.HISTORY, "");
        vm.setBlockhash(vm.getBlockNumber() - 1, bytes32(0));

        assertEq(guardian.anchorRange(), 0);
    }

    function test_RangeSaysHowFarTheCheckReaches() public {
        vm.etch(AnchorLib.HISTORY, "");
        assertEq(guardian.anchorRange(), 256);

        vm.etch(AnchorLib.HISTORY, hex"00");
        assertEq(guardian.anchorRange(), 8191);
    }
}

/// @title ArbSys: what Arbitrum knows of its own blocks. For tests.
contract ArbSys {
    uint256 public arbBlockNumber = 400_000_000;
    mapping(uint256 => bytes32) public hashes;

    error InvalidBlockNumber(uint256 requested, uint256 current);

    function set(uint256 number, bytes32 hash) external {
        hashes[number] = hash;
    }

    function setNumber(uint256 number) external {
        arbBlockNumber = number;
    }

    function arbBlockHash(uint256 number) external view returns (bytes32) {
        if (number >= arbBlockNumber || number + 256 < arbBlockNumber) {
            revert InvalidBlockNumber(number, arbBlockNumber);
        }
        return hashes[number];
    }
}

/// @notice The same check where `block.number` is another chain's.
contract ArbitrumAnchorTest is Refusing {
    uint256 private constant NOW = 400_000_000;
    ArbSys private constant ARB_SYS = ArbSys(address(0x64));

    function setUp() public {
        setUpGuardian();
        ArbSys arbSys = new ArbSys();
        vm.etch(address(ARB_SYS), address(arbSys).code);
        ARB_SYS.setNumber(NOW);
        ARB_SYS.set(NOW - 1, keccak256("newest"));
        GuardianFactory factory = new GuardianFactory(address(new ArbitrumGuardian(verifier)));
        guardian = IGuardian(factory.create(owner, POLICY, "arbitrum"));
        ActionConfig memory config = pauseConfig();
        config.adapter = IAdapter(address(new PausableAdapter(address(guardian), address(target))));
        target.setPauser(address(config.adapter));
        configure(PAUSE, config);
    }

    function alertAbout(uint256 number, bytes32 hash) private view returns (Alert memory alert) {
        alert = makeAlert();
        (alert.anchorNumber, alert.anchorHash) = (number, hash);
    }

    function test_AlertAboutItsOwnBlockActs() public {
        deliver(alertAbout(NOW - 1, keccak256("newest")));

        assertTrue(target.paused());
    }

    function test_RevertIf_ThatBlockNeverWas() public {
        expectSignedRefused(
            alertAbout(NOW - 1, "forged"),
            abi.encodeWithSelector(IGuardianEvents.AnchorUnknownBlock.selector, NOW - 1, bytes32("forged"))
        );
    }

    function test_RevertIf_ThatBlockIsNotPast() public {
        expectSignedRefused(
            alertAbout(NOW, "next"), abi.encodeWithSelector(IGuardianEvents.AnchorNotPast.selector, NOW, NOW)
        );
    }

    function test_OlderBlocksAreLeftToTheQuorum() public {
        deliver(alertAbout(NOW - 257, "long ago"));

        assertTrue(target.paused());
    }

    function test_RangeSaysWhetherTheCheckIsOn() public {
        assertEq(guardian.anchorRange(), 256);

        ARB_SYS.set(NOW - 1, bytes32(0));
        assertEq(guardian.anchorRange(), 0);
        (bool ok, bytes32 warning) = guardian.readiness(PAUSE);
        assertTrue(ok);
        assertEq(warning, bytes32("ANCHOR_UNCHECKED"));
    }

    function test_RevertIf_DeployedWhereThereIsNoArbSys() public {
        vm.etch(address(ARB_SYS), "");
        vm.expectRevert(ArbitrumGuardian.ArbSysMissing.selector);
        new ArbitrumGuardian(verifier);
    }
}
