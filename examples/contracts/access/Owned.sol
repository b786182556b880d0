// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice One account is in charge, and hands over in two steps so that a typing error loses nothing.
abstract contract Owned {
    address public owner;
    address public heir;

    error NotInCharge(address caller);

    event HandedOver(address indexed from, address indexed to);

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotInCharge(msg.sender);
        _;
    }

    constructor(address first) {
        owner = first;
        emit HandedOver(address(0), first);
    }

    function offer(address next) external onlyOwner {
        heir = next;
    }

    function accept() external {
        if (msg.sender != heir) revert NotInCharge(msg.sender);
        emit HandedOver(owner, heir);
        owner = heir;
        heir = address(0);
    }
}
