// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice Who lies at which berth, and until when. A stay that is over frees its berth by itself.
library Berths {
    struct Stay {
        address ship;
        uint64 until;
    }

    struct Book {
        uint16 berths;
        mapping(uint16 berth => Stay) stays;
    }

    error NoSuchBerth(uint16 berth);
    error BerthTaken(uint16 berth, uint64 until);

    function open(Book storage book, uint16 berths) internal {
        book.berths = berths;
    }

    function take(Book storage book, uint16 berth, address ship, uint64 until) internal returns (uint64) {
        if (berth >= book.berths) revert NoSuchBerth(berth);
        Stay storage stay = book.stays[berth];
        if (stay.until > block.timestamp) revert BerthTaken(berth, stay.until);
        stay.ship = ship;
        stay.until = until;
        return until;
    }

    function shipAt(Book storage book, uint16 berth, uint64 moment) internal view returns (address) {
        Stay storage stay = book.stays[berth];
        return stay.until > moment ? stay.ship : address(0);
    }
}
