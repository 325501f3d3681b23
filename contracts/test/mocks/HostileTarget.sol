// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title HostileTarget: a pausable that misbehaves on demand. For tests.
contract HostileTarget {
    enum Mode {
        Honest,
        Reverts,
        BurnsGas,
        ReturnsMegabytes,
        RevertsMegabytes,
        IgnoresPause,
        CallsBack
    }

    address public pauser;
    bool public paused;
    Mode public mode;
    address public calledBack;
    bytes public callBackData;
    bytes public callBackAnswer;
    bool public callBackOk;

    function setPauser(address pauser_) external {
        pauser = pauser_;
    }

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    function setCallBack(address to, bytes calldata data) external {
        mode = Mode.CallsBack;
        calledBack = to;
        callBackData = data;
    }

    function pause() external {
        _change(true);
    }

    function unpause() external {
        _change(false);
    }

    function _change(bool to) private {
        if (mode == Mode.Reverts) revert("no");
        if (mode == Mode.IgnoresPause) return;
        paused = to;
        if (mode == Mode.BurnsGas) {
            while (true) {}
        }
        if (mode == Mode.ReturnsMegabytes) {
            assembly {
                return(0, 1000000)
            }
        }
        if (mode == Mode.RevertsMegabytes) {
            assembly {
                revert(0, 1000000)
            }
        }
        if (mode == Mode.CallsBack) (callBackOk, callBackAnswer) = calledBack.call(callBackData);
    }
}
