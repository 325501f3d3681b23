// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Guardian} from "@tocsin/contracts/src/guardian/Guardian.sol";
import {GuardianFactory} from "@tocsin/contracts/src/guardian/GuardianFactory.sol";
import {IAdapter} from "@tocsin/contracts/src/interfaces/IAdapter.sol";
import {ActionConfig, IGuardian, Level} from "@tocsin/contracts/src/interfaces/IGuardian.sol";
import {IQuorumVerifier} from "@tocsin/contracts/src/interfaces/IQuorumVerifier.sol";
import {Switch} from "../src/Switch.sol";
import {SwitchAdapter} from "../src/SwitchAdapter.sol";

/// @dev A verifier of the consumer's own, through the package's interface.
contract YesVerifier is IQuorumVerifier {
    function networkId() external pure returns (bytes32) {
        return keccak256("network");
    }

    function currentSet() external pure returns (uint32, uint64) {
        return (1, type(uint64).max);
    }

    function verify(bytes32, uint32, bytes32, uint16, bytes calldata)
        external
        pure
        returns (uint128, uint128)
    {
        return (1, 1);
    }
}

contract SwitchAdapterTest is Test {
    bytes32 private constant OFF = keccak256("off");

    function test_GuardianTakesTheAdapterAndAnswersForIt() public {
        GuardianFactory factory = new GuardianFactory(address(new Guardian(new YesVerifier())));
        IGuardian guardian = IGuardian(factory.create(address(this), keccak256("policy"), 0));
        address predicted = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        Switch target = new Switch(predicted);
        SwitchAdapter adapter = new SwitchAdapter(address(guardian), address(target));
        ActionConfig memory config = ActionConfig({
            adapter: IAdapter(address(adapter)),
            level: Level.Pause,
            thresholdBps: 6667,
            minGas: 150_000,
            maxDuration: 1 hours,
            cooldown: 1 hours,
            budget: 4 hours,
            window: 1 days
        });

        guardian.setAction(OFF, config);

        assertEq(address(guardian.action(OFF).adapter), address(adapter));
        (bool ok,) = guardian.readiness(OFF);
        assertTrue(ok);
        vm.prank(address(guardian));
        adapter.engage("");
        assertTrue(adapter.engaged());
    }
}
