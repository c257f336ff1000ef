#pragma once

/// @file
/// The other ends of lab 07, as the judge plays them: clients, servers and mailboxes on raw sockets.
///
/// Every call waits until it is done, bounded by the stage; `otherwise` names the mistake that explains why it is not.

#include "judge.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <cerrno>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#endif

namespace peers {

using judge::Deadline;
using judge::milliseconds;
using judge::Mistake;
using judge::Stage;
using judge::Subject;

// What the contract fixes.
constexpr std::size_t longest_frame = 64 * 1024;
constexpr std::size_t longest_datagram = 1200;
constexpr unsigned window = 32;

// ---- the system, as far as its two kinds differ ---------------------------------------------------------------------

#ifdef _WIN32
constexpr bool posix = false;
using Native = SOCKET;
constexpr Native no_socket = INVALID_SOCKET;
inline void close_native(Native socket) { ::closesocket(socket); }
inline int last_error() { return ::WSAGetLastError(); }
inline bool would_block(int error) { return error == WSAEWOULDBLOCK; }
inline bool in_progress(int error) { return error == WSAEWOULDBLOCK; }
inline bool refused(int error) { return error == WSAECONNREFUSED; }
inline int wait_native(WSAPOLLFD* entries, int timeout, unsigned count = 1) { return ::WSAPoll(entries, count, timeout); }
inline void set_nonblocking(Native socket) {
    u_long on = 1;
    ::ioctlsocket(socket, FIONBIO, &on);
}
constexpr int no_signal = 0, shut_write = SD_SEND;
inline void begin_sockets() {
    static const bool done = [] {
        WSADATA data;
        return ::WSAStartup(MAKEWORD(2, 2), &data) == 0;
    }();
    (void)done;
}
using PollEntry = WSAPOLLFD;
#else
constexpr bool posix = true;
using Native = int;
constexpr Native no_socket = -1;
inline void close_native(Native socket) { ::close(socket); }
inline int last_error() { return errno; }
inline bool would_block(int error) { return error == EAGAIN || error == EINTR; }
inline bool in_progress(int error) { return error == EINPROGRESS; }
inline bool refused(int error) { return error == ECONNREFUSED; }
inline int wait_native(pollfd* entries, int timeout, unsigned count = 1) { return ::poll(entries, count, timeout); }
inline void set_nonblocking(Native socket) { ::fcntl(socket, F_SETFL, O_NONBLOCK); }
constexpr int no_signal = MSG_NOSIGNAL, shut_write = SHUT_WR;
inline void begin_sockets() {}
using PollEntry = pollfd;
#endif

/// Waits until the lab program has taken out of the system what `port_of_judge` has sent to its port.
void wait_until_read(Stage& stage, Subject& lab, unsigned lab_port, unsigned judge_port, const Mistake& otherwise);
/// Bytes of memory that the lab program keeps in use, and its threads.
std::size_t memory_of(Subject& lab);
std::size_t threads_of(Subject& lab);
/// So that this process can hold `count` more sockets; false if the system does not let it.
bool may_open(std::size_t count);

// ---- sockets --------------------------------------------------------------------------------------------------------

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
    int family() const { return storage.ss_family; }
    unsigned port() const {
        return ntohs(family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(storage).sin6_port
                                          : reinterpret_cast<const sockaddr_in&>(storage).sin_port);
    }
    /// "127.0.0.1:80", "[::1]:80"
    std::string text() const { return (family() == AF_INET6 ? "[::1]:" : "127.0.0.1:") + std::to_string(port()); }
};

/// The loopback address of a family.
inline SocketAddress loopback(int family, unsigned port) {
    SocketAddress address;
    if (family == AF_INET6) {
        auto& in6 = reinterpret_cast<sockaddr_in6&>(address.storage);
        in6.sin6_family = AF_INET6;
        in6.sin6_addr.s6_addr[15] = 1;
        in6.sin6_port = htons(static_cast<std::uint16_t>(port));
        address.size = sizeof in6;
    } else {
        auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in.sin_port = htons(static_cast<std::uint16_t>(port));
        address.size = sizeof in;
    }
    return address;
}

class Socket {
public:
    Socket() = default;
    Socket(int family, int type) {
        begin_sockets();
        value_ = ::socket(family, type, 0);
        if (value_ == no_socket)
            throw std::runtime_error("socket: error " + std::to_string(last_error()));
        set_nonblocking(value_);
#ifndef _WIN32
        ::fcntl(value_, F_SETFD, FD_CLOEXEC);
#endif
    }
    explicit Socket(Native value) : value_(value) {}
    Socket(Socket&& other) noexcept : value_(std::exchange(other.value_, no_socket)) {}
    Socket& operator=(Socket&& other) noexcept {
        std::swap(value_, other.value_);
        return *this;
    }
    ~Socket() { close(); }
    void close() {
        if (value_ != no_socket)
            close_native(std::exchange(value_, no_socket));
    }
    Native get() const { return value_; }

    void set(int level, int option, int value) const {
        ::setsockopt(value_, level, option, reinterpret_cast<const char*>(&value), sizeof value);
    }
    /// False when the deadline came first.
    bool ready_for(short events, Deadline deadline) const {
        PollEntry entry{value_, events, 0};
        return wait_native(&entry, deadline.poll_ms()) > 0;
    }
    SocketAddress own() const {
        SocketAddress address;
        ::getsockname(value_, address.get(), &address.size);
        return address;
    }
    SocketAddress other() const {
        SocketAddress address;
        ::getpeername(value_, address.get(), &address.size);
        return address;
    }
    /// False if somebody has the address, or there is no such address.
    bool bind(const SocketAddress& address) const { return ::bind(value_, address.get(), address.size) == 0; }

private:
    Native value_ = no_socket;
};

inline void wait_for_either(const Socket& one, const Socket& other, Deadline deadline) {
    PollEntry entries[] = {{one.get(), POLLIN, 0}, {other.get(), POLLIN, 0}};
    wait_native(entries, deadline.poll_ms(), 2);
}

inline bool machine_has(int family) {
    begin_sockets();
    const Native value = ::socket(family, SOCK_STREAM, 0);
    if (value == no_socket)
        return false;
    const Socket socket(value);
    return socket.bind(loopback(family, 0));
}

// ---- frames ---------------------------------------------------------------------------------------------------------

inline std::string prefix(std::uint32_t length) {
    return {static_cast<char>(length >> 24), static_cast<char>(length >> 16), static_cast<char>(length >> 8), static_cast<char>(length)};
}
inline std::string frame(const std::string& text) { return prefix(static_cast<std::uint32_t>(text.size())) + text; }
inline std::uint32_t length_in(const std::string& bytes) {
    std::uint32_t length = 0;
    for (std::size_t i = 0; i < 4; ++i)
        length = length << 8 | static_cast<unsigned char>(bytes[i]);
    return length;
}
inline std::string upper(std::string text) {
    for (char& c : text)
        if (c >= 'a' && c <= 'z')
            c = static_cast<char>(c - 'a' + 'A');
    return text;
}

// ---- one connection -------------------------------------------------------------------------------------------------

class Conversation {
public:
    Conversation(Stage& stage, Socket socket) : stage_(&stage), socket_(std::move(socket)) { socket_.set(IPPROTO_TCP, TCP_NODELAY, 1); }

    const Socket& socket() const { return socket_; }
    std::string name() const { return socket_.own().text(); }

    /// What the system takes of it at once.
    std::size_t offer(std::string_view bytes) {
        const auto count = ::send(socket_.get(), bytes.data(), static_cast<int>(bytes.size()), no_signal);
        if (count < 0 && !would_block(last_error()))
            gone_ = true;
        return count < 0 ? 0 : static_cast<std::size_t>(count);
    }
    void send(const std::string& bytes, const Mistake& otherwise = {}) {
        std::size_t done = 0;
        stage_->await([&](Deadline deadline) {
            while (done < bytes.size() && !gone_) {
                const std::size_t count = offer(std::string_view(bytes).substr(done));
                done += count;
                if (count == 0 && !gone_ && !socket_.ready_for(POLLOUT, deadline))
                    return false;
            }
            return true;
        }, "the lab program takes what is sent to it", otherwise);
        stage_->require(!gone_, {"the lab program takes what is sent to it", "it has closed the connection", "", "", otherwise});
    }

    /// Reads what there is; false if there is nothing yet.
    bool read(Deadline deadline) {
        if (ended_ || !socket_.ready_for(POLLIN, deadline))
            return ended_;
        char bytes[64 * 1024];
        const auto count = ::recv(socket_.get(), bytes, sizeof bytes, 0);
        if (count > 0)
            got_.append(bytes, static_cast<std::size_t>(count));
        else if (count == 0 || !would_block(last_error()))
            ended_ = true, reset_ = count < 0;
        return true;
    }
    /// Exactly so many bytes.
    std::string receive(std::size_t size, const std::string& what, const Mistake& otherwise = {}) {
        stage_->await([&](Deadline deadline) {
            while (got_.size() < size && !ended_)
                if (!read(deadline))
                    return false;
            return true;
        }, what, otherwise);
        stage_->require(got_.size() >= size, {what, std::string("the connection ") + (reset_ ? "was reset" : "ended") + " after " +
                                                  (got_.empty() ? "nothing" : judge::shown(got_)), "", "", otherwise});
        std::string bytes = got_.substr(0, size);
        got_.erase(0, size);
        return bytes;
    }
    /// The payload of the next frame.
    std::string frame(const std::string& what, const Mistake& otherwise = {}) {
        const std::string begin = receive(4, what, otherwise);
        const std::uint32_t size = length_in(begin);
        stage_->require(size <= longest_frame, {what, "a frame that announces " + std::to_string(size) + " bytes: its first four are " + judge::shown(begin), "", "",
                                                begin[0] != 0 && begin[3] == 0 ? "little-endian-length" : otherwise});
        return receive(size, what + " (" + std::to_string(size) + " bytes)", otherwise);
    }
    /// The server's answer to `text`.
    void answered(const std::string& text, const Mistake& otherwise = {}) {
        const std::string expected = text.empty() ? name() : upper(text);
        const std::string got = frame("an answer to " + judge::shown(text, 40), otherwise);
        stage_->require(got == expected, {"the answer " + judge::shown(expected), judge::difference(got, expected), "", "", otherwise});
    }
    void asks(const std::string& text, const Mistake& otherwise = {}) {
        send(peers::frame(text), otherwise);
        answered(text, otherwise);
    }
    /// Waits for more, or for the end; true if it is the end.
    bool at_end(const Mistake& otherwise = {}) {
        stage_->await([&](Deadline deadline) { return !got_.empty() || ended_ || (read(deadline) && (!got_.empty() || ended_)); },
                      "more from the lab program, or the end of the connection", otherwise);
        return got_.empty() && ended_;
    }
    /// Whether something is there to be read, or the end.
    bool something() { return !got_.empty() || (read(Deadline::in(milliseconds(0))) && (!got_.empty() || ended_)); }
    const std::string& got() const { return got_; }

    /// The lab program ends the connection, in whatever way.
    void ends(const Mistake& otherwise = {}, const std::string& what = "the lab program ends the connection") {
        stage_->await([&](Deadline deadline) {
            while (!ended_)
                if (!read(deadline))
                    return false;
            return true;
        }, what, otherwise);
    }
    /// And without a reset, and with nothing more said.
    void ends_well(const Mistake& otherwise = {}) {
        ends(otherwise);
        stage_->require(!reset_, {"the end of the connection", "a reset of the connection, with which everything on its way is lost", "", "", otherwise});
        stage_->require(got_.empty(), {"the end of the connection", judge::shown(got_), "", "", otherwise});
    }
    bool was_reset() const { return reset_; }
    /// What we send does not get to anybody any more.
    bool is_gone() const { return gone_; }

    void shut() { ::shutdown(socket_.get(), shut_write); }
    void close() { socket_.close(); }
    void reset() {
        const linger at_once{1, 0};
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&at_once), sizeof at_once);
        close();
    }

private:
    Stage* stage_;
    Socket socket_;
    std::string got_;
    bool ended_ = false, reset_ = false, gone_ = false;
};

/// Connects; 0 or the system's error.
inline int try_connect(Stage& stage, const Socket& socket, const SocketAddress& address, const Mistake& otherwise = {}) {
    if (::connect(socket.get(), address.get(), address.size) == 0)
        return 0;
    if (!in_progress(last_error()))
        return last_error();
    stage.await([&](Deadline deadline) { return socket.ready_for(POLLOUT, deadline); }, "the system connects us with " + address.text(), otherwise);
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size);
    return error;
}

/// `receive_buffer`: how much the system keeps for us, 0 for its default.
inline Conversation connect(Stage& stage, const SocketAddress& address, const Mistake& otherwise = {}, int receive_buffer = 0) {
    Socket socket(address.family(), SOCK_STREAM);
    if (receive_buffer)
        socket.set(SOL_SOCKET, SO_RCVBUF, receive_buffer);
    const int error = try_connect(stage, socket, address, otherwise);
    stage.require(error == 0, {"a connection to " + address.text(), "error " + std::to_string(error) + (refused(error) ? ": nobody listens there" : ""), "", "", otherwise});
    return Conversation(stage, std::move(socket));
}

// ---- the judge as a server ------------------------------------------------------------------------------------------

class ServerSocket {
public:
    ServerSocket(Stage& stage, int family = AF_INET, unsigned port = 0, bool listening = true) : stage_(&stage), socket_(family, SOCK_STREAM) {
        bound_ = socket_.bind(loopback(family, port));
        if (bound_ && listening)
            ::listen(socket_.get(), 16);
    }
    bool bound() const { return bound_; }
    const Socket& socket() const { return socket_; }
    SocketAddress address() const { return socket_.own(); }
    std::string text() const { return address().text(); }
    bool somebody(Deadline deadline) const { return socket_.ready_for(POLLIN, deadline); }
    Conversation accept(const Mistake& otherwise = {}) {
        Native accepted = no_socket;
        stage_->await([&](Deadline deadline) {
            if (somebody(deadline))
                accepted = ::accept(socket_.get(), nullptr, nullptr);
            return accepted != no_socket;
        }, "the lab program connects to " + text(), otherwise);
        set_nonblocking(accepted);
        return Conversation(*stage_, Socket(accepted));
    }
    void close() { socket_.close(); }

private:
    Stage* stage_;
    Socket socket_;
    bool bound_ = false;
};

// ---- the judge's mailbox for datagrams ------------------------------------------------------------------------------

/// What a datagram says, read independently of the given code.
struct Parcel {
    std::string bytes, kind, sender, text;
    unsigned number = 0, count = 0;
    SocketAddress from;
};

inline Parcel parcel_of(std::string bytes, SocketAddress from) {
    Parcel parcel;
    parcel.bytes = bytes;
    parcel.from = from;
    char kind[8] = {}, sender[16] = {};
    int end = 0;
    if (std::sscanf(bytes.c_str(), "%7s %15s %u/%u%n", kind, sender, &parcel.number, &parcel.count, &end) == 4) {
        parcel.kind = kind;
        parcel.sender = sender;
        if (static_cast<std::size_t>(end) < bytes.size())
            parcel.text = bytes.substr(static_cast<std::size_t>(end) + 1);
    }
    return parcel;
}

inline std::string datagram(const std::string& kind, const std::string& sender, unsigned number, unsigned count, const std::string& text) {
    return kind + " " + sender + " " + std::to_string(number) + "/" + std::to_string(count) + (kind == "ack" ? "" : " " + text);
}

class Mailbox {
public:
    explicit Mailbox(unsigned port = 0) : socket_(AF_INET, SOCK_DGRAM) { bound_ = socket_.bind(loopback(AF_INET, port)); }
    bool bound() const { return bound_; }
    SocketAddress address() const { return socket_.own(); }
    std::string text() const { return address().text(); }
    void send(const std::string& bytes, const SocketAddress& to) const {
        ::sendto(socket_.get(), bytes.data(), static_cast<int>(bytes.size()), 0, to.get(), to.size);
    }
    std::optional<Parcel> look(Deadline deadline) const {
        if (!socket_.ready_for(POLLIN, deadline))
            return std::nullopt;
        char bytes[64 * 1024];
        SocketAddress from;
        const auto count = ::recvfrom(socket_.get(), bytes, sizeof bytes, 0, from.get(), &from.size);
        return count < 0 ? std::nullopt : std::optional(parcel_of({bytes, static_cast<std::size_t>(count)}, from));
    }
    Parcel receive(Stage& stage, const std::string& what, const Mistake& otherwise = {}) const {
        std::optional<Parcel> parcel;
        stage.await([&](Deadline deadline) { return (parcel = look(deadline)).has_value(); }, what, otherwise);
        return *parcel;
    }
    const Socket& socket() const { return socket_; }

private:
    Socket socket_;
    bool bound_ = false;
};

// ---- the subject ----------------------------------------------------------------------------------------------------

constexpr int by_track(int on_posix, int on_windows) { return posix ? on_posix : on_windows; }

/// Words that a person could have typed, some beyond ASCII.
std::string phrase(judge::Random& random);

/// No other program does the work for it.
void works_itself(Stage& stage, Subject& lab);

/// It has failed, has said so about `about`, and has printed nothing.
void fails_aloud(Subject& lab, const std::string& about, const Mistake& otherwise);

// ---- the subject as a server ----------------------------------------------------------------------------------------

struct Served {
    Subject lab;
    SocketAddress ipv4, ipv6;
    bool has_ipv6 = false;
    std::string ready;
};

/// Starts `serve` and waits until it is ready.
Served serve(Stage& stage, std::vector<std::string> options = {"--port", "0"});

/// Subject::idles(), and it does not even want to run: on a busy machine who burns the processor may get little of it.
void rests(Stage& stage, Subject& lab, const Mistake& otherwise = "busy-waiting");

/// The end of a case that is not about how a server stops: it must be alive still.
void put_away(Stage& stage, Subject& lab, const Mistake& otherwise = "dies-with-its-client");

}  // namespace peers
