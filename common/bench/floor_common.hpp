#pragma once

/// @file
/// The ping-pong of the floors: two copies each way through shared memory, and `Wait` to know when. No
/// mechanism that carries messages by shared memory can be faster by more than what it overlaps.

#include "program.hpp"
#include "shared_area.hpp"

namespace bench {

template <class Wait>
void floor_client(const Setting& setting) {
    const SharedArea area(setting.name, setting.size, true);
    Server server(setting);
    server.wait_until_ready();
    RoundTrips trips(setting);
    std::string answer(setting.size, ' ');
    std::uint32_t turn = 0;
    const auto exchange = [&](const char* message) {
        std::memcpy(area.there().bytes, message, setting.size);
        Wait::tell(area.there().count, ++turn);
        Wait::wait_for(area.back().count, turn);
        std::memcpy(answer.data(), area.back().bytes, setting.size);
    };
    while (trips.next()) {
        exchange(trips.message().data());
        trips.answered(answer);
    }
    exchange(message_of(setting.size, last_number).data());
    trips.report();
    server.wait();
}

template <class Wait>
void floor_server(const Setting& setting) {
    const SharedArea area(setting.name, setting.size, false);
    Incoming incoming(setting);
    std::string message(setting.size, ' ');
    ready();
    bool more = true;
    for (std::uint32_t turn = 1; more; ++turn) {
        Wait::wait_for(area.there().count, turn);
        std::memcpy(message.data(), area.there().bytes, setting.size);
        more = incoming.message(message);
        std::memcpy(area.back().bytes, message.data(), setting.size);
        Wait::tell(area.back().count, turn);
    }
    incoming.report();
}

}  // namespace bench
