// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title HostileSetting: a setting that anybody may set and that does not keep what it is given. For tests.
contract HostileSetting {
    enum Mode {
        Honest,
        Ignores,
        Loosens,
        Zeroes
    }

    uint256 public value;
    Mode public mode;

    constructor(uint256 value_) {
        value = value_;
    }

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    function setValue(uint256 wanted) external {
        if (mode == Mode.Ignores) return;
        if (mode == Mode.Loosens) value *= 2;
        else if (mode == Mode.Zeroes) value = 0;
        else value = wanted;
    }
}
