// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381, G1Point} from "../../src/libraries/Bls12381.sol";
import {HandoverLib} from "../../src/libraries/HandoverLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {Conflict} from "../../src/registry/EquivocationProof.sol";
import {OperatorRegistry, Registration, Statement} from "../../src/registry/OperatorRegistry.sol";
import {Evidence} from "../support/Evidence.sol";
import {Signer} from "../support/Signer.sol";

/// @title Accuser: an adversary with three operators of its own and every signature that exists.
/// @notice Three honest operators sign at most one digest per slot and epoch, and hand each epoch over once. The
///         adversary signs anything with its keys, two of which cancel each other, and puts certificates together
///         from its own signatures and the honest ones': true ones, ones that claim signers who signed something
///         else, aggregates of both modes, of other slots, epochs and tags.
contract Accuser is Evidence {
    uint256 public constant HONEST = 7;
    uint256 public constant EVIL = 56;
    uint256 public constant STAKE = 500e18;
    uint256 private constant EPOCHS = 3;

    /// @param epoch    place of the header in `epochs`
    /// @param slot     slot of the alert; unused in a handover
    /// @param variant  which of the statements that exclude each other
    /// @param claimed  who is said to have signed
    /// @param isListed whether the certificate lists them, or all others
    struct Claim {
        uint256 epoch;
        uint256 slot;
        uint256 variant;
        uint256 claimed;
        bool isListed;
    }

    address[] public operators;
    Epoch[] private _epochs;
    mapping(uint256 epoch => mapping(uint256 index => uint256)) private _secrets;

    mapping(uint256 epoch => mapping(uint256 slot => mapping(uint256 index => uint256))) private _voted;
    mapping(uint256 epoch => mapping(uint256 index => uint256)) private _handed;
    bytes[] private _pool;

    uint256 public slashes;
    bool public tookWhatIsNoProof;
    bool public refusedProof;

    /// @dev Three epochs, with keys rotated on both sides after the first.
    function lay() external {
        setUp();
        for (uint256 i = 0; i < 6; ++i) {
            address operator = address(uint160(0xA000 + i));
            operators.push(operator);
            fund(operator);
            uint256 secret = i == 5 ? Signer.ORDER - Signer.key(5) : Signer.key(i + 1);
            registerSecret(operator, secret);
            for (uint256 e = 0; e < EPOCHS; ++e) {
                _secrets[e][i] = secret;
            }
        }
        _epochs.push(captureEpoch());
        rotate(0, 100);
        rotate(3, 103);
        for (uint256 e = 1; e < EPOCHS; ++e) {
            pass(INTERVAL);
            _epochs.push(captureEpoch());
        }
    }

    function registry_() external view returns (OperatorRegistry) {
        return registry;
    }

    function slashableOf(uint256 index) external view returns (uint256) {
        return stake.slashableOf(operators[index]);
    }

    function owedAndStaked() external view returns (uint256 sum) {
        sum = stake.owed(address(this)) + stake.owed(BURN);
        for (uint256 i = 0; i < 6; ++i) {
            sum += stake.slashableOf(operators[i]);
        }
    }

    function stakeHolds() external view returns (uint256) {
        return token.balanceOf(address(stake));
    }

    // ---- the honest

    /// @dev Signs unless it has signed for this slot in this epoch.
    function honestSigns(uint256 epoch, uint256 slot, uint256 variant, uint256 index) public {
        (epoch, slot, variant, index) = (epoch % EPOCHS, slot % 2, variant % 3, index % 3);
        if (_voted[epoch][slot][index] != 0) return;
        _voted[epoch][slot][index] = variant + 1;
        bytes32 digest = digestOf(makeStatement(_epochs[epoch], slot, variant));
        _pool.push(Signer.sign(_secrets[epoch][index], digest, AlertLib.ALERT_DST));
    }

    /// @dev Hands an epoch over unless it has, with the old key, and accepts the next set with its new one.
    function honestHandsOver(uint256 epoch, uint256 variant, uint256 index) public {
        (epoch, variant, index) = (epoch % (EPOCHS - 1), variant % 3, index % 3);
        if (_handed[epoch][index] != 0) return;
        _handed[epoch][index] = variant + 1;
        bytes32 digest = handoverOf(epoch, variant);
        _pool.push(Signer.sign(_secrets[epoch][index], digest, HandoverLib.HANDOVER_DST));
        _pool.push(Signer.sign(_secrets[epoch + 1][index], digest, HandoverLib.HANDOVER_DST));
    }

    // ---- the adversary

    function accuseOfAlerts(uint256 seed) external {
        uint256 epoch = draw(seed, 0) % EPOCHS;
        uint256 slot = draw(seed, 1) % 2;
        Claim memory first = Claim(epoch, slot, draw(seed, 2) % 3, draw(seed, 3) % 64, draw(seed, 4) % 2 == 0);
        Claim memory second =
            Claim(epoch, slot, draw(seed, 5) % 3, draw(seed, 6) % 64, draw(seed, 7) % 2 == 0);
        if (draw(seed, 8) % 8 == 0) second.epoch = draw(seed, 9) % EPOCHS;
        if (draw(seed, 8) % 8 == 1) second.slot = draw(seed, 9) % 2;
        if (draw(seed, 10) % 2 == 0) first.claimed &= signersOf(first);
        if (draw(seed, 11) % 2 == 0) second.claimed &= signersOf(second);
        uint256 accused = draw(seed, 12) % 64;
        if (draw(seed, 13) % 4 != 0) accused &= first.claimed & second.claimed;
        accuse(first, second, accused, draw(seed, 14));
    }

    function accuse(Claim memory first, Claim memory second, uint256 accused, uint256 noise) public {
        Statement memory one = makeStatement(_epochs[first.epoch], first.slot, first.variant);
        Statement memory other = makeStatement(_epochs[second.epoch], second.slot, second.variant);
        Conflict memory conflict = makeConflict(
            _epochs[first.epoch],
            forge(first, signersOf(first), digestOf(one), AlertLib.ALERT_DST, noise),
            forge(second, signersOf(second), digestOf(other), AlertLib.ALERT_DST, noise >> 8),
            accused
        );
        bool isProof = first.epoch == second.epoch && first.slot == second.slot
            && first.variant != second.variant && isTrue(first, signersOf(first))
            && isTrue(second, signersOf(second)) && accused != 0
            && accused & first.claimed & second.claimed == accused;
        try registry.slashForAlerts(one, other, conflict) returns (uint256 punished) {
            account(true, isProof, punished);
        } catch {
            account(false, isProof, 0);
        }
    }

    function accuseOfHandovers(uint256 seed) external {
        uint256 epoch = draw(seed, 0) % (EPOCHS - 1);
        // By the outgoing set, or by the incoming one.
        uint256 by = epoch + draw(seed, 1) % 2;
        Claim memory first = Claim(by, 0, draw(seed, 2) % 3, draw(seed, 3) % 64, draw(seed, 4) % 2 == 0);
        Claim memory second = Claim(by, 0, draw(seed, 5) % 3, draw(seed, 6) % 64, draw(seed, 7) % 2 == 0);
        if (draw(seed, 10) % 2 == 0) first.claimed &= handersOf(epoch, first);
        if (draw(seed, 11) % 2 == 0) second.claimed &= handersOf(epoch, second);
        uint256 accused = draw(seed, 12) % 64;
        if (draw(seed, 13) % 4 != 0) accused &= first.claimed & second.claimed;
        accuseOfHandover(epoch, first, second, accused, draw(seed, 14));
    }

    function accuseOfHandover(
        uint256 epoch,
        Claim memory first,
        Claim memory second,
        uint256 accused,
        uint256 noise
    ) public {
        Conflict memory conflict = makeConflict(
            _epochs[first.epoch],
            forgeHandover(epoch, first, noise),
            forgeHandover(epoch, second, noise >> 8),
            accused
        );
        bool isProof = first.epoch == second.epoch && first.variant != second.variant
            && isTrue(first, handersOf(epoch, first)) && isTrue(second, handersOf(epoch, second))
            && accused != 0 && accused & first.claimed & second.claimed == accused;
        try registry.slashForHandovers(
            _epochs[epoch].number,
            _epochs[epoch].headerHash,
            nextSetOf(epoch, first.variant),
            nextSetOf(epoch, second.variant),
            conflict
        ) returns (
            uint256 punished
        ) {
            account(true, isProof, punished);
        } catch {
            account(false, isProof, 0);
        }
    }

    // ---- what is true, and what is only claimed

    function signersOf(Claim memory claim) private view returns (uint256 signers) {
        signers = EVIL;
        for (uint256 i = 0; i < 3; ++i) {
            if (_voted[claim.epoch][claim.slot][i] == claim.variant + 1) signers |= 1 << i;
        }
    }

    function handersOf(uint256 epoch, Claim memory claim) private view returns (uint256 signers) {
        signers = EVIL;
        for (uint256 i = 0; i < 3; ++i) {
            if (_handed[epoch][i] == claim.variant + 1) signers |= 1 << i;
        }
    }

    /// @dev Everybody who is claimed has signed, and their keys do not cancel out.
    function isTrue(Claim memory claim, uint256 signers) private view returns (bool) {
        return claim.claimed & signers == claim.claimed && secretOf(claim.epoch, claim.claimed) != 0;
    }

    function account(bool accepted, bool isProof, uint256 punished) private {
        slashes += punished;
        if (accepted && !isProof) tookWhatIsNoProof = true;
        if (!accepted && isProof) refusedProof = true;
    }

    function forgeHandover(uint256 epoch, Claim memory claim, uint256 noise)
        private
        view
        returns (bytes memory)
    {
        bytes32 digest = handoverOf(epoch, claim.variant);
        return forge(claim, handersOf(epoch, claim), digest, HandoverLib.HANDOVER_DST, noise);
    }

    /// @dev Adds up what those who really signed contribute; where somebody is claimed who did not, any
    ///      signatures of honest operators over other things stand in.
    function forge(Claim memory claim, uint256 signers, bytes32 digest, bytes memory tag, uint256 noise)
        private
        view
        returns (bytes memory)
    {
        bytes memory signature = Signer.sign(secretOf(claim.epoch, claim.claimed & signers), digest, tag);
        if (claim.claimed & signers != claim.claimed && _pool.length != 0) {
            G1Point memory sum = this.read(signature);
            for (uint256 i = 0; i <= noise % 2; ++i) {
                noise >>= 1;
                Bls12381.addG1(sum, this.read(_pool[(noise >> 16 * i) % _pool.length]), 100_000);
            }
            signature = Signer.rawG1(sum);
        }
        uint8 mode = claim.isListed ? HeaderLib.MODE_PRESENT : HeaderLib.MODE_ABSENT;
        return assemble(_epochs[claim.epoch], signature, mode, claim.claimed);
    }

    function read(bytes calldata signature) external pure returns (G1Point memory) {
        return Bls12381.readG1(signature, 0);
    }

    function secretOf(uint256 epoch, uint256 signers) private view returns (uint256 sum) {
        for (uint256 i = 0; i < 6; ++i) {
            if (signers >> i & 1 == 1) sum = addmod(sum, _secrets[epoch][i], Signer.ORDER);
        }
    }

    function handoverOf(uint256 epoch, uint256 variant) private view returns (bytes32) {
        Epoch storage outgoing = _epochs[epoch];
        return handoverDigest(outgoing.number, outgoing.headerHash, nextSetOf(epoch, variant));
    }

    /// @dev The true next set, and two others.
    function nextSetOf(uint256 epoch, uint256 variant) private view returns (bytes32) {
        return variant == 0 ? _epochs[epoch + 1].headerHash : keccak256(abi.encode("set", variant));
    }

    function draw(uint256 seed, uint256 which) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, which)));
    }

    // ---- the ground

    function registerSecret(address operator, uint256 secret) private {
        Registration memory given = Registration({
            publicKey: Signer.publicKey(secret),
            possession: possession(secret, operator),
            peerId: abi.encodePacked(operator),
            metadata: "",
            stakeData: abi.encode(STAKE)
        });
        _pool.push(given.possession);
        vm.prank(operator);
        registry.register(given);
    }

    function rotate(uint256 index, uint256 seed) private {
        Registration memory given = registration(operators[index], seed, 0);
        vm.prank(operators[index]);
        registry.rotateKey(given.publicKey, given.possession);
        for (uint256 e = 1; e < EPOCHS; ++e) {
            _secrets[e][index] = Signer.key(seed);
        }
    }
}

contract FramingTest is Test {
    Accuser private accuser;

    function setUp() public {
        accuser = new Accuser();
        accuser.lay();
        bytes4[] memory selectors = new bytes4[](4);
        selectors[0] = Accuser.honestSigns.selector;
        selectors[1] = Accuser.honestHandsOver.selector;
        selectors[2] = Accuser.accuseOfAlerts.selector;
        selectors[3] = Accuser.accuseOfHandovers.selector;
        targetContract(address(accuser));
        targetSelector(FuzzSelector({addr: address(accuser), selectors: selectors}));
    }

    /// @dev Else the invariants below could hold because nobody is ever punished.
    function test_RealEquivocatorIsSlashedAmongHonestSigners() public {
        accuser.honestSigns(1, 0, 0, 0);
        accuser.honestSigns(1, 0, 0, 1);
        accuser.honestSigns(1, 0, 1, 2);
        Accuser.Claim memory first = Accuser.Claim(1, 0, 0, 1 | 2 | 8 | 16, true);
        Accuser.Claim memory second = Accuser.Claim(1, 0, 1, 4 | 8 | 32, false);

        accuser.accuse(first, second, 8, 0);

        assertEq(accuser.slashes(), 1);
        assertEq(accuser.slashableOf(3), accuser.STAKE() / 2);
        assertEq(accuser.slashableOf(2), accuser.STAKE());
        // And with handovers, by the set that comes in.
        accuser.honestHandsOver(0, 0, 1);
        first = Accuser.Claim(1, 0, 0, 2 | 8, true);
        second = Accuser.Claim(1, 0, 2, 8, true);
        accuser.accuseOfHandover(0, first, second, 8, 0);
        assertEq(accuser.slashes(), 2);
    }

    /// @dev signs(o, slot, epoch) <= 1 and hands(o, epoch) <= 1 → nothing of o's is ever taken.
    /// forge-config: default.invariant.runs = 12
    /// forge-config: prove.invariant.runs = 256
    /// forge-config: default.invariant.depth = 32
    /// forge-config: prove.invariant.depth = 128
    function invariant_I8_HonestOperatorIsNeverSlashed() public view {
        for (uint256 i = 0; i < 3; ++i) {
            (bool active, bool isSlashed,,) = accuser.registry_().operator(accuser.operators(i));
            assertTrue(active);
            assertFalse(isSlashed);
            assertEq(accuser.slashableOf(i), accuser.STAKE());
        }
        assertFalse(accuser.tookWhatIsNoProof(), "only what is a proof is taken for one");
        assertFalse(accuser.refusedProof(), "what is a proof is taken");
        assertEq(accuser.owedAndStaked(), 6 * accuser.STAKE(), "nothing is lost or made");
        assertEq(accuser.stakeHolds(), 6 * accuser.STAKE());
    }
}
