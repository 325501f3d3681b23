// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {BondedStake} from "../../src/registry/BondedStake.sol";
import {NetworkTerms, OperatorRegistry, Registration} from "../../src/registry/OperatorRegistry.sol";
import {Signer} from "./Signer.sol";

/// @title Registered: a registry over a bond, and operators with real keys. For tests.
abstract contract Registered is Test {
    uint96 internal constant MIN_STAKE = 100e18;
    uint64 internal constant INTERVAL = 1 hours;
    uint64 internal constant LIFETIME = 7 days;
    uint64 internal constant WINDOW = 3 days;
    uint64 internal constant DELAY = 14 days;
    uint16 internal constant SLASH_BPS = 5000;
    uint16 internal constant REWARD_BPS = 1000;
    address internal constant BURN = address(0xdEaD);

    DemoToken internal token;
    BondedStake internal stake;
    OperatorRegistry internal registry;
    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");
    address internal carol = makeAddr("carol");

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        token = new DemoToken("Bond", "BOND");
        deploy(terms());
        fund(alice);
        fund(bob);
        fund(carol);
    }

    function terms() internal pure virtual returns (NetworkTerms memory) {
        return NetworkTerms({
            minStake: MIN_STAKE,
            minTotalStake: MIN_STAKE,
            maxShareBps: 10_000,
            slashBps: SLASH_BPS,
            rewardBps: REWARD_BPS,
            minEpochInterval: INTERVAL,
            headerLifetime: LIFETIME,
            evidenceWindow: WINDOW
        });
    }

    function deploy(NetworkTerms memory terms_) internal {
        stake = new BondedStake(token, nextAddress(1), DELAY, BURN);
        registry = new OperatorRegistry(stake, terms_);
    }

    /// @dev Where this contract's deployment after `ahead` others will stand.
    function nextAddress(uint256 ahead) internal view returns (address) {
        return vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + ahead);
    }

    function fund(address account) internal {
        token.mint(account, 1_000_000e18);
        vm.prank(account);
        token.approve(address(stake), type(uint256).max);
    }

    /// @dev The digest written out here, not taken from AlertLib.
    function possession(uint256 secret, address operator, address registry_, uint256 chainId)
        internal
        view
        returns (bytes memory)
    {
        bytes32 digest = keccak256(
            abi.encode(
                keccak256(
                    "TocsinPossession(bytes32 networkId,uint256 chainId,address registry,address operator,bytes32 publicKeyHash)"
                ),
                registry.networkId(),
                chainId,
                registry_,
                operator,
                keccak256(Signer.publicKey(secret))
            )
        );
        return Signer.sign(secret, digest, AlertLib.POSSESSION_DST);
    }

    function possession(uint256 secret, address operator) internal view returns (bytes memory) {
        return possession(secret, operator, address(registry), block.chainid);
    }

    function registration(address operator, uint256 seed, uint256 bond)
        internal
        view
        returns (Registration memory)
    {
        uint256 secret = Signer.key(seed);
        return Registration({
            publicKey: Signer.publicKey(secret),
            possession: possession(secret, operator),
            peerId: abi.encodePacked("peer", seed),
            metadata: "https://operator.example",
            stakeData: abi.encode(bond)
        });
    }

    function register(address operator, uint256 seed, uint256 bond) internal {
        Registration memory given = registration(operator, seed, bond);
        vm.prank(operator);
        registry.register(given);
    }

    function pass(uint256 secs) internal {
        vm.warp(vm.getBlockTimestamp() + secs);
        vm.roll(vm.getBlockNumber() + 1);
    }

    /// @dev Captures, and returns what the event carried.
    function capture()
        internal
        returns (bytes memory header, bytes memory leafPreimages, address[] memory operators)
    {
        vm.recordLogs();
        registry.capture();
        (header, leafPreimages, operators) =
            abi.decode(vm.getRecordedLogs()[0].data, (bytes, bytes, address[]));
    }

    function slice(bytes memory data, uint256 from, uint256 to) internal pure returns (bytes memory part) {
        part = new bytes(to - from);
        for (uint256 i = from; i < to; ++i) {
            part[i - from] = data[i];
        }
    }
}
