// Lab 07 over UDP. A round trip is one datagram sent by udp_send_reliably() until it is acknowledged, with
// the socket that each call makes; who acknowledges is ours, because udp_listen() hears one sender only. A
// stream is one udp_send(), as many datagrams as it takes; what of it udp_listen() never hears is counted as
// lost.

#include "udp_acknowledger.hpp"

#include "program.hpp"
#include "sockets.hpp"
#include <algorithm>

namespace {

using namespace bench;

sockets::Address address_of(const std::string& port) {
    return {"127.0.0.1", port, ""};
}

void client(const Setting& setting) {
    Server server(setting);
    const sockets::Address address = address_of(server.wait_until_ready());
    if (setting.mode == Mode::throughput) {
        // All are made before the first is sent, so not by the clock: about as many as a fast machine sends
        // in the time.
        const auto count = static_cast<std::size_t>(
            std::clamp(setting.seconds * 400'000, 1000.0, double{sockets::most_datagrams}));
        Setting counted = setting;
        counted.bytes = count * setting.size;
        Outgoing stream(counted);
        std::vector<std::string> texts;
        while (texts.size() < count)
            texts.emplace_back(stream.next());
        sockets::udp_send(address, texts);
        stream.report();
    } else {
        RoundTrips trips(setting);
        while (trips.next()) {
            sockets::udp_send_reliably(address, {std::string(trips.message())}, std::chrono::seconds(10));
            trips.answered(trips.message());
        }
        trips.report();
        sockets::udp_send_reliably(address, {message_of(setting.size, last_number)},
                                   std::chrono::seconds(10));
    }
    server.wait();
}

void server(const Setting& setting) {
    Incoming incoming(setting);
    if (setting.mode == Mode::throughput) {
        sockets::udp_listen(
            "0", std::chrono::milliseconds(100),
            [](const std::vector<sockets::Address>& addresses) { ready(addresses.at(0).port); },
            [&](unsigned, const std::string& text) {
                incoming.message(text);
                incoming.mark();
            });
        incoming.pause();
    } else {
        Acknowledger acknowledger;
        ready(acknowledger.port());
        while (incoming.message(acknowledger.next())) {
        }
    }
    incoming.report();
}

}  // namespace

int main(int argc, char** argv) {
    return run(argc, argv, client, server);
}
