#include "many_clients.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/tcp.h>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bench {
namespace {

struct Client {
    ipc::unique_file socket;
    std::string frame;  // what it sends: the length, as lab 07 wants it, and the message
    std::size_t sent = 0, received = 0;
    bool waits_for_room = false;
};

ipc::unique_file connected(std::uint16_t port) {
    ipc::unique_file socket(ipc::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ipc::check(::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), "connect",
               "127.0.0.1:" + std::to_string(port));
    const int on = 1;
    ipc::check(::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt",
               "TCP_NODELAY");
    return socket;
}

class Crowd {
public:
    Crowd(const Setting& setting, std::uint16_t port)
        : stream_(setting), size_(setting.size),
          epoll_(ipc::check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {
        for (unsigned i = 0; i < setting.clients; ++i) {
            Client& client = clients_.emplace_back();
            client.socket = connected(port);
            client.frame.assign(4 + size_, ' ');
            const std::uint32_t length = htonl(static_cast<std::uint32_t>(size_));
            std::memcpy(client.frame.data(), &length, sizeof length);
        }
        for (std::size_t i = 0; i < clients_.size(); ++i) {
            watch(i, EPOLL_CTL_ADD);
            ask(i);
        }
    }

    void run() {
        std::array<epoll_event, 256> events;
        while (busy_ > 0) {
            const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
            for (int i = 0; i < count; ++i) {
                const auto which = static_cast<std::size_t>(events[static_cast<std::size_t>(i)].data.u64);
                if (clients_[which].waits_for_room)
                    send(which);
                receive(which);
            }
        }
        stream_.report();
    }

private:
    void watch(std::size_t which, int how) {
        epoll_event event{};
        event.events = EPOLLIN | (clients_[which].waits_for_room ? EPOLLOUT : 0u);
        event.data.u64 = which;
        ipc::check(::epoll_ctl(epoll_.get(), how, clients_[which].socket.get(), &event), "epoll_ctl");
    }

    void ask(std::size_t which) {
        const std::string_view message = stream_.next();
        // The last one is for nobody: the server ends in another way.
        if (message.empty() || number_in(message.data()) == last_number)
            return;
        Client& client = clients_[which];
        std::memcpy(client.frame.data() + 4, message.data(), size_);
        client.sent = client.received = 0;
        ++busy_;
        send(which);
    }

    void send(std::size_t which) {
        Client& client = clients_[which];
        while (client.sent < client.frame.size()) {
            const ssize_t count = ::send(client.socket.get(), client.frame.data() + client.sent,
                                         client.frame.size() - client.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (count == -1 && errno == EAGAIN)
                break;
            if (count == -1 && errno != EINTR)
                ipc::throw_last_error("send");
            client.sent += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
        }
        const bool waits = client.sent < client.frame.size();
        if (std::exchange(client.waits_for_room, waits) != waits)
            watch(which, EPOLL_CTL_MOD);
    }

    void receive(std::size_t which) {
        Client& client = clients_[which];
        const ssize_t count = ::recv(client.socket.get(), answer_.data(), answer_.size(), MSG_DONTWAIT);
        if (count == 0)
            throw std::runtime_error("the server has closed a connection");
        if (count == -1 && errno != EAGAIN && errno != EINTR)
            ipc::throw_last_error("recv");
        client.received += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
        if (client.received < client.frame.size())
            return;
        --busy_;
        ask(which);
    }

    Outgoing stream_;
    std::size_t size_;
    ipc::unique_file epoll_;
    std::vector<Client> clients_;
    std::array<char, 65536> answer_;
    unsigned busy_ = 0;
};

}  // namespace

void many_clients(const Setting& setting, const std::function<void(Server&, std::uint16_t)>& at_end) {
    Server server(setting);
    const auto port = static_cast<std::uint16_t>(std::stoi(server.wait_until_ready()));
    Crowd(setting, port).run();
    at_end(server, port);
}

}  // namespace bench
