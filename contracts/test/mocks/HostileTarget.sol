// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title HostileTarget: a pausable that misbehaves on demand. For tests.
contract HostileTarget {
    /// @notice How `pause` and `unpause` behave.
    enum Mode {
        Honest,
        Reverts,
        BurnsGas,
        ReturnsMegabytes,
        RevertsMegabytes,
        IgnoresPause,
        CallsBack
    }

    /// @notice How `paused` answers.
    enum Answer {
        Honest,
        Always,
        Never,
        Reverts,
        BurnsGas,
        Megabytes,
        Garbage
    }

    address public pauser;
    bool public isPaused;
    Mode public mode;
    Answer public answer;
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

    function setAnswer(Answer answer_) external {
        answer = answer_;
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

    function paused() external view returns (bool) {
        if (answer == Answer.Always) return true;
        if (answer == Answer.Never) return false;
        if (answer == Answer.Reverts) revert("no");
        if (answer == Answer.BurnsGas) {
            while (true) {}
        }
        if (answer == Answer.Megabytes) {
            assembly {
                return(0, 1000000)
            }
        }
        if (answer == Answer.Garbage) {
            assembly {
                mstore(0, 2)
                return(0, 32)
            }
        }
        return isPaused;
    }

    function _change(bool to) private {
        if (mode == Mode.Reverts) revert("no");
        if (mode == Mode.IgnoresPause) return;
        isPaused = to;
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
