// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {Conflict} from "../../src/registry/EquivocationProof.sol";
import {Registration, Statement} from "../../src/registry/OperatorRegistry.sol";
import {Evidence} from "../support/Evidence.sol";
import {Signer} from "../support/Signer.sol";

/// @title Crowd: six accounts that register, bond, unbond, rotate, leave, equivocate and come back, in any order,
///        while anyone captures and time passes.
/// @notice Keeps its own account of proven keys, of what every header was backed with, and of what was taken.
contract Crowd is Evidence {
    uint256 private constant ACCOUNTS = 6;

    /// @param until     unix seconds to which evidence under the header counts
    /// @param operators who stands in it
    /// @param needs     weight of each, and what had been taken from it before
    struct Backing {
        uint64 until;
        address[] operators;
        uint256[] needs;
    }

    address[] public accounts;
    Epoch[] private _epochs;
    Backing[] private _backings;
    mapping(bytes32 publicKeyHash => uint256) private _secrets;
    mapping(bytes32 publicKeyHash => address) public provenBy;
    mapping(address => uint256) public taken;
    uint256 private _keys;
    uint256 private _places;

    uint256 public slashes;
    uint256 public releases;
    bool public tookUnprovenKey;
    bool public slashedTooMuch;
    bool public capturedUnprovenKey;

    function lay() external {
        setUp();
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            accounts.push(address(uint160(0xA000 + i)));
            fund(accounts[i]);
        }
    }

    // ---- what happens

    function registers(uint256 who, uint256 bond) public {
        address account = accounts[who % ACCOUNTS];
        Registration memory given = fresh(account, bound(bond, MIN_STAKE - 1, 10 * MIN_STAKE));
        vm.prank(account);
        try registry.register(given) {
            provenBy[keccak256(given.publicKey)] = account;
        } catch {}
    }

    /// @dev A key of its own with a proof for somebody else, a used key, or infinity.
    function registersWithoutProof(uint256 who, uint256 how) public {
        address account = accounts[who % ACCOUNTS];
        address other = accounts[(who % ACCOUNTS + 1) % ACCOUNTS];
        Registration memory given = fresh(other, MIN_STAKE);
        given.peerId = abi.encodePacked("without proof", account);
        if (how % 3 == 1) (given.publicKey, given.possession) = (new bytes(192), new bytes(96));
        if (how % 3 == 2) {
            (,, given.publicKey,) = registry.operator(other);
            given.possession = possession(_secrets[keccak256(given.publicKey)], account);
        }
        vm.startPrank(account);
        try registry.register(given) {
            tookUnprovenKey = true;
        } catch {}
        try registry.rotateKey(given.publicKey, given.possession) {
            tookUnprovenKey = true;
        } catch {}
        vm.stopPrank();
    }

    function rotates(uint256 who) public {
        address account = accounts[who % ACCOUNTS];
        Registration memory given = fresh(account, 0);
        vm.prank(account);
        try registry.rotateKey(given.publicKey, given.possession) {
            provenBy[keccak256(given.publicKey)] = account;
        } catch {}
    }

    function bonds(uint256 who, uint256 amount) public {
        vm.prank(accounts[who % ACCOUNTS]);
        try stake.bond(bound(amount, 0, 10 * MIN_STAKE)) {} catch {}
    }

    function unbonds(uint256 who, uint256 amount) public {
        address account = accounts[who % ACCOUNTS];
        vm.prank(account);
        try stake.unbond(bound(amount, 0, stake.stakeOf(account) + 1)) {} catch {}
    }

    function exits(uint256 who) public {
        vm.prank(accounts[who % ACCOUNTS]);
        try registry.exit() {} catch {}
    }

    function releasesStake(uint256 who) public {
        vm.prank(accounts[who % ACCOUNTS]);
        try stake.release() {
            ++releases;
        } catch {}
    }

    function ejects(uint256 who) public {
        try registry.eject(accounts[who % ACCOUNTS]) {} catch {}
    }

    function pays(uint256 who) public {
        try stake.pay(who % 2 == 0 ? BURN : address(this)) {} catch {}
    }

    function passes(uint256 secs) public {
        pass(bound(secs, 10 minutes, 6 days));
    }

    function captures() public {
        try this.captureNow() returns (Epoch memory epoch) {
            keep(epoch);
        } catch {}
    }

    function captureNow() external returns (Epoch memory) {
        return captureEpoch();
    }

    /// @dev One operator of an epoch signs two alerts for a new slot, and is reported.
    function equivocates(uint256 which, uint256 index) public {
        if (_epochs.length == 0) return;
        Epoch memory epoch = _epochs[which % _epochs.length];
        index %= epoch.entries.length;
        bytes32 keyHash = keyHashOf(epoch.entries[index]);
        address account = registry.operatorOfKey(keyHash);
        ++_places;
        Statement memory first = makeStatement(epoch, _places, 1);
        Statement memory second = makeStatement(epoch, _places, 2);
        Conflict memory conflict = makeConflict(
            epoch,
            signedBy(epoch, index, _secrets[keyHash], first),
            signedBy(epoch, index, _secrets[keyHash], second),
            1 << index
        );
        uint256 before = stake.slashableOf(account);
        try registry.slashForAlerts(first, second, conflict) {
            uint256 lost = before - stake.slashableOf(account);
            if (lost != before * SLASH_BPS / 10_000) slashedTooMuch = true;
            taken[account] += lost;
            ++slashes;
        } catch {}
    }

    // ---- what must hold

    function stakedAndOwed() external view returns (uint256 sum) {
        sum = stake.owed(address(this)) + stake.owed(BURN);
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            sum += stake.slashableOf(accounts[i]);
        }
    }

    function held() external view returns (uint256) {
        return token.balanceOf(address(stake));
    }

    function heldByRegistry() external view returns (uint256) {
        return token.balanceOf(address(registry));
    }

    /// @dev Whatever stood behind a header still can be taken while evidence under it counts, or was taken.
    function isEveryOpenHeaderBacked() external view returns (bool) {
        for (uint256 e = 0; e < _backings.length; ++e) {
            Backing storage backing = _backings[e];
            if (vm.getBlockTimestamp() > backing.until) continue;
            for (uint256 i = 0; i < backing.operators.length; ++i) {
                address operator = backing.operators[i];
                if (stake.slashableOf(operator) + taken[operator] < backing.needs[i]) return false;
            }
        }
        return true;
    }

    /// @dev Every seat is taken by one operator, who knows its place.
    function isListSound() external view returns (bool) {
        uint256 active = 0;
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            (bool isActive, bool isSlashed,,) = registry.operator(accounts[i]);
            if (isActive && isSlashed) return false;
            if (isActive) ++active;
        }
        if (active != registry.count()) return false;
        for (uint256 i = 0; i < active; ++i) {
            for (uint256 k = 0; k < i; ++k) {
                if (registry.operatorAt(i) == registry.operatorAt(k)) return false;
            }
        }
        return true;
    }

    // ---- internals

    /// @dev A registration with a key that was never there.
    function fresh(address account, uint256 bond) private returns (Registration memory given) {
        uint256 seed = ++_keys;
        given = registration(account, seed, bond);
        given.peerId = abi.encodePacked("peer of", account);
        _secrets[keccak256(given.publicKey)] = Signer.key(seed);
    }

    function keep(Epoch memory epoch) private {
        _epochs.push(epoch);
        Backing storage backing = _backings.push();
        backing.until = uint64(vm.getBlockTimestamp()) + LIFETIME + WINDOW;
        for (uint256 i = 0; i < epoch.entries.length; ++i) {
            bytes memory entry = epoch.entries[i];
            bytes32 keyHash = keyHashOf(entry);
            address operator = registry.operatorOfKey(keyHash);
            if (operator == address(0) || provenBy[keyHash] != operator) capturedUnprovenKey = true;
            uint96 weight = uint96(bytes12(slice(entry, 2, 14)));
            backing.operators.push(operator);
            backing.needs.push(weight + taken[operator]);
        }
    }

    function keyHashOf(bytes memory entry) private pure returns (bytes32) {
        return keccak256(slice(entry, HeaderLib.ENTRY_KEY_OFFSET, HeaderLib.ENTRY_BYTES));
    }

    function signedBy(Epoch memory epoch, uint256 index, uint256 secret, Statement memory statement)
        private
        view
        returns (bytes memory)
    {
        bytes memory signature = Signer.sign(secret, digestOf(statement), AlertLib.ALERT_DST);
        return assemble(epoch, signature, HeaderLib.MODE_PRESENT, 1 << index);
    }
}

/// @dev Proofs of possession and pairings are slow: few runs here, many where the profile says so.
/// forge-config: default.invariant.runs = 8
/// forge-config: prove.invariant.runs = 256
/// forge-config: default.invariant.depth = 40
/// forge-config: prove.invariant.depth = 128
contract InvariantsTest is Test {
    Crowd private crowd;

    function setUp() public {
        crowd = new Crowd();
        crowd.lay();
        bytes4[] memory selectors = new bytes4[](13);
        selectors[0] = Crowd.registers.selector;
        selectors[1] = Crowd.registersWithoutProof.selector;
        selectors[2] = Crowd.rotates.selector;
        selectors[3] = Crowd.bonds.selector;
        selectors[4] = Crowd.unbonds.selector;
        selectors[5] = Crowd.exits.selector;
        selectors[6] = Crowd.releasesStake.selector;
        selectors[7] = Crowd.ejects.selector;
        selectors[8] = Crowd.pays.selector;
        selectors[9] = Crowd.passes.selector;
        selectors[10] = Crowd.captures.selector;
        selectors[11] = Crowd.equivocates.selector;
        selectors[12] = Crowd.registers.selector;
        targetContract(address(crowd));
        targetSelector(FuzzSelector({addr: address(crowd), selectors: selectors}));
    }

    /// @dev Else the invariants below could hold because nothing ever happens.
    function test_CrowdRegistersIsCapturedSlashedAndPaidOut() public {
        for (uint256 i = 0; i < 6; ++i) {
            crowd.registers(i, 200e18);
        }
        crowd.captures();
        crowd.rotates(1);
        crowd.equivocates(0, 0);
        crowd.exits(2);
        for (uint256 i = 0; i < 4; ++i) {
            crowd.passes(6 days);
        }
        crowd.releasesStake(0);
        crowd.releasesStake(2);
        crowd.pays(1);

        assertEq(crowd.slashes(), 1);
        assertEq(crowd.releases(), 2);
        assertEq(crowd.held(), 4 * 200e18 + 90e18, "four bonds, and what is to be burnt");
    }

    /// @dev balance == sum(slashable) + sum(owed), and each slash takes its share of what is there.
    function invariant_I8_StakeIsConserved() public view {
        assertEq(crowd.held(), crowd.stakedAndOwed());
        assertEq(crowd.heldByRegistry(), 0);
        assertFalse(crowd.slashedTooMuch());
    }

    /// @dev now <= validUntil + evidenceWindow → slashable(o) + taken(o) since >= weight(o) in that header.
    function invariant_I9_EveryOpenHeaderIsBacked() public view {
        assertTrue(crowd.isEveryOpenHeaderBacked());
    }

    /// @dev key in a header → its operator has proved possession of it, here and under its own name.
    function invariant_I14_NoKeyCountsWithoutPossession() public view {
        assertFalse(crowd.tookUnprovenKey());
        assertFalse(crowd.capturedUnprovenKey());
    }

    function invariant_ListHasEachActiveOperatorOnce() public view {
        assertTrue(crowd.isListSound());
    }
}
