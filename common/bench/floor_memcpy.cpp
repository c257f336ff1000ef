// The floor of all that copies: one processor, memory to memory, in messages. There is no other side.

#include "program.hpp"
#include <cstring>

namespace {

void copy(const bench::Setting& setting) {
    bench::Outgoing stream(setting);
    bench::Setting of_the_server = setting;
    of_the_server.server = true;  // whose report this is
    bench::Incoming incoming(of_the_server);
    for (std::string_view message; !(message = stream.next()).empty();) {
        std::memcpy(incoming.room(), message.data(), message.size());
        incoming.arrived(message.size());
    }
    stream.report(false);
    incoming.report();
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run(argc, argv, copy, copy);
}
