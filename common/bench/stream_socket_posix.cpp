#include "stream_socket.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

namespace bench {
namespace {

ipc::unique_file connected(const sockets::Address& address) {
    sockaddr_storage storage{};
    socklen_t length = 0;
    if (!address.path.empty()) {
        auto& to = reinterpret_cast<sockaddr_un&>(storage);
        to.sun_family = AF_UNIX;
        std::strncpy(to.sun_path, address.path.c_str(), sizeof to.sun_path - 1);
        length = sizeof to;
    } else {
        auto& to = reinterpret_cast<sockaddr_in&>(storage);
        to.sin_family = AF_INET;
        to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.port)));
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        length = sizeof to;
    }
    ipc::unique_file socket(ipc::check(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    ipc::check(::connect(socket.get(), reinterpret_cast<sockaddr*>(&storage), length), "connect",
               to_text(address));
    const int on = 1;
    if (address.path.empty())
        ipc::check(::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt",
                   "TCP_NODELAY");
    return socket;
}

}  // namespace

void pour_frames(const sockets::Address& address, Outgoing& stream) {
    const ipc::unique_file socket = connected(address);
    std::uint64_t waiting = 0;  // bytes of answers that are to come
    std::array<char, 65536> answers;
    constexpr std::size_t answer = 4 + 1;
    const auto read_answers = [&](int flags) {
        const ssize_t count = ::recv(socket.get(), answers.data(), answers.size(), flags);
        if (count == 0)
            throw std::runtime_error("the server has closed the connection");
        if (count == -1 && errno != EAGAIN && errno != EINTR)
            ipc::throw_last_error("recv", to_text(address));
        if (count > 0)
            waiting -= static_cast<std::uint64_t>(count);
        return count > 0;
    };
    for (std::string_view message; !(message = stream.next()).empty();) {
        const std::uint32_t length = htonl(static_cast<std::uint32_t>(message.size()));
        iovec parts[2] = {{const_cast<std::uint32_t*>(&length), sizeof length},
                          {const_cast<char*>(message.data()), message.size()}};
        waiting += answer;
        for (msghdr header{.msg_name = nullptr,
                    .msg_namelen = 0,
                    .msg_iov = parts,
                    .msg_iovlen = 2,
                    .msg_control = nullptr,
                    .msg_controllen = 0,
                    .msg_flags = 0};
             parts[1].iov_len > 0;) {
            const ssize_t count = ::sendmsg(socket.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (count == -1 && errno != EAGAIN && errno != EINTR)
                ipc::throw_last_error("sendmsg", to_text(address));
            if (count == -1) {
                // Full: the server takes no more before we take its answers.
                pollfd ready{socket.get(), static_cast<short>(POLLOUT | (waiting > answer ? POLLIN : 0)), 0};
                ::poll(&ready, 1, -1);
                if (ready.revents & (POLLIN | POLLHUP | POLLERR))
                    read_answers(MSG_DONTWAIT);
                continue;
            }
            std::size_t sent = static_cast<std::size_t>(count);
            for (iovec& part : parts) {
                const std::size_t of_this = std::min(sent, part.iov_len);
                part.iov_base = static_cast<char*>(part.iov_base) + of_this;
                part.iov_len -= of_this;
                sent -= of_this;
            }
        }
        if (waiting >= 4096 * answer)
            while (waiting >= 1024 * answer && read_answers(0)) {
            }
    }
    while (waiting > 0)
        read_answers(0);
}

}  // namespace bench
