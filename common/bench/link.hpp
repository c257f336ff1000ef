#pragma once

/// @file
/// The client and the server of every mechanism that sends and receives whole messages by calls that wait.
///
/// A Link is constructed from (setting, is_server), has send(std::string_view) and receive(std::string&),
/// which fills the string it is given, as long as a message is. The server's is made first.

#include "program.hpp"

namespace bench {

template <class Link>
void link_client(const Setting& setting) {
    Server server(setting);
    server.wait_until_ready();
    Link link(setting, false);
    if (setting.mode == Mode::throughput) {
        Outgoing stream(setting);
        for (std::string_view message; !(message = stream.next()).empty();)
            link.send(message);
        stream.report();
    } else {
        RoundTrips trips(setting);
        std::string answer(setting.size, ' ');
        while (trips.next()) {
            link.send(trips.message());
            link.receive(answer);
            trips.answered(answer);
        }
        link.send(message_of(setting.size, last_number));
        trips.report();
    }
    server.wait();
}

template <class Link>
void link_server(const Setting& setting) {
    Link link(setting, true);
    Incoming incoming(setting);
    std::string message(setting.size, ' ');
    ready();
    for (;;) {
        link.receive(message);
        if (!incoming.message(message))
            break;
        if (setting.mode != Mode::throughput)
            link.send(message);
    }
    incoming.report();
}

template <class Link>
int run_link(int argc, char** argv) {
    return run(argc, argv, link_client<Link>, link_server<Link>);
}

}  // namespace bench
