// Lab 07, posix track: the reference solution.

#include "sockets.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <set>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <unordered_map>

namespace sockets {
namespace {

using ipc::check;
using ipc::throw_error;
using ipc::throw_last_error;

// ---- frames ---------------------------------------------------------------------------------------------------------

constexpr std::size_t prefix_size = 4;

// Byte by byte: right on machines of either byte order, and unsigned, so that no length is negative.
std::size_t length_in(const char* prefix) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < prefix_size; ++i)
        length = length << 8 | static_cast<unsigned char>(prefix[i]);
    return length;
}

void put_length(char* prefix, std::size_t length) {
    for (std::size_t i = prefix_size; i-- > 0; length >>= 8)
        prefix[i] = static_cast<char>(length & 0xff);
}

std::string frame_of(const std::string& text) {
    std::string frame(prefix_size, '\0');
    put_length(frame.data(), text.size());
    return frame + text;
}

// ---- addresses ------------------------------------------------------------------------------------------------------

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress unix_address(const std::string& path) {
    SocketAddress address;
    auto& name = reinterpret_cast<sockaddr_un&>(address.storage);
    if (path.size() >= sizeof name.sun_path)
        throw_error(ENAMETOOLONG, "bind", "unix:" + path);
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
    address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    return address;
}

// Every address that the name stands for, in the order in which the system would have them tried.
std::vector<SocketAddress> resolve(const Address& address, int type) {
    if (!address.path.empty())
        return {unix_address(address.path)};
    addrinfo wanted{}, *list = nullptr;
    wanted.ai_socktype = type;
    if (const int error = ::getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(), address.port.c_str(), &wanted, &list); error != 0)
        throw_error(error == EAI_SYSTEM ? errno : EADDRNOTAVAIL, "getaddrinfo", to_text(address) + ": " + ::gai_strerror(error));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
    std::vector<SocketAddress> found;
    for (const addrinfo* entry = list; entry; entry = entry->ai_next) {
        found.emplace_back().size = entry->ai_addrlen;
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

Address own_address(int socket) {
    SocketAddress address;
    check(::getsockname(socket, address.get(), &address.size), "getsockname");
    return readable(address);
}

ipc::unique_file make_socket(int family, int type) {
    return ipc::unique_file(check(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
}

void set_option(int socket, int level, int option, const char* name) {
    const int on = 1;
    check(::setsockopt(socket, level, option, &on, sizeof on), "setsockopt", name);
}

// Or a small frame waits until the one before it is acknowledged: see tcp(7). A UNIX socket has no such option, and no need.
void send_at_once(int socket) {
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// ---- waiting --------------------------------------------------------------------------------------------------------

// False when the deadline has come. Signals do not disturb it, and do not make it longer.
bool wait_for(int file, short events, ipc::Deadline deadline) {
    pollfd watched{file, events, 0};
    int ready;
    do
        ready = ::poll(&watched, 1, deadline.poll_ms());
    while (ready == -1 && errno == EINTR);
    return check(ready, "poll") > 0;
}

bool try_again() { return errno == EAGAIN || errno == EINTR; }

// SIGINT and SIGTERM, as something to wait for: one that comes just before the waiting begins is not lost.
ipc::unique_file stop_requests() {
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGTERM);
    check(::sigprocmask(SIG_BLOCK, &signals, nullptr), "sigprocmask");
    return ipc::unique_file(check(::signalfd(-1, &signals, SFD_CLOEXEC), "signalfd"));
}

// ---- the client's side ----------------------------------------------------------------------------------------------

// 0, or why this address does not answer.
int try_connect(int socket, const SocketAddress& address, ipc::Deadline deadline) {
    if (::connect(socket, address.get(), address.size) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EINTR)
        return errno;
    if (!wait_for(socket, POLLOUT, deadline))
        return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof error;
    check(::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size), "getsockopt", "SO_ERROR");
    return error;
}

ipc::unique_file connect_to(const Address& server, ipc::Deadline deadline) {
    int error = 0;
    for (const SocketAddress& address : resolve(server, SOCK_STREAM)) {
        ipc::unique_file socket = make_socket(address.storage.ss_family, SOCK_STREAM);
        error = try_connect(socket.get(), address, deadline);
        if (error == 0) {
            send_at_once(socket.get());
            return socket;
        }
    }
    throw_error(error, "connect", to_text(server));
}

// One connection to a server, within one deadline.
class Conversation {
public:
    Conversation(const Address& server, ipc::Deadline deadline)
        : name_(to_text(server)), deadline_(deadline), socket_(connect_to(server, deadline)) {}

    void send(const std::string& bytes) const {
        for (std::size_t done = 0; done < bytes.size();) {
            const ssize_t count = ::send(socket_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
            if (count >= 0)
                done += static_cast<std::size_t>(count);
            else if (try_again())
                wait(POLLOUT);
            else
                throw_error(errno == EPIPE ? ECONNRESET : errno, "send", name_);
        }
    }

    std::string receive_frame() const {
        const std::size_t size = length_in(receive(prefix_size).data());
        if (size > longest_frame)
            throw_error(EMSGSIZE, "call", name_ + " announces an answer of " + std::to_string(size) + " bytes; " +
                                              std::to_string(longest_frame) + " are allowed");
        return receive(size);
    }

private:
    // Exactly so many bytes: what comes behind them belongs to the next frame, and is left where it is.
    std::string receive(std::size_t size) const {
        std::string bytes(size, '\0');
        for (std::size_t done = 0; done < size;) {
            const ssize_t count = ::recv(socket_.get(), bytes.data() + done, size - done, 0);
            if (count > 0)
                done += static_cast<std::size_t>(count);
            else if (count == 0)
                throw_error(ECONNRESET, "recv", name_ + ", which has hung up before its answer was complete");
            else if (try_again())
                wait(POLLIN);
            else
                throw_last_error("recv", name_);
        }
        return bytes;
    }

    void wait(short events) const {
        if (!wait_for(socket_.get(), events, deadline_))
            throw_error(ETIMEDOUT, "call", name_ + ", which does not answer");
    }

    std::string name_;
    ipc::Deadline deadline_;
    ipc::unique_file socket_;
};

// ---- where a server listens -----------------------------------------------------------------------------------------

// Bound and listening. `reusable`: a port whose last connections are still in TIME_WAIT is free all the same.
ipc::unique_file listen_on(const SocketAddress& address, const std::string& name) {
    ipc::unique_file socket = make_socket(address.storage.ss_family, SOCK_STREAM);
    if (address.storage.ss_family != AF_UNIX)
        set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR");  // or TIME_WAIT keeps the port for a minute
    if (address.storage.ss_family == AF_INET6)
        set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY");  // or :: would take the IPv4 port as well
    check(::bind(socket.get(), address.get(), address.size), "bind", name);
    if (address.storage.ss_family == AF_UNIX)  // before listen() nobody can come in, so the mode is never too wide
        check(::chmod(reinterpret_cast<const sockaddr_un&>(address.storage).sun_path, 0600), "chmod", name);
    check(::listen(socket.get(), SOMAXCONN), "listen", name);
    return socket;
}

void listen_on_port(const std::string& port, std::vector<ipc::unique_file>& listeners, std::vector<Address>& ready) {
    for (const char* host : {"127.0.0.1", "::1"}) {
        const Address address{host, port, ""};
        try {
            listeners.push_back(listen_on(resolve(address, SOCK_STREAM).front(), to_text(address)));
        } catch (const std::system_error& error) {
            const int code = error.code().value();
            if (listeners.empty() || (code != EADDRNOTAVAIL && code != EAFNOSUPPORT))
                throw;
            continue;  // a machine without IPv6
        }
        ready.push_back(own_address(listeners.back().get()));
    }
}

// A name that is ours, and goes with us.
class OwnName {
public:
    OwnName() = default;
    OwnName(const OwnName&) = delete;
    ~OwnName() { ::unlink(path_.c_str()); }
    void own(std::string path) { path_ = std::move(path); }

private:
    std::string path_;
};

// A socket's name outlives its server. Nobody behind it: it may go. Anything but a socket refuses connections as well,
// hence the look at what it is.
void remove_stale(const std::string& path, const SocketAddress& address) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) == -1 || !S_ISSOCK(status.st_mode))
        return;  // bind() says what is wrong, if anything is
    const ipc::unique_file socket = make_socket(AF_UNIX, SOCK_STREAM);
    if (::connect(socket.get(), address.get(), address.size) == -1 && errno == ECONNREFUSED)
        ::unlink(path.c_str());
}

ipc::unique_file listen_on_path(const std::string& path, OwnName& name) {
    const SocketAddress address = unix_address(path);
    remove_stale(path, address);
    ipc::unique_file listener = listen_on(address, "unix:" + path);
    name.own(path);
    return listener;
}

// ---- the server's side of one client --------------------------------------------------------------------------------

using Buffer = std::array<char, 64 * 1024>;

struct Service {
    const Answer& answer;
    const OnRefused& on_refused;
    Buffer buffer;          // one for all clients: between two turns nothing is in it
    bool stopping = false;  // a client that has nothing more to ask is told goodbye
};

class Client {
public:
    Client(ipc::unique_file socket, std::string peer) : socket_(std::move(socket)), peer_(std::move(peer)) {}

    // Goes as far as it can without waiting; false when it is over.
    bool advance(Service& service) {
        for (bool may_read = true;; may_read = false) {
            if (!answer_and_send(service))
                return false;
            if (!answers_.empty())
                return true;  // who does not take its answers is not listened to
            if (ended_)
                return over(service);
            // One read a turn: who never stops talking must not keep the others waiting.
            if (!may_read)
                return !service.stopping || something_there() || say_goodbye();
            const ssize_t count = ::recv(socket_.get(), service.buffer.data(), service.buffer.size(), 0);
            if (count == -1 && try_again())
                return !service.stopping || say_goodbye();
            if (count == -1)
                return false;  // it has vanished
            if (count == 0)
                ended_ = true;
            else if (!said_goodbye_)
                requests_.append(service.buffer.data(), static_cast<std::size_t>(count));
        }
    }

    // What has to happen before advance() has something to do.
    std::uint32_t awaits() const { return answers_.empty() ? EPOLLIN : EPOLLOUT; }
    std::uint32_t watched = 0;

private:
    bool answer_and_send(Service& service) {
        do {
            answer_requests(service);
            if (!send_answers())
                return false;
        } while (answers_.empty() && has_whole_request());  // it has come already: nobody will wake us for it again
        return true;
    }

    // Works off whole requests, until the client has enough to take.
    void answer_requests(Service& service) {
        std::size_t at = 0;
        while (answers_.size() < longest_frame && requests_.size() - at >= prefix_size) {
            const std::size_t size = length_in(requests_.data() + at);
            if (size > longest_frame) {
                refuse(service, "it announces a frame of " + std::to_string(size) + " bytes; " + std::to_string(longest_frame) + " are allowed");
                return;
            }
            if (requests_.size() - at - prefix_size < size)
                break;
            const std::size_t begin = answers_.size();
            answers_.resize(begin + prefix_size);
            service.answer(peer_, std::string_view(requests_).substr(at + prefix_size, size), answers_);
            put_length(answers_.data() + begin, answers_.size() - begin - prefix_size);
            at += prefix_size + size;
        }
        requests_.erase(0, at);
        if (requests_.empty() && requests_.capacity() > 4096)
            std::string().swap(requests_);  // one long request must not cost its memory for ever
    }

    bool has_whole_request() const {
        return requests_.size() >= prefix_size && requests_.size() - prefix_size >= std::min(length_in(requests_.data()), longest_frame + 1);
    }

    // Sends what the system takes; false when nobody is there any more.
    bool send_answers() {
        std::size_t done = 0;
        while (done < answers_.size()) {
            const ssize_t count = ::send(socket_.get(), answers_.data() + done, answers_.size() - done, MSG_NOSIGNAL);
            if (count >= 0)
                done += static_cast<std::size_t>(count);
            else if (errno == EAGAIN)
                break;
            else if (errno != EINTR)
                return false;
        }
        answers_.erase(0, done);
        if (answers_.empty() && answers_.capacity() > 4096)
            std::string().swap(answers_);
        return true;
    }

    // From here on it is like a client that has said all: its answers still go out.
    void refuse(Service& service, const std::string& why) {
        service.on_refused(peer_, why);
        requests_.clear();
        ended_ = true;
    }

    bool over(Service& service) {
        if (!requests_.empty())
            refuse(service, "it has ended in the middle of a frame" +
                                (requests_.size() < prefix_size ? "'s length" : " of " + std::to_string(length_in(requests_.data())) + " bytes"));
        return false;
    }

    bool something_there() const {
        char byte;
        return ::recv(socket_.get(), &byte, 1, MSG_PEEK) != -1 || !try_again();
    }

    // The end of our answers. To close at once would be shorter, and wrong: with input that nobody has read the system
    // then resets the connection, and throws away what the client has not taken yet.
    bool say_goodbye() {
        if (!said_goodbye_)
            ::shutdown(socket_.get(), SHUT_WR);
        said_goodbye_ = true;
        return true;
    }

    ipc::unique_file socket_;
    std::string peer_;
    std::string requests_;  // has come, and is not answered
    std::string answers_;   // is answered, and has not gone
    bool ended_ = false;    // no more requests will come
    bool said_goodbye_ = false;
};

// ---- the loop -------------------------------------------------------------------------------------------------------

class Server {
public:
    Server(const Answer& answer, const OnRefused& on_refused) : service_{answer, on_refused, {}} {}

    std::vector<Address> listen(const Listening& where) {
        std::vector<Address> ready;
        if (where.port)
            listen_on_port(*where.port, listeners_, ready);
        if (!where.path.empty()) {
            listeners_.push_back(listen_on_path(where.path, name_));
            ready.push_back({"", "", where.path});
        }
        watch(stop_.get(), EPOLLIN);
        watch_listeners(true);
        return ready;
    }

    // Until it is told to stop, and then until its clients have gone, or have had their time.
    void run(std::chrono::milliseconds drain) {
        ipc::Deadline deadline;
        while (!service_.stopping || !clients_.empty()) {
            std::array<epoll_event, 64> events;
            const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), deadline.poll_ms());
            if (count == -1 && errno == EINTR)
                continue;
            if (check(count, "epoll_wait") == 0)
                return;
            for (int i = 0; i < count; ++i) {
                const int file = events[static_cast<std::size_t>(i)].data.fd;
                if (file == stop_.get()) {
                    deadline = ipc::Deadline::in(drain);
                    stop();
                } else if (clients_.contains(file)) {
                    go_on(file);
                } else {
                    take_in(file);
                }
            }
        }
    }

private:
    void watch(int file, std::uint32_t events) {
        epoll_event event{events, {.fd = file}};
        check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, file, &event), "epoll_ctl");
    }

    void watch_listeners(bool on) {
        for (const ipc::unique_file& listener : listeners_) {
            epoll_event event{EPOLLIN, {.fd = listener.get()}};
            check(::epoll_ctl(epoll_.get(), on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, listener.get(), &event), "epoll_ctl");
        }
        full_ = !on;
    }

    void take_in(int listener) {
        SocketAddress address;
        ipc::unique_file socket(::accept4(listener, address.get(), &address.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!socket) {
            // Without a descriptor the client stays in the queue, and the listener stays readable: who goes on watching
            // it never sleeps again.
            if ((errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) && !full_)
                watch_listeners(false);
            return;  // or it has gone again before we came
        }
        send_at_once(socket.get());
        const int file = socket.get();
        clients_.try_emplace(file, std::move(socket), name_of_peer(file, address));
        watch(file, clients_.at(file).watched = EPOLLIN);
    }

    static std::string name_of_peer(int socket, const SocketAddress& address) {
        if (address.storage.ss_family != AF_UNIX)
            return to_text(readable(address));
        ucred who{};
        socklen_t size = sizeof who;
        check(::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size), "getsockopt", "SO_PEERCRED");
        return "pid " + std::to_string(who.pid) + " uid " + std::to_string(who.uid);
    }

    void go_on(int file) {
        Client& client = clients_.at(file);
        if (!client.advance(service_)) {
            clients_.erase(file);  // and closes it, with which the epoll forgets it
            if (full_ && !service_.stopping)
                watch_listeners(true);
        } else if (client.watched != client.awaits()) {
            epoll_event event{client.watched = client.awaits(), {.fd = file}};
            check(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, file, &event), "epoll_ctl");
        }
    }

    void stop() {
        service_.stopping = true;
        listeners_.clear();
        stop_.reset();  // a second request changes nothing
        std::vector<int> files;
        for (const auto& [file, client] : clients_)
            files.push_back(file);
        for (const int file : files)
            go_on(file);
    }

    ipc::unique_file epoll_{check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")};
    ipc::unique_file stop_ = stop_requests();
    std::vector<ipc::unique_file> listeners_;
    OwnName name_;
    std::unordered_map<int, Client> clients_;
    Service service_;
    bool full_ = false;  // no descriptor for one more client: nobody is listened for until one has left
};

// ---- datagrams ------------------------------------------------------------------------------------------------------

void check_sizes(const std::vector<std::string>& texts, std::size_t longest, const char* call) {
    for (const std::string& text : texts)
        if (text.size() > longest)
            throw_error(EMSGSIZE, call, "a text of " + std::to_string(text.size()) + " bytes; " + std::to_string(longest) + " are allowed");
}

// Connected: so the system keeps everybody else's datagrams away from us, and tells when nobody listens.
ipc::unique_file datagram_socket_to(const Address& to) {
    const SocketAddress address = resolve(to, SOCK_DGRAM).front();
    ipc::unique_file socket = make_socket(address.storage.ss_family, SOCK_DGRAM);
    check(::connect(socket.get(), address.get(), address.size), "connect", to_text(to));
    return socket;
}

void send_datagram(int socket, const Datagram& datagram, const Address& to) {
    const std::string bytes = to_bytes(datagram);
    while (::send(socket, bytes.data(), bytes.size(), 0) == -1) {
        if (errno == EAGAIN || errno == ENOBUFS)
            wait_for(socket, POLLOUT, {});
        else if (errno != ECONNREFUSED && errno != EINTR)  // refused was an earlier one, and this one has not been sent
            throw_last_error("send", to_text(to));
    }
}

// None if there is none, or what is there is none of ours.
std::optional<Datagram> receive_datagram(int socket, SocketAddress& from) {
    std::array<char, 2048> bytes;
    const ssize_t count = ::recvfrom(socket, bytes.data(), bytes.size(), 0, from.get(), &from.size);
    if (count == -1 && (try_again() || errno == ECONNREFUSED))
        return std::nullopt;
    return parse({bytes.data(), static_cast<std::size_t>(check(count, "recvfrom"))});
}

// The listener's account of one sender.
class Account {
public:
    explicit Account(const Datagram& first) : sender_(first.sender), texts_(first.count + 1) { heard_.count = first.count; }

    bool is_about(const Datagram& datagram) const { return datagram.sender == sender_ && datagram.count == heard_.count; }
    bool complete() const { return handed_over_ == heard_.count; }
    // Whether there is room for it: what is far ahead may be a lie, and would have to be kept.
    bool within_window(const Datagram& datagram) const { return datagram.number <= next_ - 1 + window; }

    void enter(Datagram& datagram, const OnDatagram& on_datagram) {
        Entry& entry = texts_[datagram.number];
        heard_.duplicates += entry.come;
        heard_.late += !entry.come && datagram.number < highest_;
        highest_ = std::max(highest_, datagram.number);
        if (std::exchange(entry.come, true))
            return;
        if (datagram.kind == Datagram::Kind::plain)
            return hand_over(datagram.number, datagram.text, on_datagram);
        entry.text = std::move(datagram.text);
        for (; next_ <= heard_.count && texts_[next_].come; ++next_)
            hand_over(next_, std::exchange(texts_[next_].text, {}), on_datagram);
    }

    Heard result() const {
        Heard heard = heard_;
        for (unsigned number = 1; number <= heard.count; ++number)
            if (!texts_[number].come)
                heard.lost.push_back(number);
        return heard;
    }

private:
    void hand_over(unsigned number, const std::string& text, const OnDatagram& on_datagram) {
        ++handed_over_;
        on_datagram(number, text);
    }

    struct Entry {
        bool come = false;
        std::string text;  // kept until its turn
    };
    std::string sender_;
    std::vector<Entry> texts_;
    Heard heard_;
    unsigned next_ = 1, highest_ = 0, handed_over_ = 0;
};

}  // namespace

void call(const Address& server, const std::vector<std::string>& texts, ipc::Deadline deadline, const OnAnswer& on_answer) {
    check_sizes(texts, longest_frame, "call");
    const Conversation conversation(server, deadline);
    for (const std::string& text : texts) {
        conversation.send(frame_of(text));
        on_answer(conversation.receive_frame());
    }
}

void serve(const Listening& where, const Answer& answer, const OnRefused& on_refused, const OnReady& on_ready) {
    Server server(answer, on_refused);
    on_ready(server.listen(where));
    server.run(where.drain);
}

void udp_send(const Address& to, const std::vector<std::string>& texts) {
    check_sizes(texts, longest_datagram, "udp-send");
    const ipc::unique_file socket = datagram_socket_to(to);
    const std::string sender = new_sender();
    const auto count = static_cast<unsigned>(texts.size());
    for (unsigned number = 1; number <= count; ++number)
        send_datagram(socket.get(), {Datagram::Kind::plain, sender, number, count, texts[number - 1]}, to);
}

void udp_send_reliably(const Address& to, const std::vector<std::string>& texts, std::chrono::milliseconds patience) {
    check_sizes(texts, longest_datagram, "udp-send");
    const ipc::unique_file socket = datagram_socket_to(to);
    const std::string sender = new_sender();
    const auto count = static_cast<unsigned>(texts.size());
    std::map<unsigned, ipc::Deadline> on_their_way;  // by number: when each is sent again
    const auto send = [&](unsigned number) {
        send_datagram(socket.get(), {Datagram::Kind::sure, sender, number, count, texts[number - 1]}, to);
        on_their_way[number] = ipc::Deadline::in(resend_after);
    };

    ipc::Deadline gives_up = ipc::Deadline::in(patience);
    for (unsigned next = 1; next <= count || !on_their_way.empty();) {
        while (next <= count && (on_their_way.empty() || next < on_their_way.begin()->first + window))
            send(next++);
        const auto first_due = std::min_element(on_their_way.begin(), on_their_way.end(), [](const auto& a, const auto& b) {
                                   return a.second.at() < b.second.at();
                               })->second;
        // All acknowledgements that are there, before anything is sent again: or a slow machine sends ever more and hears ever less.
        ipc::Deadline until = std::min(first_due, gives_up, [](auto& a, auto& b) { return a.at() < b.at(); });
        for (; wait_for(socket.get(), POLLIN, until); until = ipc::Deadline::in_ms(0)) {
            SocketAddress from;
            const std::optional<Datagram> ack = receive_datagram(socket.get(), from);
            if (ack && ack->kind == Datagram::Kind::ack && ack->sender == sender && on_their_way.erase(ack->number) > 0)
                gives_up = ipc::Deadline::in(patience);
        }
        if (gives_up.expired())
            throw_error(ETIMEDOUT, "udp-send", to_text(to) + " has not acknowledged " + std::to_string(on_their_way.size() + count + 1 - next) +
                                                   " of " + std::to_string(count) + " datagrams; does somebody listen there?");
        for (auto& [number, due] : on_their_way)
            if (due.expired())
                send(number);
    }
}

Heard udp_listen(const std::string& port, std::chrono::milliseconds silence, const OnReady& on_ready,
                 const OnDatagram& on_datagram) {
    const Address wanted{"127.0.0.1", port, ""};
    const SocketAddress address = resolve(wanted, SOCK_DGRAM).front();
    const ipc::unique_file socket = make_socket(AF_INET, SOCK_DGRAM);
    check(::bind(socket.get(), address.get(), address.size), "bind", to_text(wanted));
    on_ready({own_address(socket.get())});

    std::optional<Account> account;
    ipc::Deadline quiet;  // for the first one we wait for ever
    for (bool acknowledges = false; !account || !account->complete() || acknowledges;) {
        if (!wait_for(socket.get(), POLLIN, quiet))
            break;
        SocketAddress from;
        std::optional<Datagram> datagram = receive_datagram(socket.get(), from);
        if (!datagram || datagram->kind == Datagram::Kind::ack)
            continue;
        if (!account)
            account.emplace(*datagram);
        if (!account->is_about(*datagram))
            continue;
        quiet = ipc::Deadline::in(silence);
        if (datagram->kind == Datagram::Kind::sure) {
            acknowledges = true;
            if (!account->within_window(*datagram))
                continue;
            // Each time it comes: that it comes again says that our last acknowledgement was lost.
            const std::string ack = to_bytes({Datagram::Kind::ack, datagram->sender, datagram->number, datagram->count, ""});
            ::sendto(socket.get(), ack.data(), ack.size(), 0, from.get(), from.size);  // if this one is lost, it comes again
        }
        account->enter(*datagram, on_datagram);
    }
    return account->result();
}

}  // namespace sockets
