// The floor of a server for many: epoll, and each client gets back what it has sent, as it comes. No frames,
// no limits, no care for anybody who is slow or hostile.

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "many_clients.hpp"
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace bench;

void client(const Setting& setting) {
    many_clients(setting, [](Server& server, std::uint16_t) { server.wait(); });
}

// Waits where it has no room: with one request a client on its way that hardly ever happens.
void write_all(int socket, const char* bytes, std::size_t size) {
    while (size > 0) {
        const ssize_t count = ::send(socket, bytes, size, MSG_NOSIGNAL);
        if (count == -1 && errno != EINTR)
            ipc::throw_last_error("send");
        if (count > 0) {
            bytes += count;
            size -= static_cast<std::size_t>(count);
        }
    }
}

void watch(int epoll, int file) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = file;
    ipc::check(::epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event), "epoll_ctl");
}

ipc::unique_file listening() {
    ipc::unique_file listener(ipc::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    ipc::check(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length), "bind");
    ipc::check(::listen(listener.get(), 4096), "listen");
    ipc::check(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
    ready(std::to_string(ntohs(address.sin_port)));
    return listener;
}

void server(const Setting& setting) {
    Incoming incoming(setting);
    const ipc::unique_file epoll(ipc::check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
        listener = listening();
    watch(epoll.get(), listener.get());
    std::array<epoll_event, 256> events;
    std::array<char, 65536> buffer;
    unsigned gone = 0;
    std::size_t bytes = 0;
    while (gone < setting.clients) {
        const int count = ::epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const int file = events[static_cast<std::size_t>(i)].data.fd;
            if (file == listener.get()) {
                const int accepted = ipc::check(::accept4(file, nullptr, nullptr, SOCK_CLOEXEC), "accept4");
                const int on = 1;
                ::setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                watch(epoll.get(), accepted);
                continue;
            }
            const ssize_t got = ::read(file, buffer.data(), buffer.size());
            if (got <= 0) {
                ::close(file);
                ++gone;
                continue;
            }
            write_all(file, buffer.data(), static_cast<std::size_t>(got));
            for (bytes += static_cast<std::size_t>(got); bytes >= 4 + setting.size; bytes -= 4 + setting.size)
                incoming.another();
        }
    }
    incoming.pause();
    incoming.report();
}

}  // namespace

int main(int argc, char** argv) {
    return run(argc, argv, client, server);
}
