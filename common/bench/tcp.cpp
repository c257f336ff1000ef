// Lab 07 over TCP on 127.0.0.1.

#include "stream_socket.hpp"

namespace {

sockets::Listening where(const bench::Setting&) {
    return {"0", "", std::chrono::milliseconds(500)};
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::stream_client<where>, bench::stream_server<where>);
}
