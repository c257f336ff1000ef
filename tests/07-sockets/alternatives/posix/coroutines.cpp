// Lab 07, posix track, written differently: each client of the server is a coroutine that reads like a program for one
// client alone; poll() instead of epoll. Blocking sockets with timeouts for the caller. The datagrams' sender goes back to
// the oldest that is missing and sends everything again from there.

#include "sockets.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <cerrno>
#include <climits>
#include <coroutine>
#include <csignal>
#include <cstring>
#include <endian.h>
#include <exception>
#include <fcntl.h>
#include <list>
#include <map>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <set>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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

// ---- coroutines that wait for descriptors ---------------------------------------------------------------------------

// A client's whole life. It owns itself, and is gone when it has come to its end or is let go of.
struct Task {
    struct promise_type {
        Task get_return_object() { return Task{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { failure = std::current_exception(); }
        std::exception_ptr failure;
    };
    explicit Task(std::coroutine_handle<promise_type> body) : handle(body) {}
    Task(Task&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
    Task& operator=(Task&&) = delete;
    ~Task() {
        if (handle)
            handle.destroy();
    }
    std::coroutine_handle<promise_type> handle;
};

// What a client waits for just now.
struct Wish {
    int file = -1;
    short events = 0;
    bool forced = false;  // woken not by the descriptor but because the server stops
};

struct Ready {
    Wish& wish;
    short events;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) noexcept { wish.events = events; }
    bool await_resume() noexcept { return std::exchange(wish.forced, false); }
};

struct House {
    const Answer& answer;
    const OnRefused& refused;
    bool closing = false;
    char buffer[longest_frame] = {};
};

struct Guest {
    Wish wish;
    ipc::unique_file socket;
    std::string name;
    std::string in, out;
};

// 1: all of `out` is on its way; 0: no room; -1: nobody is there.
int push(Guest& guest) {
    while (!guest.out.empty()) {
        const ssize_t count = ::send(guest.wish.file, guest.out.data(), guest.out.size(), MSG_NOSIGNAL);
        if (count > 0)
            guest.out.erase(0, static_cast<std::size_t>(count));
        else if (errno == EAGAIN)
            return 0;
        else if (errno != EINTR)
            return -1;
    }
    guest.out.shrink_to_fit();
    return 1;
}

// One whole request out of what has come, if there is one.
enum class Found { nothing, request, nonsense };
Found answer_one(Guest& guest, const House& house) {
    if (guest.in.size() < 4)
        return Found::nothing;
    const std::uint32_t size = size_from(guest.in.data());
    if (size > longest_frame)
        return Found::nonsense;
    if (guest.in.size() - 4 < size)
        return Found::nothing;
    std::string text;
    house.answer(guest.name, std::string_view(guest.in).substr(4, size), text);
    guest.out += prefix_of(text.size()) + text;
    guest.in.erase(0, 4 + size);
    return Found::request;
}

Task entertain(Guest& guest, House& house) {
    bool more = true;
    while (more) {
        // Read, unless what has been read is enough for a while.
        co_await Ready{guest.wish, POLLIN};
        const ssize_t count = ::recv(guest.wish.file, house.buffer, sizeof house.buffer, 0);
        if (count == -1 && errno != EAGAIN && errno != EINTR)
            co_return;
        if (count == -1 && house.closing && errno == EAGAIN)
            break;
        if (count == -1)
            continue;
        more = count > 0;
        guest.in.append(house.buffer, static_cast<std::size_t>(count));
        for (Found found = Found::request; found == Found::request;) {
            while (guest.out.size() < longest_frame && (found = answer_one(guest, house)) == Found::request) {
            }
            for (int pushed; (pushed = push(guest)) != 1;) {
                if (pushed == -1)
                    co_return;
                while (co_await Ready{guest.wish, POLLOUT}) {
                }
            }
            if (found == Found::nonsense) {
                house.refused(guest.name, "a frame of " + std::to_string(size_from(guest.in.data())) + " bytes is too long");
                co_return;
            }
        }
        guest.in.shrink_to_fit();
        // The house closes: look once more, without waiting, whether something has come.
        char byte;
        if (house.closing && more && ::recv(guest.wish.file, &byte, 1, MSG_PEEK) == -1 && errno == EAGAIN)
            break;
    }
    if (!more && !guest.in.empty())
        house.refused(guest.name, "the end came within a frame" + (guest.in.size() < 4 ? std::string() : " of " + std::to_string(size_from(guest.in.data())) + " bytes"));
    if (!more)
        co_return;
    ::shutdown(guest.wish.file, SHUT_WR);
    for (;;) {
        co_await Ready{guest.wish, POLLIN};
        const ssize_t count = ::recv(guest.wish.file, house.buffer, sizeof house.buffer, 0);
        if (count == 0 || (count == -1 && errno != EAGAIN && errno != EINTR))
            co_return;
    }
}

// ---- the server -----------------------------------------------------------------------------------------------------

// The classic: a signal handler that writes into a pipe, which the loop reads.
int signal_pipe[2] = {-1, -1};

void catch_signals() {
    check(::pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK), "pipe2");
    struct sigaction action {};
    action.sa_handler = [](int) {
        const int kept = errno;
        [[maybe_unused]] const ssize_t written = ::write(signal_pipe[1], "", 1);
        errno = kept;
    };
    for (const int signal : {SIGINT, SIGTERM})
        check(::sigaction(signal, &action, nullptr), "sigaction");
}

ipc::unique_file doorway(int family, const sockaddr* address, socklen_t size, const std::string& name) {
    ipc::unique_file socket(check(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
    const int on = 1;
    if (family != AF_UNIX)
        ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    else
        ::fchmod(socket.get(), 0600);  // Linux: the name is made with this mode
    if (family == AF_INET6)
        ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    const mode_t kept = ::umask(0);
    const int bound = ::bind(socket.get(), address, size);
    ::umask(kept);
    check(bound, "bind", name);
    check(::listen(socket.get(), 1024), "listen", name);
    return socket;
}

class Hotel {
public:
    Hotel(const Answer& answer, const OnRefused& refused) : house_{answer, refused} {}
    ~Hotel() {
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
        ipc::Deadline deadline;
        while (!house_.closing || !guests_.empty()) {
            std::vector<pollfd> watched{{house_.closing ? -1 : signal_pipe[0], POLLIN, 0}};
            for (const ipc::unique_file& door : doors_)
                watched.push_back({crowded_ ? -1 : door.get(), POLLIN, 0});
            for (const Stay& stay : guests_)
                watched.push_back({stay.guest->wish.file, stay.guest->wish.events, 0});
            const int ready = ::poll(watched.data(), watched.size(), deadline.poll_ms());
            if (ready == -1 && errno == EINTR)
                continue;
            if (check(ready, "poll") == 0)
                return;
            // The guests first: those that come in only now are not in the list of the watched.
            std::size_t i = 1 + doors_.size();
            for (auto stay = guests_.begin(); i < watched.size(); ++i)
                stay = watched[i].revents ? resume(stay) : std::next(stay);
            for (std::size_t door = 0; door < doors_.size(); ++door)
                if (watched[1 + door].revents)
                    welcome(doors_[door].get());
            if (watched[0].revents) {
                house_.closing = true;
                doors_.clear();
                deadline = ipc::Deadline::in(drain);
                for (auto stay = guests_.begin(); stay != guests_.end();) {
                    stay->guest->wish.forced = true;
                    stay = resume(stay);
                }
            }
        }
    }

private:
    struct Stay {
        std::unique_ptr<Guest> guest;
        Task task;
    };
    using Stays = std::list<Stay>;

    Stays::iterator resume(Stays::iterator stay) {
        stay->task.handle.resume();
        if (!stay->task.handle.done())
            return std::next(stay);
        if (stay->task.handle.promise().failure)
            std::rethrow_exception(stay->task.handle.promise().failure);
        crowded_ = false;
        return guests_.erase(stay);
    }

    void welcome(int door) {
        ipc::unique_file socket(::accept4(door, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket) {
            crowded_ = errno == EMFILE || errno == ENFILE;
            return;
        }
        const int on = 1;
        ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        auto guest = std::make_unique<Guest>();
        guest->wish.file = socket.get();
        guest->name = name_of(socket.get());
        guest->socket = std::move(socket);
        Task task = entertain(*guest, house_);
        task.handle.resume();  // to its first wish
        guests_.push_back({std::move(guest), std::move(task)});
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

    House house_;
    std::vector<ipc::unique_file> doors_;
    Stays guests_;
    std::string path_;
    bool crowded_ = false;
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
    catch_signals();
    const auto hotel = std::make_unique<Hotel>(answer, on_refused);
    on_ready(hotel->open(where));
    hotel->run(where.drain);
}

void udp_send(const Address& to, const std::vector<std::string>& texts) {
    require_short(texts, longest_datagram);
    const Post post(to);
    const std::string mark = new_sender();
    unsigned number = 0;
    for (const std::string& text : texts)
        post.put({Datagram::Kind::plain, mark, ++number, static_cast<unsigned>(texts.size()), text});
}

void udp_send_reliably(const Address& to, const std::vector<std::string>& texts, std::chrono::milliseconds patience) {
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
            ipc::throw_error(ETIMEDOUT, "udp-send", to_text(to) + ": " + std::to_string(count - oldest + 1) + " not acknowledged");
        pollfd entry{post.socket.get(), POLLIN, 0};
        if (::poll(&entry, 1, std::min(again.poll_ms(), end.poll_ms())) <= 0)
            continue;
        char bytes[2048];
        const ssize_t size = ::recv(post.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
        const auto ack = size > 0 ? parse({bytes, static_cast<std::size_t>(size)}) : std::nullopt;
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
