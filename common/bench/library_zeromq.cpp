// ZeroMQ over ipc://, a pair of PAIR sockets: the leanest of its patterns.

#include "link.hpp"
#include <stdexcept>
#include <zmq.h>

namespace {

using namespace bench;

void check(int result, const char* call) {
    if (result == -1)
        throw std::runtime_error(std::string(call) + ": " + zmq_strerror(zmq_errno()));
}

class Socket {
public:
    Socket(const Setting& setting, bool binds)
        : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_PAIR)) {
        const std::string address = "ipc://" + setting.path("zeromq");
        check(binds ? zmq_bind(socket_, address.c_str()) : zmq_connect(socket_, address.c_str()), "ZeroMQ");
    }
    ~Socket() {
        zmq_close(socket_);
        zmq_ctx_term(context_);
    }
    Socket(const Socket&) = delete;
    void send(std::string_view message) {
        check(zmq_send(socket_, message.data(), message.size(), 0), "zmq_send");
    }
    void receive(std::string& message) {
        check(zmq_recv(socket_, message.data(), message.size(), 0), "zmq_recv");
    }

private:
    void *context_, *socket_;
};

}  // namespace

int main(int argc, char** argv) {
    return run_link<Socket>(argc, argv);
}
