// Lab 07, win32 track, written differently: the main thread takes the clients in, four others serve them, each by select()
// with its own share of the sockets. On Windows a set of sockets is a list, as long as FD_SETSIZE says.

#define FD_SETSIZE 4096
#include "sockets.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <winsock2.h>
#include <ws2tcpip.h>
// windows.h wants winsock2.h first.
#include <windows.h>

namespace sockets {
namespace {

using ipc::throw_error;

[[noreturn]] void throw_last_error(const char* call, const std::string& about = {}) { throw_error(WSAGetLastError(), call, about); }

// Without it every call fails with WSANOTINITIALISED.
class Winsock {
public:
    Winsock() {
        WSADATA data;
        if (const int error = WSAStartup(MAKEWORD(2, 2), &data))
            throw_error(error, "WSAStartup");
    }
    Winsock(const Winsock&) = delete;
    ~Winsock() { WSACleanup(); }
};

// A socket is no file: CloseHandle() would leave half of it behind.
struct socket_kind {
    using value_type = SOCKET;
    static value_type none() noexcept { return INVALID_SOCKET; }
    static void close(value_type value) noexcept { closesocket(value); }
};
using unique_socket = ipc::unique_resource<socket_kind>;

// ---- frames ---------------------------------------------------------------------------------------------------------

std::string prefix_of(std::size_t size) {
    const u_long big = htonl(static_cast<u_long>(size));
    return {reinterpret_cast<const char*>(&big), sizeof big};
}

std::uint32_t size_from(const char* bytes) {
    u_long big;
    std::memcpy(&big, bytes, sizeof big);
    return ntohl(big);
}

// ---- addresses ------------------------------------------------------------------------------------------------------

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Every address that the name stands for, in the order in which the system would have them tried.
std::vector<SocketAddress> resolve(const Address& address, int type) {
    addrinfo wanted{}, *list = nullptr;
    wanted.ai_socktype = type;
    if (const int error = ::getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(), address.port.c_str(), &wanted, &list); error != 0)
        throw_error(error, "getaddrinfo", to_text(address));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
    std::vector<SocketAddress> found;
    for (const addrinfo* entry = list; entry; entry = entry->ai_next) {
        found.emplace_back().size = static_cast<socklen_t>(entry->ai_addrlen);
        std::memcpy(&found.back().storage, entry->ai_addr, entry->ai_addrlen);
    }
    return found;
}

Address readable(const SocketAddress& address) {
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (::getnameinfo(address.get(), address.size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return {};
    return {host, port, ""};
}

Address own_address(SOCKET socket) {
    SocketAddress address;
    if (::getsockname(socket, address.get(), &address.size) != 0)
        throw_last_error("getsockname");
    return readable(address);
}

void never_wait(SOCKET socket) {
    u_long on = 1;
    if (::ioctlsocket(socket, FIONBIO, &on) != 0)
        throw_last_error("ioctlsocket", "FIONBIO");
}

unique_socket make_socket(int family, int type) {
    unique_socket socket(::socket(family, type, 0));
    if (!socket)
        throw_last_error("socket");
    never_wait(socket.get());
    return socket;
}

void set_option(SOCKET socket, int level, int option, const char* name) {
    const BOOL on = TRUE;
    if (::setsockopt(socket, level, option, reinterpret_cast<const char*>(&on), sizeof on) != 0)
        throw_last_error("setsockopt", name);
}

// Or a small frame waits until the one before it is acknowledged.
void send_at_once(SOCKET socket) { set_option(socket, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"); }

// ---- the caller -----------------------------------------------------------------------------------------------------

// Calls that block, each with what is left of the time as its timeout.
class Caller {
public:
    Caller(const Address& server, ipc::Deadline deadline) : name_(to_text(server)), deadline_(deadline) {
        int error = WSAEADDRNOTAVAIL;
        for (const SocketAddress& address : resolve(server, SOCK_STREAM))
            if ((error = attempt(address)) == 0)
                return;
        throw_error(error, "connect", name_);
    }

    void write(const std::string& bytes) {
        std::string_view left = bytes;
        while (!left.empty()) {
            limit();
            const int count = ::send(socket_.get(), left.data(), static_cast<int>(left.size()), 0);
            if (count == SOCKET_ERROR)
                throw_last_error("send", name_);
            left.remove_prefix(static_cast<std::size_t>(count));
        }
    }

    std::string read_exactly(std::size_t size) {
        std::string bytes(size, ' ');
        std::size_t done = 0;
        while (done < size) {
            limit();
            const int count = ::recv(socket_.get(), &bytes[done], static_cast<int>(size - done), 0);
            if (count == SOCKET_ERROR)
                throw_last_error("recv", name_);
            if (count == 0)
                throw_error(WSAECONNRESET, "recv", name_ + ": the end instead of an answer");
            done += static_cast<std::size_t>(count);
        }
        return bytes;
    }

private:
    int attempt(const SocketAddress& address) {
        socket_ = make_socket(address.storage.ss_family, SOCK_STREAM);
        send_at_once(socket_.get());
        if (::connect(socket_.get(), address.get(), address.size) != 0) {
            fd_set done, failed;
            FD_ZERO(&done);
            FD_ZERO(&failed);
            FD_SET(socket_.get(), &done);
            FD_SET(socket_.get(), &failed);
            const int left = deadline_.poll_ms();
            timeval time{left / 1000, left % 1000 * 1000};
            if (::select(0, nullptr, &done, &failed, left < 0 ? nullptr : &time) == 0)
                return WSAETIMEDOUT;
            int error = 0, size = sizeof error;
            ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size);
            if (error)
                return error;
        }
        u_long off = 0;
        ::ioctlsocket(socket_.get(), FIONBIO, &off);
        return 0;
    }
    void limit() {
        if (!deadline_.bounded())
            return;
        const auto left = static_cast<DWORD>(deadline_.poll_ms());
        if (left == 0)
            throw_error(WSAETIMEDOUT, "call", name_);
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, reinterpret_cast<const char*>(&left), sizeof left);
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, reinterpret_cast<const char*>(&left), sizeof left);
    }

    std::string name_;
    ipc::Deadline deadline_;
    unique_socket socket_;
};

// ---- where it listens -----------------------------------------------------------------------------------------------

// Bound and listening. A port whose last connections are still in TIME_WAIT is free here; SO_REUSEADDR would make one free
// that somebody is listening on, so we ask for the opposite.
unique_socket listen_on(const SocketAddress& address, const std::string& name) {
    unique_socket socket = make_socket(address.storage.ss_family, SOCK_STREAM);
    set_option(socket.get(), SOL_SOCKET, SO_EXCLUSIVEADDRUSE, "SO_EXCLUSIVEADDRUSE");
    if (address.storage.ss_family == AF_INET6)
        set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY");
    if (::bind(socket.get(), address.get(), address.size) != 0)
        throw_last_error("bind", name);
    if (::listen(socket.get(), SOMAXCONN) != 0)
        throw_last_error("listen", name);
    return socket;
}

void listen_on_port(const std::string& port, std::vector<unique_socket>& listeners, std::vector<Address>& ready) {
    for (const char* host : {"127.0.0.1", "::1"}) {
        const Address address{host, port, ""};
        try {
            listeners.push_back(listen_on(resolve(address, SOCK_STREAM).front(), to_text(address)));
        } catch (const std::system_error& error) {
            const int code = error.code().value();
            if (listeners.empty() || (code != WSAEADDRNOTAVAIL && code != WSAEAFNOSUPPORT))
                throw;
            continue;  // a machine without IPv6
        }
        ready.push_back(own_address(listeners.back().get()));
    }
}

// ---- one client -----------------------------------------------------------------------------------------------------

struct Rules {
    const Answer& answer;
    const OnRefused& refused;
    std::atomic<bool> stopping = false;
};

class Client {
public:
    Client(unique_socket socket, std::string name) : socket_(std::move(socket)), name_(std::move(name)) {}
    SOCKET socket() const { return socket_.get(); }
    bool wants_to_write() const { return !out_.empty(); }

    bool write(Rules& rules) {
        for (;;) {
            while (!out_.empty()) {
                const int count = ::send(socket_.get(), out_.data(), static_cast<int>(out_.size()), 0);
                if (count == SOCKET_ERROR)
                    return WSAGetLastError() == WSAEWOULDBLOCK;
                out_.erase(0, static_cast<std::size_t>(count));
            }
            if (!answer_all(rules))
                break;
        }
        if (!ended_)
            return true;
        if (!in_.empty())
            rules.refused(name_, in_.size() < 4 ? "it has ended within a length" : "it has ended within a frame of " + std::to_string(size_from(in_.data())) + " bytes");
        return false;
    }

    bool read(Rules& rules) {
        char buffer[32 * 1024];
        const int count = ::recv(socket_.get(), buffer, sizeof buffer, 0);
        if (count == SOCKET_ERROR)
            return WSAGetLastError() == WSAEWOULDBLOCK;
        if (count == 0)
            ended_ = true;
        else if (!goodbye_)
            in_.append(buffer, static_cast<std::size_t>(count));
        return write(rules);
    }

    // Once nothing more has come, and all is answered.
    void say_goodbye_if_idle() {
        u_long waiting = 0;
        if (goodbye_ || ended_ || !out_.empty() || ::ioctlsocket(socket_.get(), FIONREAD, &waiting) != 0 || waiting > 0)
            return;
        goodbye_ = true;
        ::shutdown(socket_.get(), SD_SEND);
    }

private:
    bool answer_all(Rules& rules) {
        std::size_t begin = 0;
        while (in_.size() - begin >= 4 && out_.size() < longest_frame) {
            const std::uint32_t size = size_from(in_.data() + begin);
            if (size > longest_frame) {
                rules.refused(name_, "frames of " + std::to_string(size) + " bytes are too long");
                in_.clear();
                ended_ = true;
                return !out_.empty();
            }
            if (in_.size() - begin < 4 + size)
                break;
            std::string text;
            rules.answer(name_, std::string_view(in_).substr(begin + 4, size), text);
            out_ += prefix_of(text.size()) + text;
            begin += 4 + size;
        }
        in_.erase(0, begin);
        in_.shrink_to_fit();
        return !out_.empty();
    }

    unique_socket socket_;
    std::string name_, in_, out_;
    bool ended_ = false, goodbye_ = false;
};

// ---- what wakes a select() ------------------------------------------------------------------------------------------

class Bell {
public:
    Bell() : socket_(make_socket(AF_INET, SOCK_DGRAM)) {
        SocketAddress address = resolve({"127.0.0.1", "0", ""}, SOCK_DGRAM).front();
        if (::bind(socket_.get(), address.get(), address.size) != 0 || ::getsockname(socket_.get(), address.get(), &address.size) != 0 ||
            ::connect(socket_.get(), address.get(), address.size) != 0)
            throw_last_error("connect");
    }
    void ring() const { ::send(socket_.get(), "", 1, 0); }
    void quiet() const {
        char bytes[16];
        while (::recv(socket_.get(), bytes, sizeof bytes, 0) > 0) {
        }
    }
    SOCKET socket() const { return socket_.get(); }

private:
    unique_socket socket_;
};

// ---- a worker -------------------------------------------------------------------------------------------------------

class Worker {
public:
    explicit Worker(Rules& rules, Bell& left) : rules_(rules), left_(left), thread_([this] { work(); }) {}
    ~Worker() {
        finished_ = true;
        bell_.ring();
        thread_.join();
    }
    void take(unique_socket socket, std::string name) {
        {
            const std::lock_guard lock(mutex_);
            arrived_.emplace_back(std::move(socket), std::move(name));
        }
        bell_.ring();
    }
    void wake() const { bell_.ring(); }
    bool idle() {
        const std::lock_guard lock(mutex_);
        return arrived_.empty() && busy_ == 0;
    }

private:
    void work() {
        const auto reads = std::make_unique<fd_set>(), writes = std::make_unique<fd_set>();
        while (!finished_) {
            FD_ZERO(reads.get());
            FD_ZERO(writes.get());
            reads->fd_array[reads->fd_count++] = bell_.socket();
            for (const Client& client : clients_) {
                fd_set& set = client.wants_to_write() ? *writes : *reads;
                set.fd_array[set.fd_count++] = client.socket();
            }
            if (::select(0, reads.get(), writes.get(), nullptr, nullptr) == SOCKET_ERROR)
                return;
            bool somebody_left = false;
            std::set<SOCKET> readable_ones(reads->fd_array, reads->fd_array + reads->fd_count), writable_ones(writes->fd_array, writes->fd_array + writes->fd_count);
            for (auto client = clients_.begin(); client != clients_.end();) {
                const bool stays = writable_ones.contains(client->socket())   ? client->write(rules_)
                                   : readable_ones.contains(client->socket()) ? client->read(rules_)
                                                                              : true;
                if (stays && rules_.stopping)
                    client->say_goodbye_if_idle();
                somebody_left |= !stays;
                client = stays ? std::next(client) : clients_.erase(client);
            }
            bell_.quiet();
            const std::lock_guard lock(mutex_);
            if (!arrived_.empty())
                bell_.ring();  // so that the new ones are looked at, too
            clients_.splice(clients_.end(), arrived_);
            busy_ = clients_.size();
            if (somebody_left)
                left_.ring();
        }
    }

    Rules& rules_;
    Bell& left_;
    Bell bell_;
    std::mutex mutex_;
    std::list<Client> clients_, arrived_;
    std::size_t busy_ = 0;
    std::atomic<bool> finished_ = false;
    std::thread thread_;
};

// ---- the thread that takes them in ----------------------------------------------------------------------------------

std::atomic<bool> told = false;
const Bell* told_bell = nullptr;

BOOL WINAPI be_told(DWORD what) {
    if (what != CTRL_C_EVENT && what != CTRL_BREAK_EVENT)
        return FALSE;
    told = true;
    told_bell->ring();
    return TRUE;
}

class Server {
public:
    Server(const Answer& answer, const OnRefused& refused) : rules_{answer, refused} {
        told_bell = &bell_;
        SetConsoleCtrlHandler(be_told, TRUE);
    }
    ~Server() { SetConsoleCtrlHandler(be_told, FALSE); }

    std::vector<Address> open(const Listening& where) {
        std::vector<Address> ready;
        listen_on_port(*where.port, doors_, ready);
        return ready;
    }

    void run(std::chrono::milliseconds drain) {
        for (auto& worker : workers_)
            worker = std::make_unique<Worker>(rules_, bell_);
        for (std::size_t next = 0; !told;) {
            fd_set& set = *set_;
            FD_ZERO(&set);
            FD_SET(bell_.socket(), &set);
            for (const unique_socket& door : doors_)
                if (!full_)
                    FD_SET(door.get(), &set);
            if (::select(0, &set, nullptr, nullptr, nullptr) == SOCKET_ERROR)
                throw_last_error("select");
            if (FD_ISSET(bell_.socket(), &set)) {
                bell_.quiet();
                full_ = false;
            }
            for (const unique_socket& door : doors_) {
                if (!FD_ISSET(door.get(), &set))
                    continue;
                SocketAddress peer;
                unique_socket socket(::accept(door.get(), peer.get(), &peer.size));
                if (!socket) {
                    full_ = WSAGetLastError() == WSAEMFILE;
                    continue;
                }
                never_wait(socket.get());
                send_at_once(socket.get());
                workers_[next++ % workers_.size()]->take(std::move(socket), to_text(readable(peer)));
            }
        }
        doors_.clear();
        rules_.stopping = true;
        for (auto& worker : workers_)
            worker->wake();
        for (const ipc::Deadline deadline = ipc::Deadline::in(drain); !all_idle() && !deadline.expired();) {
            fd_set& set = *set_;
            FD_ZERO(&set);
            FD_SET(bell_.socket(), &set);
            const int left = deadline.poll_ms();
            timeval time{left / 1000, left % 1000 * 1000};
            ::select(0, &set, nullptr, nullptr, &time);
            bell_.quiet();
        }
        for (auto& worker : workers_)
            worker.reset();
    }

private:
    bool all_idle() const {
        return std::all_of(workers_.begin(), workers_.end(), [](const auto& worker) { return worker->idle(); });
    }

    Rules rules_;
    Bell bell_;
    std::vector<unique_socket> doors_;
    std::array<std::unique_ptr<Worker>, 4> workers_;
    std::unique_ptr<fd_set> set_ = std::make_unique<fd_set>();
    bool full_ = false;
};

// ---- datagrams ------------------------------------------------------------------------------------------------------

void require_short(const std::vector<std::string>& texts, std::size_t longest) {
    for (const std::string& text : texts)
        if (text.size() > longest)
            throw_error(WSAEMSGSIZE, "send", std::to_string(text.size()) + " bytes");
}

bool readable_within(SOCKET socket, int milliseconds) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(socket, &set);
    timeval time{milliseconds / 1000, milliseconds % 1000 * 1000};
    return ::select(0, &set, nullptr, nullptr, milliseconds < 0 ? nullptr : &time) > 0;
}

// Not connected: so nobody tells us of refusals, at least not here.
struct Post {
    unique_socket socket;
    SocketAddress to;

    explicit Post(const Address& address) : to(resolve(address, SOCK_DGRAM).front()) { socket = make_socket(to.storage.ss_family, SOCK_DGRAM); }
    void put(const Datagram& datagram) const {
        const std::string bytes = to_bytes(datagram);
        while (::sendto(socket.get(), bytes.data(), static_cast<int>(bytes.size()), 0, to.get(), to.size) == SOCKET_ERROR)
            if (WSAGetLastError() != WSAEWOULDBLOCK && WSAGetLastError() != WSAECONNRESET)
                throw_last_error("sendto");
    }
};

// What has come and makes sense. Everything else, errors too, is as if nothing had.
std::optional<Datagram> fetch(SOCKET socket, SocketAddress& from) {
    char bytes[4096];
    const int size = ::recvfrom(socket, bytes, sizeof bytes, 0, from.get(), &from.size);
    return size > 0 ? parse({bytes, static_cast<std::size_t>(size)}) : std::nullopt;
}

}  // namespace

void call(const Address& server, const std::vector<std::string>& texts, ipc::Deadline deadline, const OnAnswer& on_answer) {
    const Winsock winsock;
    require_short(texts, longest_frame);
    Caller caller(server, deadline);
    for (const std::string& text : texts) {
        caller.write(prefix_of(text.size()) + text);
        const std::uint32_t size = size_from(caller.read_exactly(4).data());
        if (size > longest_frame)
            throw_error(WSAEMSGSIZE, "call", to_text(server) + " announces " + std::to_string(size) + " bytes");
        on_answer(caller.read_exactly(size));
    }
}

void serve(const Listening& where, const Answer& answer, const OnRefused& on_refused, const OnReady& on_ready) {
    const Winsock winsock;
    Server server(answer, on_refused);
    on_ready(server.open(where));
    server.run(where.drain);
}

void udp_send(const Address& to, const std::vector<std::string>& texts) {
    const Winsock winsock;
    require_short(texts, longest_datagram);
    const Post post(to);
    const std::string mark = new_sender();
    unsigned number = 0;
    for (const std::string& text : texts)
        post.put({Datagram::Kind::plain, mark, ++number, static_cast<unsigned>(texts.size()), text});
}

// Goes back to the oldest that is missing, and sends everything again from there.
void udp_send_reliably(const Address& to, const std::vector<std::string>& texts, std::chrono::milliseconds patience) {
    const Winsock winsock;
    require_short(texts, longest_datagram);
    const Post post(to);
    const std::string mark = new_sender();
    const auto count = static_cast<unsigned>(texts.size());
    std::vector<bool> arrived(count + 2);
    unsigned oldest = 1;
    ipc::Deadline end = ipc::Deadline::in(patience), again = ipc::Deadline::in(std::chrono::milliseconds(0));
    for (unsigned next = 1; oldest <= count;) {
        if (again.expired())
            next = oldest;
        for (; next <= count && next < oldest + window; ++next) {
            if (!arrived[next])
                post.put({Datagram::Kind::sure, mark, next, count, texts[next - 1]});
            again = ipc::Deadline::in(resend_after);
        }
        if (end.expired())
            throw_error(WSAETIMEDOUT, "udp-send", to_text(to) + ": " + std::to_string(count - oldest + 1) + " not acknowledged");
        if (!readable_within(post.socket.get(), std::min(again.poll_ms(), end.poll_ms())))
            continue;
        SocketAddress from;
        const auto ack = fetch(post.socket.get(), from);
        if (!ack || ack->kind != Datagram::Kind::ack || ack->sender != mark || ack->number > count || arrived[ack->number])
            continue;
        arrived[ack->number] = true;
        end = ipc::Deadline::in(patience);
        while (oldest <= count && arrived[oldest])
            ++oldest;
    }
}

Heard udp_listen(const std::string& port, std::chrono::milliseconds silence, const OnReady& on_ready,
                 const OnDatagram& on_datagram) {
    const Winsock winsock;
    const unique_socket socket = make_socket(AF_INET, SOCK_DGRAM);
    const SocketAddress own = resolve({"127.0.0.1", port, ""}, SOCK_DGRAM).front();
    if (::bind(socket.get(), own.get(), own.size) != 0)
        throw_last_error("bind", "127.0.0.1:" + port);
    on_ready({own_address(socket.get())});

    Heard heard;
    std::string mark;
    std::set<unsigned> seen;
    std::map<unsigned, std::string> early;
    unsigned next = 1, handed_over = 0;
    bool sure = false;
    ipc::Deadline quiet;
    while (mark.empty() || handed_over < heard.count || sure) {
        if (!readable_within(socket.get(), quiet.poll_ms()))
            break;
        SocketAddress from;
        const auto datagram = fetch(socket.get(), from);
        if (!datagram || datagram->kind == Datagram::Kind::ack)
            continue;
        if (mark.empty()) {
            mark = datagram->sender;
            heard.count = datagram->count;
        }
        if (datagram->sender != mark || datagram->count != heard.count)
            continue;
        quiet = ipc::Deadline::in(silence);
        const unsigned number = datagram->number;
        if (datagram->kind == Datagram::Kind::sure) {
            sure = true;
            if (number >= next + window)
                continue;
            const std::string ack = to_bytes({Datagram::Kind::ack, mark, number, heard.count, ""});
            ::sendto(socket.get(), ack.data(), static_cast<int>(ack.size()), 0, from.get(), from.size);
        }
        const unsigned highest = seen.empty() ? 0 : *seen.rbegin();
        if (!seen.insert(number).second) {
            ++heard.duplicates;
            continue;
        }
        heard.late += number < highest;
        if (datagram->kind == Datagram::Kind::plain) {
            on_datagram(number, datagram->text);
            ++handed_over;
            continue;
        }
        early[number] = datagram->text;
        for (auto first = early.begin(); first != early.end() && first->first == next; first = early.erase(first), ++next, ++handed_over)
            on_datagram(next, first->second);
    }
    for (unsigned number = 1; number <= heard.count; ++number)
        if (!seen.contains(number))
            heard.lost.push_back(number);
    return heard;
}

}  // namespace sockets
