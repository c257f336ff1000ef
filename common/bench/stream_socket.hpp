#pragma once

/// @file
/// Lab 07 over a stream socket, TCP or UNIX: call() and serve() for round trips. For a stream, frames are
/// sent to serve() without waiting for their answers, which are short, by a client of our own: the contract
/// has none that does so.

#include "sessions.hpp"
#include "sockets.hpp"
#include <cstdio>

namespace bench {

/// What serve() is told to listen on.
using Where = sockets::Listening (*)(const Setting&);

/// Frames from `stream` to the server, its answers read and thrown away. stream_socket_*.cpp
void pour_frames(const sockets::Address& address, Outgoing& stream);

inline sockets::Address address_from(const std::string& text) {
    if (text.rfind("unix:", 0) == 0)
        return {"", "", text.substr(5)};
    const std::size_t colon = text.rfind(':');
    return {text.substr(0, colon), text.substr(colon + 1), ""};
}

template <Where where>
void stream_server(const Setting& setting) {
    Incoming incoming(setting);
    const bool echoes = setting.mode != Mode::throughput;
    sockets::serve(
        where(setting),
        [&](const std::string&, std::string_view request, std::string& answer) {
            if (!incoming.message(request))
                incoming.report();
            answer.append(echoes ? request : request.substr(0, 1));
        },
        [](const std::string& peer, const std::string& why) {
            std::fprintf(stderr, "serve() refuses %s: %s\n", peer.c_str(), why.c_str());
        },
        [](const std::vector<sockets::Address>& addresses) { ready(to_text(addresses.at(0))); });
}

template <Where where>
void stream_client(const Setting& setting) {
    Server server(setting);
    const sockets::Address address = address_from(server.wait_until_ready());
    if (setting.mode == Mode::throughput) {
        Outgoing stream(setting);
        pour_frames(address, stream);
        stream.report();
    } else {
        ask_in_sessions(
            setting, [&](const std::vector<std::string>& texts, const sockets::OnAnswer& on_answer) {
                sockets::call(address, texts, ipc::Deadline::in(std::chrono::seconds(30)), on_answer);
            });
    }
    server.terminate();
}

}  // namespace bench
