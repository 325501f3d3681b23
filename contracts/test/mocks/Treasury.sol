// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title Treasury: holds tokens and coin, and lets a role bring all of an asset to safety; turns bad on demand.
///        For tests.
contract Treasury is AccessControl {
    using SafeERC20 for IERC20;

    enum Mode {
        Honest,
        SendsElsewhere,
        SendsHalfElsewhere,
        Keeps,
        Reverts,
        CallsBack,
        ReturnsMegabytes
    }

    bytes32 public constant RESCUER_ROLE = keccak256("RESCUER_ROLE");
    address public constant THIEF = address(0xBAD);

    Mode public mode;
    address public calledBack;
    bytes public callBackData;
    bool public callBackOk;

    constructor(address admin) {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
    }

    receive() external payable {}

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    function setCallBack(address to, bytes calldata data) external {
        mode = Mode.CallsBack;
        calledBack = to;
        callBackData = data;
    }

    /// @param keptUnits stays here
    function rescue(IERC20 asset, address to, uint256 keptUnits) external onlyRole(RESCUER_ROLE) {
        if (mode == Mode.Reverts) revert("no");
        if (mode == Mode.Keeps) return;
        if (mode == Mode.CallsBack) (callBackOk,) = calledBack.call(callBackData);
        uint256 units = _held(asset) - keptUnits;
        if (mode == Mode.SendsElsewhere) {
            to = THIEF;
        } else if (mode == Mode.SendsHalfElsewhere) {
            _send(asset, THIEF, units / 2);
            units -= units / 2;
        }
        _send(asset, to, units);
        if (mode == Mode.ReturnsMegabytes) {
            assembly {
                return(0, 1000000)
            }
        }
    }

    function _held(IERC20 asset) private view returns (uint256) {
        return address(asset) == address(0) ? address(this).balance : asset.balanceOf(address(this));
    }

    function _send(IERC20 asset, address to, uint256 units) private {
        if (address(asset) != address(0)) return asset.safeTransfer(to, units);
        (bool ok,) = to.call{value: units}("");
        require(ok, "coin refused");
    }
}
