// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

// Compiled so that the demonstration and the tests can deploy OpenZeppelin's own AccessManager.
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
