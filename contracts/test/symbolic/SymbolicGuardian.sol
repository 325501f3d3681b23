// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";
import {PausableAdapter} from "../../src/adapters/PausableAdapter.sol";
import {Guardian} from "../../src/guardian/Guardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {ActionConfig, IGuardian, Level} from "../../src/interfaces/IGuardian.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";

/// @notice What Halmos makes up.
interface Svm {
    function createBool(string memory name) external returns (bool);
    function createBytes32(string memory name) external returns (bytes32);
}

Svm constant SVM = Svm(address(uint160(uint256(keccak256("svm cheat code")))));

/// @title AnyVerdict: a verifier that has counted whatever it is told; a quorum it refuses as every verifier must
contract AnyVerdict is IQuorumVerifier {
    bytes32 public constant networkId = keccak256("network");
    uint128 public signed;
    uint128 public total;

    function find(uint128 signed_, uint128 total_) external {
        (signed, total) = (signed_, total_);
    }

    function currentSet() external pure returns (uint32, uint64) {
        return (1, type(uint64).max);
    }

    function verify(bytes32, uint32, bytes32, uint16 thresholdBps, bytes calldata)
        external
        view
        returns (uint128, uint128)
    {
        unchecked {
            require(10_000 * uint256(signed) > uint256(total) * thresholdBps);
        }
        return (signed, total);
    }
}

/// @title Valve: a target that obeys whoever calls
contract Valve {
    bool public paused;

    function pause() external {
        paused = true;
    }

    function unpause() external {
        paused = false;
    }
}

/// @title AnyAdapter: fails or answers with any word, anew at each call
contract AnyAdapter {
    fallback() external {
        bytes32 word = SVM.createBytes32("answer");
        bool fails = SVM.createBool("fails");
        assembly ("memory-safe") {
            mstore(0x00, word)
            if fails { revert(0x00, 32) }
            return(0x00, 32)
        }
    }
}

/// @title AnyChainGuardian: a guardian on a chain whose blocks have any hashes, or none that are known
/// @dev Halmos 0.3.3 stops at the opcode BLOCKHASH. Nothing else is changed.
contract AnyChainGuardian is Guardian {
    constructor(IQuorumVerifier verifier_) Guardian(verifier_) {}

    function _blockHash(uint256) internal view override returns (bytes32) {
        (, bytes memory answer) = address(SVM).staticcall(abi.encodeCall(SVM.createBytes32, ("block hash")));
        return bytes32(answer);
    }
}

/// @title SymbolicGuardian: a guardian with one action, which checks put into any state that it can be in
/// @notice A clone as the factory makes it, with the real office, the real adapter and a target that obeys. The
///         words of the action are stored as the checks ask for: see `enter`.
abstract contract SymbolicGuardian {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address internal constant OWNER = address(0xA11CE);
    bytes32 internal constant POLICY = keccak256("policy");
    bytes32 internal constant ACTION = keccak256("pause");
    bytes32 internal constant TELL = keccak256("tell");
    uint256 internal constant ACTIONS_SLOT = 2;
    uint256 internal constant LIFT_TERMS_SLOT = 3;

    AnyVerdict internal verifier;
    IGuardian internal guardian;
    Valve internal valve;
    IAdapter internal adapter;

    /// @dev What is stored of an action beside its adapter, as numbers. See ActionWords.
    struct State {
        uint8 level;
        uint16 thresholdBps;
        uint24 minGas;
        uint24 maxDuration;
        uint24 cooldown;
        uint40 until;
        uint40 startedAt;
        uint40 observedAfter;
        uint40 lastEndedAt;
        uint40 budgetFullAt;
        uint24 budget;
        uint24 window;
        uint8 mark;
    }

    function setUp() public virtual {
        verifier = new AnyVerdict();
        address implementation = address(new AnyChainGuardian(verifier));
        guardian = IGuardian(new GuardianFactory(implementation).create(OWNER, POLICY, 0));
        valve = new Valve();
        adapter = new PausableAdapter(address(guardian), address(valve));
        vm.prank(OWNER);
        guardian.setAction(
            ACTION,
            ActionConfig({
                adapter: adapter,
                level: Level.Pause,
                thresholdBps: 6667,
                minGas: 150_000,
                maxDuration: 4 hours,
                cooldown: 10 minutes,
                budget: 16 hours,
                window: 1 days
            })
        );
    }

    /// @dev Any state of a restricting action under terms that `setAction` takes, at any time of 39 bits.
    function enter(State memory state, uint256 time) internal {
        vm.assume(time >= 2 && time < 2 ** 39);
        vm.assume(state.level != uint8(Level.Alert) && state.level <= uint8(Level.Pause) && state.mark <= 2);
        vm.assume(state.maxDuration != 0 && state.maxDuration <= 30 days && state.cooldown != 0);
        vm.assume(state.budget >= 2 * uint256(state.maxDuration) && state.budget <= state.window);
        vm.assume(state.window <= 180 days && state.budgetFullAt <= time + state.window);
        vm.assume(state.startedAt <= time && state.until <= uint256(state.startedAt) + state.maxDuration);
        vm.warp(time);
        store(ACTION, adapter, state);
    }

    /// @dev The owner's least time before an all-clear may end a restriction of the action.
    function allowClear(uint32 minHold) internal {
        vm.store(address(guardian), keccak256(abi.encode(ACTION, LIFT_TERMS_SLOT)), bytes32(uint256(minHold)));
    }

    function store(bytes32 actionId, IAdapter adapter_, State memory state) internal {
        uint256 slot = uint256(keccak256(abi.encode(actionId, ACTIONS_SLOT)));
        vm.store(
            address(guardian),
            bytes32(slot),
            bytes32(
                abi.encodePacked(
                    state.cooldown,
                    state.maxDuration,
                    state.minGas,
                    state.thresholdBps,
                    state.level,
                    address(adapter_)
                )
            )
        );
        vm.store(
            address(guardian),
            bytes32(slot + 1),
            bytes32(
                abi.encodePacked(
                    state.mark,
                    state.window,
                    state.budget,
                    state.budgetFullAt,
                    state.lastEndedAt,
                    state.observedAfter,
                    state.startedAt,
                    state.until
                )
            )
        );
    }
}
