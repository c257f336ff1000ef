#include <winsock2.h>
#include <ws2tcpip.h>

#include "stream_socket.hpp"

#include "ipc/error.hpp"
#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace bench {
namespace {

[[noreturn]] void fail(const char* call) {
    ipc::throw_error(WSAGetLastError(), call, "the server");
}

// A socket that does not wait; closed with the process.
SOCKET connected(const sockets::Address& address) {
    WSADATA data{};
    WSAStartup(MAKEWORD(2, 2), &data);
    const SOCKET socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.port)));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (socket == INVALID_SOCKET || ::connect(socket, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
        fail("connect");
    const BOOL on = TRUE;
    u_long not_waiting = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, reinterpret_cast<const char*>(&on), sizeof on);
    if (::ioctlsocket(socket, FIONBIO, &not_waiting) != 0)
        fail("ioctlsocket");
    return socket;
}

}  // namespace

void pour_frames(const sockets::Address& address, Outgoing& stream) {
    const SOCKET socket = connected(address);
    std::uint64_t waiting = 0;  // bytes of answers that are to come
    constexpr std::size_t answer = 4 + 1;
    std::array<char, 65536> answers;
    const auto poll = [&](short what) {
        WSAPOLLFD ready{socket, what, 0};
        if (::WSAPoll(&ready, 1, -1) == SOCKET_ERROR)
            fail("WSAPoll");
    };
    const auto read_answers = [&] {
        const int count = ::recv(socket, answers.data(), static_cast<int>(answers.size()), 0);
        if (count == 0)
            throw std::runtime_error("the server has closed the connection");
        if (count == SOCKET_ERROR && WSAGetLastError() != WSAEWOULDBLOCK)
            fail("recv");
        waiting -= static_cast<std::uint64_t>(std::max(count, 0));
    };
    std::string frame;
    for (std::string_view message; !(message = stream.next()).empty();) {
        const std::uint32_t length = htonl(static_cast<std::uint32_t>(message.size()));
        frame.assign(reinterpret_cast<const char*>(&length), sizeof length).append(message);
        waiting += answer;
        for (std::size_t sent = 0; sent < frame.size();) {
            const int count = ::send(socket, frame.data() + sent, static_cast<int>(frame.size() - sent), 0);
            if (count == SOCKET_ERROR && WSAGetLastError() != WSAEWOULDBLOCK)
                fail("send");
            sent += static_cast<std::size_t>(std::max(count, 0));
            if (count == SOCKET_ERROR) {
                // Full: the server takes no more before we take its answers.
                poll(static_cast<short>(POLLOUT | (waiting > answer ? POLLIN : 0)));
                read_answers();
            }
        }
        for (; waiting >= 4096 * answer; read_answers())
            poll(POLLIN);
    }
    for (; waiting > 0; read_answers())
        poll(POLLIN);
}

}  // namespace bench
