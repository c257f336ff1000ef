#pragma once

/// @file
/// Hears sure datagrams of any sender, and acknowledges them at once.

#ifdef _WIN32
#include <winsock2.h>
#else
#include "ipc/handle.hpp"
#include <arpa/inet.h>
#include <sys/socket.h>
#endif

#include "ipc/error.hpp"
#include "sockets.hpp"
#include <array>

namespace bench {

class Acknowledger {
public:
    Acknowledger() {
#ifdef _WIN32
        WSADATA data{};
        WSAStartup(MAKEWORD(2, 2), &data);
#endif
        socket_ = ::socket(AF_INET, SOCK_DGRAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            ipc::throw_last_error("bind", "a UDP socket");
        int length = sizeof address;
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), reinterpret_cast<Length*>(&length));
        port_ = std::to_string(ntohs(address.sin_port));
    }
    Acknowledger(const Acknowledger&) = delete;  // the socket goes with the process

    const std::string& port() const {
        return port_;
    }

    /// The text of the next datagram; it has been acknowledged.
    const std::string& next() {
        for (;;) {
            sockaddr_in from{};
            Length length = sizeof from;
            const auto count = ::recvfrom(socket_, buffer_.data(), buffer_.size(), 0,
                                          reinterpret_cast<sockaddr*>(&from), &length);
            if (count < 0)
                continue;
            const auto datagram = sockets::parse({buffer_.data(), static_cast<std::size_t>(count)});
            if (!datagram || datagram->kind != sockets::Datagram::Kind::sure)
                continue;
            text_ = datagram->text;
            const std::string ack = sockets::to_bytes(
                {sockets::Datagram::Kind::ack, datagram->sender, datagram->number, datagram->count, ""});
            ::sendto(socket_, ack.data(), static_cast<Size>(ack.size()), 0,
                     reinterpret_cast<sockaddr*>(&from), length);
            return text_;
        }
    }

private:
#ifdef _WIN32
    using Length = int;
    using Size = int;
    SOCKET socket_;
#else
    using Length = socklen_t;
    using Size = std::size_t;
    int socket_;
#endif
    std::string port_, text_;
    std::array<char, 2048> buffer_;
};

}  // namespace bench
