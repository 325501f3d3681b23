// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DemoToken} from "../../demo/DemoToken.sol";

interface ISpender {
    function beforeTokensMove() external;
}

/// @title HookToken: asks the spender before its tokens move, as ERC-777 does. For tests.
contract HookToken is DemoToken {
    constructor() DemoToken("Hook", "HOOK") {}

    function _update(address from, address to, uint256 value) internal override {
        if (from.code.length != 0 && from != to && msg.sender != from) {
            ISpender(from).beforeTokensMove();
        }
        super._update(from, to, value);
    }
}
