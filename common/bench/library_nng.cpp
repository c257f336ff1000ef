// nng over ipc://, a pair of pair0 sockets.

#include "link.hpp"
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdexcept>

namespace {

using namespace bench;

void check(int result, const char* call) {
    if (result != 0)
        throw std::runtime_error(std::string(call) + ": " + nng_strerror(result));
}

class Socket {
public:
    Socket(const Setting& setting, bool listens) {
        const std::string address = "ipc://" + setting.path("nng");
        check(nng_pair0_open(&socket_), "nng_pair0_open");
        // Without it nng takes no message above 1 MiB, and ours of 1 MiB have a header.
        check(nng_socket_set_size(socket_, NNG_OPT_RECVMAXSZ, 0), "NNG_OPT_RECVMAXSZ");
        check(listens ? nng_listen(socket_, address.c_str(), nullptr, 0)
                      : nng_dial(socket_, address.c_str(), nullptr, 0),
              "nng");
    }
    ~Socket() { nng_close(socket_); }
    Socket(const Socket&) = delete;
    void send(std::string_view message) {
        check(nng_send(socket_, const_cast<char*>(message.data()), message.size(), 0), "nng_send");
    }
    void receive(std::string& message) {
        std::size_t size = message.size();
        check(nng_recv(socket_, message.data(), &size, 0), "nng_recv");
    }

private:
    nng_socket socket_{};
};

}  // namespace

int main(int argc, char** argv) {
    return run_link<Socket>(argc, argv);
}
