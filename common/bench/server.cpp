// Lab 07's serve() with many clients at once, who are ours. Each request is answered with itself.

#include "many_clients.hpp"
#include "sockets.hpp"
#include <cstdio>

namespace {

using namespace bench;

void client(const Setting& setting) {
    many_clients(setting, [&](Server& server, std::uint16_t port) {
        sockets::call({"127.0.0.1", std::to_string(port), ""}, {message_of(setting.size, last_number)},
                      ipc::Deadline::in(std::chrono::seconds(10)), [](const std::string&) {});
        server.terminate();
    });
}

void server(const Setting& setting) {
    Incoming incoming(setting);
    sockets::serve(
        {"0", "", std::chrono::milliseconds(500)},
        [&](const std::string&, std::string_view request, std::string& answer) {
            // Among many clients no order is promised, so they are counted and not numbered.
            if (number_in(request.data()) == last_number) {
                incoming.message(request);
                incoming.report();
            } else {
                incoming.another();
            }
            answer.append(request);
        },
        [](const std::string& peer, const std::string& why) {
            std::fprintf(stderr, "serve() refuses %s: %s\n", peer.c_str(), why.c_str());
        },
        [](const std::vector<sockets::Address>& addresses) { ready(addresses.at(0).port); });
}

}  // namespace

int main(int argc, char** argv) {
    return run(argc, argv, client, server);
}
