// Lab 02: request() and serve() for round trips, send() and receive() for a stream.

#include "named_pipes.hpp"
#include "sessions.hpp"
#include <algorithm>

namespace {

using namespace bench;

std::string name_in(const Setting& setting) {
#ifdef _WIN32
    return setting.name;
#else
    return setting.path("fifo");
#endif
}

ipc::Deadline soon() {
    return ipc::Deadline::in(std::chrono::seconds(10));
}

void ask(const Setting& setting, Server& server) {
    server.wait_until_ready();
    ask_in_sessions(setting,
                    [&](const std::vector<std::string>& texts, const named_pipes::OnMessage& on_answer) {
                        named_pipes::request(name_in(setting), texts, soon(), on_answer);
                    });
    server.terminate();
}

void answer(const Setting& setting) {
    Incoming incoming(setting);
    const auto same = [&](unsigned long, const std::string& text) {
        if (!incoming.message(text))
            incoming.report();
        return text;
    };
    named_pipes::serve(name_in(setting), same, [] { ready(); });
}

// Sending ends when the writer closes; so a stream without end goes in batches, of so many bytes.
void pour(const Setting& setting, Server& server) {
    Outgoing stream(setting);
    std::string_view message = stream.next();
    for (std::size_t batch = 256 * 1024; !message.empty();
         batch = std::min<std::size_t>(2 * batch, 16 << 20)) {
        std::vector<std::string> texts;
        for (std::size_t bytes = 0; bytes < batch && !message.empty();
             bytes += setting.size, message = stream.next())
            texts.emplace_back(message);
        server.wait_until_ready();  // not before the reader of the last batch has closed its end
        named_pipes::send(name_in(setting), texts, soon());
    }
    stream.report();
    server.wait();
}

void drain(const Setting& setting) {
    Incoming incoming(setting);
    for (bool more = true; more; incoming.pause()) {
        ready();
        named_pipes::receive(name_in(setting),
                             [&](const std::string& text) { more = more && incoming.message(text); });
    }
    incoming.report();
}

void client(const Setting& setting) {
    Server server(setting);
    setting.mode == Mode::throughput ? pour(setting, server) : ask(setting, server);
}

void server(const Setting& setting) {
    setting.mode == Mode::throughput ? drain(setting) : answer(setting);
}

}  // namespace

int main(int argc, char** argv) {
    return run(argc, argv, client, server);
}
