// Lab 07, posix track, written differently: one thread takes the clients in, three others serve them, each with an epoll of
// its own whose events are edge-triggered: they tell of a change once, so each is used up until there is nothing more.

#include "sockets.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <endian.h>
#include <map>
#include <memory>
#include <mutex>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <set>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>

namespace sockets {
namespace {

using ipc::check;

std::string prefix_of(std::size_t size) {
    const std::uint32_t big = htobe32(static_cast<std::uint32_t>(size));
    return {reinterpret_cast<const char*>(&big), sizeof big};
}

std::uint32_t size_from(const char* bytes) {
    std::uint32_t big;
    std::memcpy(&big, bytes, sizeof big);
    return be32toh(big);
}

sockaddr_un unix_name(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (path.size() >= sizeof name.sun_path)
        ipc::throw_error(ENAMETOOLONG, "socket", "unix:" + path);
    std::memcpy(name.sun_path, path.data(), path.size());
    return name;
}

Address address_of(const sockaddr* address, socklen_t size) {
    char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
    ::getnameinfo(address, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    return {host, port, ""};
}

Address bound_to(int socket) {
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    check(::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size), "getsockname");
    return address_of(reinterpret_cast<sockaddr*>(&own), size);
}

// ---- the caller -----------------------------------------------------------------------------------------------------

class Caller {
public:
    Caller(const Address& server, ipc::Deadline deadline) : name_(to_text(server)), deadline_(deadline) {
        if (!server.path.empty()) {
            const sockaddr_un name = unix_name(server.path);
            if (const int error = attempt(AF_UNIX, reinterpret_cast<const sockaddr*>(&name), sizeof name))
                ipc::throw_error(error, "connect", name_);
            return;
        }
        addrinfo wanted{}, *list = nullptr;
        wanted.ai_socktype = SOCK_STREAM;
        if (::getaddrinfo(server.host.empty() ? nullptr : server.host.c_str(), server.port.c_str(), &wanted, &list) != 0)
            ipc::throw_error(EADDRNOTAVAIL, "getaddrinfo", name_);
        int error = EADDRNOTAVAIL;
        for (addrinfo* entry = list; entry && error; entry = entry->ai_next)
            error = attempt(entry->ai_family, entry->ai_addr, entry->ai_addrlen);
        ::freeaddrinfo(list);
        if (error)
            ipc::throw_error(error, "connect", name_);
    }

    void write(const std::string& bytes) {
        std::string_view left = bytes;
        while (!left.empty()) {
            limit();
            const ssize_t count = ::send(socket_.get(), left.data(), left.size(), MSG_NOSIGNAL);
            if (count >= 0)
                left.remove_prefix(static_cast<std::size_t>(count));
            else
                complain();
        }
    }

    std::string read_exactly(std::size_t size) {
        std::string bytes(size, ' ');
        std::size_t done = 0;
        while (done < size) {
            limit();
            const ssize_t count = ::recv(socket_.get(), &bytes[done], size - done, 0);
            if (count == 0)
                ipc::throw_error(ECONNRESET, "recv", name_ + ": the end instead of an answer");
            if (count > 0)
                done += static_cast<std::size_t>(count);
            else
                complain();
        }
        return bytes;
    }

private:
    // Linux applies SO_SNDTIMEO to connect() as well.
    int attempt(int family, const sockaddr* address, socklen_t size) {
        socket_.reset(check(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
        limit();
        const int on = 1;
        ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (::connect(socket_.get(), address, size) == 0)
            return 0;
        if (errno == EINPROGRESS)
            return ETIMEDOUT;
        if (errno != EINTR)
            return errno;
        // Interrupted, it goes on by itself.
        pollfd entry{socket_.get(), POLLOUT, 0};
        while (::poll(&entry, 1, deadline_.poll_ms()) == -1 && errno == EINTR) {
        }
        int error = 0;
        socklen_t length = sizeof error;
        ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
        return error;
    }

    // What is left of the time, for the next call alone.
    void limit() {
        if (!deadline_.bounded())
            return;
        const int left = deadline_.poll_ms();
        if (left == 0)
            ipc::throw_error(ETIMEDOUT, "call", name_);
        const timeval time{left / 1000, left % 1000 * 1000};
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    }
    void complain() const {
        if (errno == EAGAIN)
            ipc::throw_error(ETIMEDOUT, "call", name_);
        if (errno != EINTR)
            ipc::throw_last_error("call", name_);
    }

    std::string name_;
    ipc::Deadline deadline_;
    ipc::unique_file socket_;
};

// ---- where it listens -----------------------------------------------------------------------------------------------

ipc::unique_file doorway(int family, const sockaddr* address, socklen_t size, const std::string& name) {
    ipc::unique_file socket(check(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
    const int on = 1;
    if (family != AF_UNIX)
        ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    check(::bind(socket.get(), address, size), "bind", name);
    if (family == AF_UNIX)
        check(::chmod(reinterpret_cast<const sockaddr_un*>(address)->sun_path, 0600), "chmod", name);
    check(::listen(socket.get(), 1024), "listen", name);
    return socket;
}

// ---- one client, in the hands of one worker -------------------------------------------------------------------------

struct Rules {
    const Answer& answer;
    const OnRefused& refused;
    std::atomic<bool> stopping = false;
    int somebody_left = -1;
};

class Client {
public:
    Client(ipc::unique_file socket, std::string name) : socket_(std::move(socket)), name_(std::move(name)) {}

    // Until nothing moves any more; false at the end of the connection.
    bool use_up(Rules& rules) {
        for (bool moved = true; moved;) {
            moved = false;
            if (!write(moved))
                return false;
            if (out_.size() >= longest_frame)
                continue;  // the rest of what it has asked waits until it has taken some
            if (answer_all(rules))
                moved = true;
            else if (!out_.empty())
                continue;
            else if (ended_)
                return leave(rules);
            else if (!read(rules, moved))
                return false;
        }
        return true;
    }

private:
    bool write(bool& moved) {
        while (!out_.empty()) {
            const ssize_t count = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
            if (count == -1 && errno == EINTR)
                continue;
            if (count == -1)
                return errno == EAGAIN;
            out_.erase(0, static_cast<std::size_t>(count));
            moved = true;
        }
        return true;
    }

    bool read(Rules& rules, bool& moved) {
        std::array<char, 32 * 1024> buffer;
        const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
        if (count == -1 && errno == EAGAIN && rules.stopping && !goodbye_) {
            goodbye_ = true;
            ::shutdown(socket_.get(), SHUT_WR);
        }
        if (count == -1)
            return errno == EAGAIN || (moved = errno == EINTR);
        moved = true;
        if (count == 0)
            ended_ = true;
        else if (!goodbye_)
            in_.append(buffer.data(), static_cast<std::size_t>(count));
        return true;
    }

    bool answer_all(Rules& rules) {
        bool some = false;
        std::size_t begin = 0;
        while (in_.size() - begin >= 4 && out_.size() < longest_frame) {
            const std::uint32_t size = size_from(in_.data() + begin);
            if (size > longest_frame) {
                rules.refused(name_, "frames of " + std::to_string(size) + " bytes are too long");
                in_.clear();
                return ended_ = true;
            }
            if (in_.size() - begin < 4 + size)
                break;
            std::string text;
            rules.answer(name_, std::string_view(in_).substr(begin + 4, size), text);
            out_ += prefix_of(text.size()) + text;
            begin += 4 + size;
            some = true;
        }
        in_.erase(0, begin);
        in_.shrink_to_fit();
        return some;
    }

    bool leave(Rules& rules) const {
        if (!in_.empty())
            rules.refused(name_, in_.size() < 4 ? "it has ended within a length" : "it has ended within a frame of " + std::to_string(size_from(in_.data())) + " bytes");
        return false;
    }

    ipc::unique_file socket_;
    std::string name_, in_, out_;
    bool ended_ = false, goodbye_ = false;
};

// ---- a worker and its clients ---------------------------------------------------------------------------------------

class Worker {
public:
    explicit Worker(Rules& rules) : rules_(rules) {
        epoll_event event{EPOLLIN, {.fd = wake_.get()}};
        check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event), "epoll_ctl");
        thread_ = std::thread([this] { work(); });
    }
    ~Worker() {
        finished_ = true;
        wake();
        thread_.join();
    }

    void take(ipc::unique_file socket, std::string name) {
        const int file = socket.get();
        const std::lock_guard lock(mutex_);
        clients_.emplace(file, Client(std::move(socket), std::move(name)));
        epoll_event event{EPOLLIN | EPOLLOUT | EPOLLET, {.fd = file}};
        check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, file, &event), "epoll_ctl");
    }
    void wake() const { ::eventfd_write(wake_.get(), 1); }
    bool idle() {
        const std::lock_guard lock(mutex_);
        return clients_.empty();
    }

private:
    void work() {
        while (!finished_) {
            std::array<epoll_event, 128> events;
            const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
            const std::lock_guard lock(mutex_);
            for (int i = 0; i < count; ++i) {
                const int file = events[static_cast<std::size_t>(i)].data.fd;
                if (file != wake_.get()) {
                    use_up(clients_.find(file));
                    continue;
                }
                eventfd_t ignored;
                ::eventfd_read(file, &ignored);
                for (auto client = clients_.begin(); client != clients_.end();)
                    use_up(client++);
            }
        }
    }
    void use_up(std::unordered_map<int, Client>::iterator client) {
        if (client == clients_.end() || client->second.use_up(rules_))
            return;
        clients_.erase(client);
        ::eventfd_write(rules_.somebody_left, 1);
    }

    Rules& rules_;
    ipc::unique_file epoll_{check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")};
    ipc::unique_file wake_{check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")};
    std::mutex mutex_;
    std::unordered_map<int, Client> clients_;
    std::atomic<bool> finished_ = false;
    std::thread thread_;
};

// ---- the thread that takes them in ----------------------------------------------------------------------------------

class Reception {
public:
    Reception(const Answer& answer, const OnRefused& refused) : rules_{answer, refused} {
        sigset_t signals;
        ::sigemptyset(&signals);
        ::sigaddset(&signals, SIGINT);
        ::sigaddset(&signals, SIGTERM);
        check(::pthread_sigmask(SIG_BLOCK, &signals, nullptr), "pthread_sigmask");  // the workers inherit it
        told_.reset(check(::signalfd(-1, &signals, SFD_CLOEXEC), "signalfd"));
        left_.reset(check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
        rules_.somebody_left = left_.get();
    }
    ~Reception() {
        if (!path_.empty())
            ::unlink(path_.c_str());
    }

    std::vector<Address> open(const Listening& where) {
        std::vector<Address> all;
        if (where.port)
            open_port(static_cast<in_port_t>(std::stoi(*where.port)), *where.port, all);
        if (!where.path.empty())
            open_path(where.path, all);
        return all;
    }

    void run(std::chrono::milliseconds drain) {
        for (std::unique_ptr<Worker>& worker : workers_)
            worker = std::make_unique<Worker>(rules_);
        bool full = false;
        for (std::size_t next = 0;;) {
            std::vector<pollfd> watched{{told_.get(), POLLIN, 0}, {left_.get(), POLLIN, 0}};
            for (const ipc::unique_file& door : doors_)
                watched.push_back({full ? -1 : door.get(), POLLIN, 0});
            if (::poll(watched.data(), watched.size(), -1) == -1)
                continue;
            if (watched[0].revents)
                break;
            if (watched[1].revents) {
                eventfd_t ignored;
                ::eventfd_read(left_.get(), &ignored);
                full = false;
            }
            for (std::size_t i = 2; i < watched.size(); ++i) {
                if (!watched[i].revents)
                    continue;
                ipc::unique_file socket(::accept4(watched[i].fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
                if (!socket) {
                    full = errno == EMFILE || errno == ENFILE;
                    continue;
                }
                const int on = 1;
                ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                std::string name = name_of(socket.get());
                workers_[next++ % workers_.size()]->take(std::move(socket), std::move(name));
            }
        }
        doors_.clear();
        rules_.stopping = true;
        for (const std::unique_ptr<Worker>& worker : workers_)
            worker->wake();
        const ipc::Deadline deadline = ipc::Deadline::in(drain);
        while (!all_idle() && !deadline.expired()) {
            pollfd left{left_.get(), POLLIN, 0};
            ::poll(&left, 1, deadline.poll_ms());
            eventfd_t ignored;
            ::eventfd_read(left_.get(), &ignored);
        }
        for (std::unique_ptr<Worker>& worker : workers_)
            worker.reset();
    }

private:
    bool all_idle() const {
        for (const std::unique_ptr<Worker>& worker : workers_)
            if (!worker->idle())
                return false;
        return true;
    }

    static std::string name_of(int socket) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0)
            return "somebody who has gone";
        if (peer.ss_family != AF_UNIX)
            return to_text(address_of(reinterpret_cast<sockaddr*>(&peer), size));
        ucred who{};
        size = sizeof who;
        ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size);
        return "pid " + std::to_string(who.pid) + " uid " + std::to_string(who.uid);
    }

    void open_port(in_port_t port, const std::string& name, std::vector<Address>& all) {
        sockaddr_in four{};
        four.sin_family = AF_INET;
        four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        four.sin_port = htons(port);
        doors_.push_back(doorway(AF_INET, reinterpret_cast<sockaddr*>(&four), sizeof four, "127.0.0.1:" + name));
        all.push_back(bound_to(doors_.back().get()));
        sockaddr_in6 six{};
        six.sin6_family = AF_INET6;
        six.sin6_addr = in6addr_loopback;
        six.sin6_port = htons(port);
        try {
            doors_.push_back(doorway(AF_INET6, reinterpret_cast<sockaddr*>(&six), sizeof six, "[::1]:" + name));
        } catch (const std::system_error& error) {
            if (error.code().value() != EADDRNOTAVAIL && error.code().value() != EAFNOSUPPORT)
                throw;
            return;
        }
        all.push_back(bound_to(doors_.back().get()));
    }

    void open_path(const std::string& path, std::vector<Address>& all) {
        const sockaddr_un name = unix_name(path);
        const auto* address = reinterpret_cast<const sockaddr*>(&name);
        struct stat status {};
        if (::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
            const ipc::unique_file probe(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
            if (::connect(probe.get(), address, sizeof name) == -1 && errno == ECONNREFUSED)
                ::unlink(path.c_str());
        }
        doors_.push_back(doorway(AF_UNIX, address, sizeof name, "unix:" + path));
        path_ = path;
        all.push_back({"", "", path});
    }

    Rules rules_;
    ipc::unique_file told_, left_;
    std::vector<ipc::unique_file> doors_;
    std::array<std::unique_ptr<Worker>, 3> workers_;
    std::string path_;
};

// ---- datagrams ------------------------------------------------------------------------------------------------------

void require_short(const std::vector<std::string>& texts, std::size_t longest) {
    for (const std::string& text : texts)
        if (text.size() > longest)
            ipc::throw_error(EMSGSIZE, "send", std::to_string(text.size()) + " bytes");
}

// Not connected: so nobody tells us of refusals, and we look ourselves at where answers come from.
struct Post {
    ipc::unique_file socket;
    sockaddr_storage to{};
    socklen_t size = 0;

    explicit Post(const Address& address) {
        addrinfo wanted{}, *list = nullptr;
        wanted.ai_socktype = SOCK_DGRAM;
        if (::getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(), address.port.c_str(), &wanted, &list) != 0)
            ipc::throw_error(EADDRNOTAVAIL, "getaddrinfo", to_text(address));
        std::memcpy(&to, list->ai_addr, list->ai_addrlen);
        size = list->ai_addrlen;
        ::freeaddrinfo(list);
        socket.reset(check(::socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    }
    void put(const Datagram& datagram) const {
        const std::string bytes = to_bytes(datagram);
        while (::sendto(socket.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to), size) == -1)
            if (errno != EINTR)
                ipc::throw_last_error("sendto");
    }
};

}  // namespace

void call(const Address& server, const std::vector<std::string>& texts, ipc::Deadline deadline, const OnAnswer& on_answer) {
    require_short(texts, longest_frame);
    Caller caller(server, deadline);
    for (const std::string& text : texts) {
        caller.write(prefix_of(text.size()) + text);
        const std::uint32_t size = size_from(caller.read_exactly(4).data());
        if (size > longest_frame)
            ipc::throw_error(EMSGSIZE, "call", to_text(server) + " announces " + std::to_string(size) + " bytes");
        on_answer(caller.read_exactly(size));
    }
}

void serve(const Listening& where, const Answer& answer, const OnRefused& on_refused, const OnReady& on_ready) {
    Reception reception(answer, on_refused);
    on_ready(reception.open(where));
    reception.run(where.drain);
}

void udp_send(const Address& to, const std::vector<std::string>& texts) {
    require_short(texts, longest_datagram);
    const Post post(to);
    const std::string mark = new_sender();
    unsigned number = 0;
    for (const std::string& text : texts)
        post.put({Datagram::Kind::plain, mark, ++number, static_cast<unsigned>(texts.size()), text});
}

// One thread sends; another hears the acknowledgements, and keeps what both need to know.
void udp_send_reliably(const Address& to, const std::vector<std::string>& texts, std::chrono::milliseconds patience) {
    require_short(texts, longest_datagram);
    const Post post(to);
    const std::string mark = new_sender();
    const auto count = static_cast<unsigned>(texts.size());
    std::mutex mutex;
    std::condition_variable heard;
    std::set<unsigned> missing;
    for (unsigned number = 1; number <= count; ++number)
        missing.insert(missing.end(), number);
    ipc::Deadline end = ipc::Deadline::in(patience);
    const ipc::unique_file over(check(::eventfd(0, EFD_CLOEXEC), "eventfd"));

    std::thread ear([&] {
        for (;;) {
            pollfd entries[] = {{post.socket.get(), POLLIN, 0}, {over.get(), POLLIN, 0}};
            if (::poll(entries, 2, -1) == -1)
                continue;
            if (entries[1].revents)
                return;
            char bytes[2048];
            const ssize_t size = ::recv(post.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
            const auto ack = size > 0 ? parse({bytes, static_cast<std::size_t>(size)}) : std::nullopt;
            if (!ack || ack->kind != Datagram::Kind::ack || ack->sender != mark)
                continue;
            const std::lock_guard lock(mutex);
            if (missing.erase(ack->number) > 0) {
                end = ipc::Deadline::in(patience);
                heard.notify_one();
            }
        }
    });
    bool patient = true;
    {
        std::unique_lock lock(mutex);
        std::map<unsigned, ipc::Deadline> due;
        while (!missing.empty() && patient) {
            const unsigned beyond = *missing.begin() + window;
            ipc::Deadline next = end;
            for (auto number = missing.begin(); number != missing.end() && *number < beyond; ++number) {
                const auto [at, fresh] = due.try_emplace(*number, ipc::Deadline::in(resend_after));
                if (fresh || at->second.expired()) {
                    post.put({Datagram::Kind::sure, mark, *number, count, texts[*number - 1]});
                    at->second = ipc::Deadline::in(resend_after);
                }
                next = at->second.at() < next.at() ? at->second : next;
            }
            heard.wait_until(lock, next.at());
            patient = !end.expired();
        }
    }
    ::eventfd_write(over.get(), 1);
    ear.join();
    if (!patient)
        ipc::throw_error(ETIMEDOUT, "udp-send", to_text(to) + ": " + std::to_string(missing.size()) + " not acknowledged");
}

Heard udp_listen(const std::string& port, std::chrono::milliseconds silence, const OnReady& on_ready,
                 const OnDatagram& on_datagram) {
    const ipc::unique_file socket(check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    own.sin_port = htons(static_cast<in_port_t>(std::stoi(port)));
    check(::bind(socket.get(), reinterpret_cast<sockaddr*>(&own), sizeof own), "bind", "127.0.0.1:" + port);
    on_ready({bound_to(socket.get())});

    Heard heard;
    std::string mark;
    std::set<unsigned> seen;
    std::map<unsigned, std::string> early;
    unsigned next = 1, handed_over = 0;
    bool sure = false;
    ipc::Deadline quiet;
    while (mark.empty() || handed_over < heard.count || sure) {
        pollfd entry{socket.get(), POLLIN, 0};
        const int ready = ::poll(&entry, 1, quiet.poll_ms());
        if (ready == 0)
            break;
        if (ready == -1)
            continue;
        char bytes[4096];
        sockaddr_storage from{};
        socklen_t from_size = sizeof from;
        const ssize_t size = ::recvfrom(socket.get(), bytes, sizeof bytes, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &from_size);
        const auto datagram = size > 0 ? parse({bytes, static_cast<std::size_t>(size)}) : std::nullopt;
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
            ::sendto(socket.get(), ack.data(), ack.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), from_size);
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
