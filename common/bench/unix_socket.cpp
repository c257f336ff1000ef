// Lab 07 over a UNIX stream socket.

#include "stream_socket.hpp"

namespace {

sockets::Listening where(const bench::Setting& setting) {
    return {std::nullopt, setting.path("socket"), std::chrono::milliseconds(500)};
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::stream_client<where>, bench::stream_server<where>);
}
