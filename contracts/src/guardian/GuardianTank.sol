// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {GasRefund} from "../libraries/GasRefund.sol";
import {TimeBudget} from "../libraries/TimeBudget.sol";
import {GuardianStorage} from "./GuardianStorage.sol";

/// @title GuardianTank: ether from which those who submit are paid back their gas
/// @notice The tank is the guardian's own balance; anyone may fill it by a plain transfer. It pays for effects
///         only: a restriction that began, or one that ended. Deliveries that find everything done, alerts that
///         only speak, and reverts are paid by who sent them.
///
///         A submitter chooses its gas price, its bytes and its address. So the price is held to the base fee and
///         the owner's tip; of the bytes only the certificate's are paid, whose number the verifier has checked, the
///         rest is a constant; one transaction gets at most `maxPerResponse`, and all together `maxPerWindow` in
///         every window. The payment is the last thing that happens, under the lock, with little gas; who
///         refuses it gets nothing.
abstract contract GuardianTank is GuardianStorage {
    /// @notice Gas of a delivery outside of what is measured: base, calldata without the certificate, the
    ///         payment itself.
    uint256 internal constant DELIVERY_OVERHEAD_GAS = 41_000;

    /// @notice Gas of one byte of a certificate; some are zeros, and cheaper.
    uint256 internal constant CERTIFICATE_BYTE_GAS = 15;

    /// @notice Gas of an `expire` outside of what is measured.
    uint256 internal constant EXPIRY_OVERHEAD_GAS = 35_000;

    /// @notice Gas that the receiver of a payment gets.
    uint256 internal constant PAYMENT_GAS = 10_000;

    // ---- internals

    /// @dev Pays the caller for a delivery. An empty tank costs one look at the balance.
    function _refundDelivery(uint256 certificateBytes) internal {
        // Whoever sends one wei makes the tank look, and find nothing worth paying.
        // slither-disable-next-line incorrect-equality
        if (address(this).balance == 0) return;
        _pay(DELIVERY_OVERHEAD_GAS + CERTIFICATE_BYTE_GAS * certificateBytes);
    }

    /// @dev Pays the caller for an `expire`.
    function _refundExpiry() internal {
        if (address(this).balance != 0) _pay(EXPIRY_OVERHEAD_GAS);
    }

    function _pay(uint256 overheadGas) private {
        Tank memory terms = _tank;
        // The owner's own word for no tank.
        // slither-disable-next-line incorrect-equality
        if (terms.maxPerResponse == 0) return;
        uint256 cap = TimeBudget.left(terms.budgetFullAt, block.timestamp, terms.maxPerWindow, terms.window);
        if (cap > terms.maxPerResponse) cap = terms.maxPerResponse;
        if (cap > address(this).balance) cap = address(this).balance;
        uint256 gasUsed = _gasAtStart - gasleft() + overheadGas;
        uint256 amountWei = GasRefund.amountWei(gasUsed, tx.gasprice, block.basefee, terms.tipCap, cap);
        // Nothing to pay is nothing to pay; one wei more is paid.
        // slither-disable-next-line incorrect-equality
        if (amountWei == 0) return;

        // What was spent is what was asked: the cap above is what is left.
        // slither-disable-next-line unused-return
        (, uint256 fullAt) =
            TimeBudget.spend(terms.budgetFullAt, block.timestamp, amountWei, terms.maxPerWindow, terms.window);
        _tank.budgetFullAt = uint40(fullAt);
        bool ok;
        assembly ("memory-safe") {
            ok := call(PAYMENT_GAS, caller(), amountWei, 0, 0, 0, 0)
        }
        if (ok) emit Refunded(msg.sender, amountWei, uint40(fullAt));
        else emit RefundFailed(msg.sender, amountWei, uint40(fullAt));
    }
}
