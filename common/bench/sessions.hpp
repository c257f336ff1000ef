#pragma once

/// @file
/// Round trips by a function that asks many questions in a session of its own, and calls back at each answer.

#include "program.hpp"
#include <algorithm>

namespace bench {

/// `session(texts, on_answer)` opens a session, which costs something, and asks all of `texts` in it, one
/// after the other. The first answer of each is not counted.
template <class Session>
void ask_in_sessions(const Setting& setting, const Session& session) {
    const std::size_t length = std::clamp<std::size_t>((4 << 20) / setting.size, 16, 256);
    RoundTrips trips(setting);
    bool more = trips.next();
    while (more) {
        std::vector<std::string> texts(length, std::string(trips.message()));
        for (std::size_t i = 0; i < length; ++i)
            put_number(texts[i].data(), trips.sent() - 1 + i);
        trips.skip();
        session(texts, [&](const std::string& answer) {
            if (!more)
                return;
            trips.answered(answer);
            more = trips.next();
        });
    }
    trips.report();
    session({message_of(setting.size, last_number)}, [](const std::string&) {});
}

}  // namespace bench
