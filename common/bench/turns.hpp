#pragma once

/// @file
/// Client and server for what carries no bytes: each gives the other its turn.
///
/// A Turn is constructed from a name by whoever comes first, when nobody has it; it has give() and take().

#include "program.hpp"
#include <atomic>
#include <thread>

namespace bench {

template <class Turn>
struct Turns {
    explicit Turns(const Setting& setting)
        : there(setting.name + ".there"), back(setting.name + ".back"), end(setting.name + ".end") {}
    Turn there, back, end;
};

template <class Turn>
void turns_client(const Setting& setting) {
    Turns<Turn> turns(setting);
    Server server(setting);
    server.wait_until_ready();
    RoundTrips trips(setting);
    while (trips.next()) {
        turns.there.give();
        turns.back.take();
        trips.answered(trips.message());
    }
    trips.report();
    turns.end.give();
    server.wait();
}

template <class Turn>
void turns_server(const Setting& setting) {
    Turns<Turn> turns(setting);
    std::atomic<bool> over = false;
    // It sleeps until the end, so that the exchange itself has nothing in it but the turns.
    std::thread waits_for_the_end([&] {
        turns.end.take();
        over = true;
        turns.there.give();
    });
    Incoming incoming(setting);
    ready();
    for (std::uint64_t number = 0;; ++number) {
        turns.there.take();
        if (over)
            break;
        incoming.message(message_of(smallest_message, number));
        turns.back.give();
    }
    waits_for_the_end.join();
    incoming.report();
}

}  // namespace bench
