// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Owned} from "./access/Owned.sol";
import {IToken} from "./interfaces/IToken.sol";
import {Berths} from "./libraries/Berths.sol";

/// @title Harbour dues, paid in advance
/// @notice One token is one hour at a berth. The harbour master issues tokens; a ship spends them by mooring.
contract HarbourToken is Owned, IToken {
    using Berths for Berths.Book;

    string public constant name = "Harbour Hour";
    string public constant symbol = "HOUR";
    uint8 public constant decimals = 0;

    uint256 public totalSupply;
    mapping(address ship => uint256 hoursLeft) public balanceOf;
    mapping(address ship => mapping(address agent => uint256 hoursLeft)) public allowance;

    Berths.Book private _book;

    error NotEnoughHours(uint256 wanted, uint256 held);

    event Moored(address indexed ship, uint16 indexed berth, uint64 until);

    constructor(address master, uint16 berths) Owned(master) {
        _book.open(berths);
    }

    function issue(address ship, uint256 amount) external onlyOwner {
        totalSupply += amount;
        balanceOf[ship] += amount;
        emit Transfer(address(0), ship, amount);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function approve(address agent, uint256 amount) external returns (bool) {
        allowance[msg.sender][agent] = amount;
        emit Approval(msg.sender, agent, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed < amount) revert NotEnoughHours(amount, allowed);
        allowance[from][msg.sender] = allowed - amount;
        _move(from, to, amount);
        return true;
    }

    /// @notice Takes a free berth for some hours; the hours are gone even if the ship leaves early.
    function moor(uint16 berth, uint32 stayHours) external returns (uint64 until) {
        uint256 held = balanceOf[msg.sender];
        if (held < stayHours) revert NotEnoughHours(stayHours, held);
        balanceOf[msg.sender] = held - stayHours;
        totalSupply -= stayHours;
        until = _book.take(berth, msg.sender, uint64(block.timestamp) + uint64(stayHours) * 1 hours);
        emit Transfer(msg.sender, address(0), stayHours);
        emit Moored(msg.sender, berth, until);
    }

    function shipAt(uint16 berth) external view returns (address) {
        return _book.shipAt(berth, uint64(block.timestamp));
    }

    function _move(address from, address to, uint256 amount) private {
        uint256 held = balanceOf[from];
        if (held < amount) revert NotEnoughHours(amount, held);
        balanceOf[from] = held - amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }
}
