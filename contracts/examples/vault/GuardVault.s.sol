// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Integration} from "../../script/Integration.sol";
import {ActionConfig, IGuardian, Level} from "../../src/interfaces/IGuardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {TokenVault} from "./TokenVault.sol";

/// @title GuardVault: a vault on OpenZeppelin Pausable gets a guardian that may pause it for six hours
/// @notice The vault is deployed and stays as it is. `governance` is its admin, and will own the guardian.
///         To take the right back: `vault.revokeRole(PAUSER_ROLE, pauser)`.
contract GuardVault is Integration {
    /// @notice Name by which the policy calls the action.
    string public constant PAUSE = "pause";

    /// @notice Anyone: creates guardian and adapter. Nothing is allowed to act yet.
    function prepare(GuardianFactory factory, TokenVault vault, address governance)
        external
        returns (IGuardian guardian, address pauser)
    {
        vm.startBroadcast();
        (guardian, pauser) = _prepare(factory, vault, governance);
        vm.stopBroadcast();
    }

    /// @notice Governance: names the action and gives the adapter the right to pause and unpause.
    function connect(GuardianFactory factory, TokenVault vault, address governance) external {
        bytes32 role = vault.PAUSER_ROLE();
        vm.startBroadcast(governance);
        (IGuardian guardian, address pauser) = _prepare(factory, vault, governance);
        allow(
            guardian,
            PAUSE,
            ActionConfig({
                adapter: IAdapter(pauser),
                level: Level.Pause,
                thresholdBps: 6667,
                minGas: 150_000,
                maxDuration: 6 hours,
                cooldown: 1 hours,
                budget: 24 hours,
                window: 30 days
            })
        );
        if (!vault.hasRole(role, pauser)) vault.grantRole(role, pauser);
        vm.stopBroadcast();
    }

    function _prepare(GuardianFactory factory, TokenVault vault, address governance)
        private
        returns (IGuardian guardian, address pauser)
    {
        guardian = createGuardian(factory, governance, bytes32(0), bytes32(0));
        pauser = deployPausableAdapter(guardian, address(vault));
    }
}
