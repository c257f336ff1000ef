// Lab 07, win32 track: the reference solution.

#include "sockets.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <array>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <winsock2.h>
#include <ws2tcpip.h>
// windows.h brings the first version of Winsock, unless the second is there already.
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

// ---- waiting --------------------------------------------------------------------------------------------------------

// False when the deadline has come.
bool wait_for(SOCKET socket, short events, ipc::Deadline deadline) {
    WSAPOLLFD watched{socket, events, 0};
    const int ready = ::WSAPoll(&watched, 1, deadline.poll_ms());
    if (ready == SOCKET_ERROR)
        throw_last_error("WSAPoll");
    return ready > 0;
}

bool try_again() { return WSAGetLastError() == WSAEWOULDBLOCK; }

// CTRL_C_EVENT and CTRL_BREAK_EVENT, as something to poll: the handler runs in a thread of its own, and WSAPoll() can wait
// for nothing but sockets. So it sends itself a datagram.
class StopRequests {
public:
    StopRequests() : socket_(make_socket(AF_INET, SOCK_DGRAM)) {
        SocketAddress address = resolve({"127.0.0.1", "0", ""}, SOCK_DGRAM).front();
        if (::bind(socket_.get(), address.get(), address.size) != 0 || ::getsockname(socket_.get(), address.get(), &address.size) != 0 ||
            ::connect(socket_.get(), address.get(), address.size) != 0)
            throw_last_error("connect", "a datagram socket with itself");
        wakes = socket_.get();
        if (!SetConsoleCtrlHandler(handle, TRUE))
            throw_error(static_cast<int>(GetLastError()), "SetConsoleCtrlHandler");
    }
    StopRequests(const StopRequests&) = delete;
    ~StopRequests() { SetConsoleCtrlHandler(handle, FALSE); }
    SOCKET get() const { return socket_.get(); }

private:
    static BOOL WINAPI handle(DWORD what) {
        return (what == CTRL_C_EVENT || what == CTRL_BREAK_EVENT) && ::send(wakes, "", 1, 0) == 1;
    }
    inline static SOCKET wakes = INVALID_SOCKET;
    unique_socket socket_;
};

// ---- the client's side ----------------------------------------------------------------------------------------------

// 0, or why this address does not answer.
int try_connect(SOCKET socket, const SocketAddress& address, ipc::Deadline deadline) {
    if (::connect(socket, address.get(), address.size) == 0)
        return 0;
    if (!try_again())
        return WSAGetLastError();
    // select() and not WSAPoll(): that one was silent about a refused connection until Windows 10, version 2004.
    fd_set done, failed;
    FD_ZERO(&done);
    FD_ZERO(&failed);
    FD_SET(socket, &done);
    FD_SET(socket, &failed);
    const int left = deadline.poll_ms();
    timeval timeout{left / 1000, left % 1000 * 1000};
    const int ready = ::select(0, nullptr, &done, &failed, deadline.bounded() ? &timeout : nullptr);
    if (ready == SOCKET_ERROR)
        throw_last_error("select");
    if (ready == 0)
        return WSAETIMEDOUT;
    int error = 0, size = sizeof error;
    if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size) != 0)
        throw_last_error("getsockopt", "SO_ERROR");
    return error;
}

unique_socket connect_to(const Address& server, ipc::Deadline deadline) {
    int error = 0;
    for (const SocketAddress& address : resolve(server, SOCK_STREAM)) {
        unique_socket socket = make_socket(address.storage.ss_family, SOCK_STREAM);
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
            const int count = ::send(socket_.get(), bytes.data() + done, static_cast<int>(bytes.size() - done), 0);
            if (count >= 0)
                done += static_cast<std::size_t>(count);
            else if (try_again())
                wait(POLLOUT);
            else
                throw_last_error("send", name_);
        }
    }

    std::string receive_frame() const {
        const std::size_t size = length_in(receive(prefix_size).data());
        if (size > longest_frame)
            throw_error(WSAEMSGSIZE, "call", name_ + " announces an answer of " + std::to_string(size) + " bytes; " +
                                              std::to_string(longest_frame) + " are allowed");
        return receive(size);
    }

private:
    // Exactly so many bytes: what comes behind them belongs to the next frame, and is left where it is.
    std::string receive(std::size_t size) const {
        std::string bytes(size, '\0');
        for (std::size_t done = 0; done < size;) {
            const int count = ::recv(socket_.get(), bytes.data() + done, static_cast<int>(size - done), 0);
            if (count > 0)
                done += static_cast<std::size_t>(count);
            else if (count == 0)
                throw_error(WSAECONNRESET, "recv", name_ + ", which has hung up before its answer was complete");
            else if (try_again())
                wait(POLLIN);
            else
                throw_last_error("recv", name_);
        }
        return bytes;
    }

    void wait(short events) const {
        if (!wait_for(socket_.get(), events, deadline_))
            throw_error(WSAETIMEDOUT, "call", name_ + ", which does not answer");
    }

    std::string name_;
    ipc::Deadline deadline_;
    unique_socket socket_;
};

// ---- where a server listens -----------------------------------------------------------------------------------------

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
    Client(unique_socket socket, std::string peer) : socket_(std::move(socket)), peer_(std::move(peer)) {}

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
            const int count = ::recv(socket_.get(), service.buffer.data(), static_cast<int>(service.buffer.size()), 0);
            if (count == SOCKET_ERROR && try_again())
                return !service.stopping || say_goodbye();
            if (count == SOCKET_ERROR)
                return false;  // it has vanished
            if (count == 0)
                ended_ = true;
            else if (!said_goodbye_)
                requests_.append(service.buffer.data(), static_cast<std::size_t>(count));
        }
    }

    // What has to happen before advance() has something to do.
    short awaits() const { return answers_.empty() ? POLLIN : POLLOUT; }
    SOCKET socket() const { return socket_.get(); }

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
            const int count = ::send(socket_.get(), answers_.data() + done, static_cast<int>(answers_.size() - done), 0);
            if (count >= 0)
                done += static_cast<std::size_t>(count);
            else if (try_again())
                break;
            else
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
        return ::recv(socket_.get(), &byte, 1, MSG_PEEK) != SOCKET_ERROR || !try_again();
    }

    // The end of our answers. To close at once would be shorter, and wrong: with input that nobody has read the system
    // then resets the connection, and throws away what the client has not taken yet.
    bool say_goodbye() {
        if (!said_goodbye_)
            ::shutdown(socket_.get(), SD_SEND);
        said_goodbye_ = true;
        return true;
    }

    unique_socket socket_;
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
        return ready;
    }

    // Until it is told to stop, and then until its clients have gone, or have had their time.
    void run(std::chrono::milliseconds drain) {
        ipc::Deadline deadline;
        while (!service_.stopping || !clients_.empty()) {
            watch_all();
            const int count = ::WSAPoll(watched_.data(), static_cast<ULONG>(watched_.size()), deadline.poll_ms());
            if (count == SOCKET_ERROR)
                throw_last_error("WSAPoll");
            if (count == 0)
                return;
            auto entry = watched_.begin();
            const bool told = !service_.stopping && (entry++)->revents != 0;
            for (const unique_socket& listener : listeners_)
                if (!full_ && (entry++)->revents != 0)
                    take_in(listener.get());
            for (auto client = clients_.begin(); entry != watched_.end(); ++entry)
                client = entry->revents != 0 ? go_on(client) : std::next(client);
            if (told) {
                deadline = ipc::Deadline::in(drain);
                stop();
            }
        }
    }

private:
    using Clients = std::list<Client>;

    // WSAPoll() keeps nothing between two calls: it is told each time whom to watch, in the order in which we look.
    void watch_all() {
        watched_.clear();
        if (!service_.stopping)
            watched_.push_back({stop_.get(), POLLIN, 0});
        for (const unique_socket& listener : listeners_)
            if (!full_)
                watched_.push_back({listener.get(), POLLIN, 0});
        for (const Client& client : clients_)
            watched_.push_back({client.socket(), client.awaits(), 0});
    }

    // All who have come; behind the others in the list, so that those keep their places.
    void take_in(SOCKET listener) {
        for (;;) {
            SocketAddress address;
            unique_socket socket(::accept(listener, address.get(), &address.size));
            if (!socket) {
                // Without a socket the client stays in the queue, and the listener stays readable: who goes on watching
                // it never sleeps again.
                full_ = WSAGetLastError() == WSAEMFILE || WSAGetLastError() == WSAENOBUFS;
                return;  // or it has gone again before we came
            }
            never_wait(socket.get());
            send_at_once(socket.get());
            clients_.emplace_back(std::move(socket), to_text(readable(address)));
        }
    }

    Clients::iterator go_on(Clients::iterator client) {
        if (client->advance(service_))
            return std::next(client);
        full_ = false;
        return clients_.erase(client);
    }

    void stop() {
        service_.stopping = true;
        listeners_.clear();
        for (auto client = clients_.begin(); client != clients_.end();)
            client = go_on(client);
    }

    StopRequests stop_;
    std::vector<unique_socket> listeners_;
    Clients clients_;
    std::vector<WSAPOLLFD> watched_;
    Service service_;
    bool full_ = false;  // no socket for one more client: nobody is listened for until one has left
};

// ---- datagrams ------------------------------------------------------------------------------------------------------

void check_sizes(const std::vector<std::string>& texts, std::size_t longest, const char* call) {
    for (const std::string& text : texts)
        if (text.size() > longest)
            throw_error(WSAEMSGSIZE, call, "a text of " + std::to_string(text.size()) + " bytes; " + std::to_string(longest) + " are allowed");
}

// Connected: so the system keeps everybody else's datagrams away from us, and tells when nobody listens.
unique_socket datagram_socket_to(const Address& to) {
    const SocketAddress address = resolve(to, SOCK_DGRAM).front();
    unique_socket socket = make_socket(address.storage.ss_family, SOCK_DGRAM);
    if (::connect(socket.get(), address.get(), address.size) != 0)
        throw_last_error("connect", to_text(to));
    return socket;
}

// About an earlier datagram: nobody has taken it. This call has done nothing then.
bool nobody_took_one() { return WSAGetLastError() == WSAECONNRESET || WSAGetLastError() == WSAECONNREFUSED; }

void send_datagram(SOCKET socket, const Datagram& datagram, const Address& to) {
    const std::string bytes = to_bytes(datagram);
    while (::send(socket, bytes.data(), static_cast<int>(bytes.size()), 0) == SOCKET_ERROR) {
        if (try_again() || WSAGetLastError() == WSAENOBUFS)
            wait_for(socket, POLLOUT, {});
        else if (!nobody_took_one())
            throw_last_error("send", to_text(to));
    }
}

// None if there is none, or what is there is none of ours. A listener hears of its lost acknowledgements, too; and a
// datagram that is too long for the buffer is an error here, where others cut it off.
std::optional<Datagram> receive_datagram(SOCKET socket, SocketAddress& from) {
    std::array<char, 2048> bytes;
    const int count = ::recvfrom(socket, bytes.data(), static_cast<int>(bytes.size()), 0, from.get(), &from.size);
    if (count == SOCKET_ERROR && (try_again() || nobody_took_one() || WSAGetLastError() == WSAEMSGSIZE))
        return std::nullopt;
    if (count == SOCKET_ERROR)
        throw_last_error("recvfrom");
    return parse({bytes.data(), static_cast<std::size_t>(count)});
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
    const Winsock winsock;
    check_sizes(texts, longest_frame, "call");
    const Conversation conversation(server, deadline);
    for (const std::string& text : texts) {
        conversation.send(frame_of(text));
        on_answer(conversation.receive_frame());
    }
}

void serve(const Listening& where, const Answer& answer, const OnRefused& on_refused, const OnReady& on_ready) {
    const Winsock winsock;
    Server server(answer, on_refused);
    on_ready(server.listen(where));
    server.run(where.drain);
}

void udp_send(const Address& to, const std::vector<std::string>& texts) {
    const Winsock winsock;
    check_sizes(texts, longest_datagram, "udp-send");
    const unique_socket socket = datagram_socket_to(to);
    const std::string sender = new_sender();
    const auto count = static_cast<unsigned>(texts.size());
    for (unsigned number = 1; number <= count; ++number)
        send_datagram(socket.get(), {Datagram::Kind::plain, sender, number, count, texts[number - 1]}, to);
}

void udp_send_reliably(const Address& to, const std::vector<std::string>& texts, std::chrono::milliseconds patience) {
    const Winsock winsock;
    check_sizes(texts, longest_datagram, "udp-send");
    const unique_socket socket = datagram_socket_to(to);
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
            throw_error(WSAETIMEDOUT, "udp-send", to_text(to) + " has not acknowledged " + std::to_string(on_their_way.size() + count + 1 - next) +
                                                   " of " + std::to_string(count) + " datagrams; does somebody listen there?");
        for (auto& [number, due] : on_their_way)
            if (due.expired())
                send(number);
    }
}

Heard udp_listen(const std::string& port, std::chrono::milliseconds silence, const OnReady& on_ready,
                 const OnDatagram& on_datagram) {
    const Winsock winsock;
    const Address wanted{"127.0.0.1", port, ""};
    const SocketAddress address = resolve(wanted, SOCK_DGRAM).front();
    const unique_socket socket = make_socket(AF_INET, SOCK_DGRAM);
    set_option(socket.get(), SOL_SOCKET, SO_EXCLUSIVEADDRUSE, "SO_EXCLUSIVEADDRUSE");
    if (::bind(socket.get(), address.get(), address.size) != 0)
        throw_last_error("bind", to_text(wanted));
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
            ::sendto(socket.get(), ack.data(), static_cast<int>(ack.size()), 0, from.get(), from.size);  // if this one is lost, it comes again
        }
        account->enter(*datagram, on_datagram);
    }
    return account->result();
}

}  // namespace sockets
