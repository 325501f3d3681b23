// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";

/// @title Market: the risk parameters of a lending market behind a role, in the forms that setters come in. For tests.
contract Market is AccessControl {
    struct Listing {
        bool isListed;
        uint256 collateralFactor;
    }

    bytes32 public constant RISK_ROLE = keccak256("RISK_ROLE");

    uint256 public supplyCap;
    address public oracle;
    mapping(address asset => Listing) public markets;

    constructor(address admin) {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(RISK_ROLE, admin);
    }

    function setSupplyCap(uint256 cap) external onlyRole(RISK_ROLE) {
        supplyCap = cap;
    }

    function setCollateralFactor(address asset, uint256 factor) external onlyRole(RISK_ROLE) {
        markets[asset] = Listing({isListed: true, collateralFactor: factor});
    }

    function setOracle(address oracle_) external onlyRole(RISK_ROLE) {
        oracle = oracle_;
    }
}
