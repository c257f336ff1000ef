// Lab 03, posix track, alternative: non-blocking sockets throughout, epoll, and a look by ioctl().

#include "mailslots.hpp"

#include "ipc/error.hpp"
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace mailslots {
namespace {

void check_name(const std::string& name) {
    const bool fine = !name.empty() && name.size() <= longest_name && name[0] != '.' &&
                      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == std::string::npos;
    if (!fine)
        throw std::invalid_argument("a slot's name is 1 to 64 letters, digits, '.', '-' or '_', not beginning with '.'; not '" + name + "'");
}

std::string runtime_directory() {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    if (runtime && runtime[0] == '/')
        return std::string(runtime) + "/ipc-labs";
    const char* temporary = std::getenv("TMPDIR");
    return std::string(temporary && temporary[0] == '/' ? temporary : "/tmp") + "/ipc-labs-" + std::to_string(::getuid());
}

// /tmp is everybody's: a directory that somebody else put there in advance would let him read along.
ipc::unique_file open_private_directory() {
    const std::string path = runtime_directory();
    ipc::unique_file directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory && errno == ENOENT)
        return directory;
    if (!directory && (errno == ENOTDIR || errno == ELOOP))
        ipc::throw_error(EPERM, "open", path + " is not a directory; remove it");
    ipc::check(directory.get(), "open", path);
    struct stat about {};
    ipc::check(::fstat(directory.get(), &about), "fstat", path);
    if (about.st_uid != ::geteuid() || (about.st_mode & 077) != 0)
        ipc::throw_error(EPERM, "open", path + " is open to others; make it yours with mode 0700, or remove it");
    return directory;
}

sockaddr_un socket_address(const std::string& path) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    std::memcpy(where.sun_path, path.c_str(), path.size() + 1);  // it fits: address() has seen to that
    return where;
}

const sockaddr* pointer(const sockaddr_un& where) { return reinterpret_cast<const sockaddr*>(&where); }

ipc::unique_file make_socket() {
    return ipc::unique_file(ipc::check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
}

// Whether what bears the name is a socket that nobody has open any more.
bool is_abandoned(const std::string& path) {
    struct stat about {};
    ipc::check(::lstat(path.c_str(), &about), "lstat", path);
    if (!S_ISSOCK(about.st_mode))
        ipc::throw_error(EEXIST, "bind", path + " is no socket");  // connect() would say ECONNREFUSED to a file, too
    const ipc::unique_file probe = make_socket();
    const sockaddr_un where = socket_address(path);
    return ::connect(probe.get(), pointer(where), sizeof where) == -1 && errno == ECONNREFUSED;
}

// Waits until `events` can be had; false when the deadline comes first.
bool wait_for(int file, std::uint32_t events, ipc::Deadline deadline) {
    const ipc::unique_file watcher(ipc::check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
    epoll_event event{};
    event.events = events;
    ipc::check(::epoll_ctl(watcher.get(), EPOLL_CTL_ADD, file, &event), "epoll_ctl");
    int ready = -1;
    while ((ready = ::epoll_wait(watcher.get(), &event, 1, deadline.poll_ms())) == -1)
        if (errno != EINTR)
            ipc::throw_last_error("epoll_wait");
    return ready == 1;
}

}  // namespace

std::string address(const std::string& name) {
    check_name(name);
    const std::string path = runtime_directory() + "/" + name;
    if (path.size() >= sizeof sockaddr_un::sun_path)
        ipc::throw_error(ENAMETOOLONG, "bind", path);
    return path;
}

Slot open_slot(const std::string& name) {
    Slot slot{address(name), {}};
    if (::mkdir(runtime_directory().c_str(), 0700) == -1 && errno != EEXIST)
        ipc::throw_last_error("mkdir", runtime_directory());
    const ipc::unique_file directory = open_private_directory();

    // From here to the return nobody else adds or takes over a name: what is found abandoned stays abandoned until it
    // is ours. The lock goes with its descriptor, so also with a process that is killed here.
    while (::flock(directory.get(), LOCK_EX) == -1)
        if (errno != EINTR)
            ipc::throw_last_error("flock", runtime_directory());

    slot.mailbox = make_socket();
    const sockaddr_un where = socket_address(slot.address);
    if (::bind(slot.mailbox.get(), pointer(where), sizeof where) == 0)
        return slot;
    if (errno != EADDRINUSE)
        ipc::throw_last_error("bind", slot.address);
    if (!is_abandoned(slot.address))
        ipc::throw_error(EADDRINUSE, "bind", slot.address + " has an owner; end that listener or take another name");
    ipc::check(::unlink(slot.address.c_str()), "unlink", slot.address);
    ipc::check(::bind(slot.mailbox.get(), pointer(where), sizeof where), "bind", slot.address);
    return slot;
}

std::optional<std::string> receive(Slot& slot, ipc::Deadline deadline) {
    // Into the largest buffer there can be: what a datagram socket of this system takes is bounded by its send buffer.
    for (std::string message(longest_message, '\0');;) {
        iovec part{message.data(), message.size()};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        const ssize_t peeked = ::recvmsg(slot.mailbox.get(), &header, MSG_PEEK | MSG_TRUNC);
        if (peeked >= 0 && (header.msg_flags & MSG_TRUNC) != 0) {
            message.resize(static_cast<std::size_t>(peeked));
            continue;
        }
        if (peeked >= 0) {
            message.resize(static_cast<std::size_t>(ipc::check(::recv(slot.mailbox.get(), message.data(), message.size(), 0), "recv", slot.address)));
            return message;
        }
        if (errno != EAGAIN)
            ipc::throw_last_error("recvmsg", slot.address);
        if (!wait_for(slot.mailbox.get(), EPOLLIN, deadline))
            return std::nullopt;
    }
}

Waiting look(Slot& slot) {
    // FIONREAD cannot tell a message of 0 bytes from none; the watcher can.
    if (!wait_for(slot.mailbox.get(), EPOLLIN, ipc::Deadline::in_ms(0)))
        return {std::nullopt, 0};
    int size = 0;
    ipc::check(::ioctl(slot.mailbox.get(), FIONREAD, &size), "ioctl", slot.address);
    return {static_cast<std::size_t>(size), std::nullopt};
}

void close_slot(Slot& slot) {
    // The name first, while the socket still answers: once it is closed, somebody else may have taken the name over.
    ::unlink(slot.address.c_str());
    slot.mailbox.reset();
}

namespace {

// Connected, or without a file where nobody is.
ipc::unique_file open_peer(const std::string& name) {
    const std::string path = address(name);
    ipc::unique_file socket;
    if (!open_private_directory())
        return socket;
    socket = make_socket();
    const sockaddr_un where = socket_address(path);
    if (::connect(socket.get(), pointer(where), sizeof where) == -1) {
        if (errno != ENOENT && errno != ECONNREFUSED)
            ipc::throw_last_error("connect", path);
        socket.reset();
    }
    return socket;
}

Delivery send_to(const ipc::unique_file& socket, std::string_view message, ipc::Deadline deadline) {
    if (!socket)
        return Delivery::nobody;
    do {
        if (::send(socket.get(), message.data(), message.size(), 0) != -1)
            return Delivery::delivered;
        if (errno == ECONNREFUSED || errno == ECONNRESET)
            return Delivery::nobody;
        if (errno != EAGAIN && errno != EINTR)
            ipc::throw_last_error("send");
    } while (wait_for(socket.get(), EPOLLOUT, deadline));
    return Delivery::full;
}

void check_size(std::string_view message) {
    if (message.size() > longest_message)
        ipc::throw_error(EMSGSIZE, "post");
}

}  // namespace

Delivery post(const std::string& name, std::string_view message, ipc::Deadline deadline) {
    check_size(message);
    return send_to(open_peer(name), message, deadline);
}

std::vector<Missed> broadcast(std::string_view message, const std::vector<std::string>& names) {
    check_size(message);
    // First everybody is called, then everybody is told.
    std::vector<ipc::unique_file> peers;
    std::vector<std::string> trouble(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
        try {
            peers.push_back(open_peer(names[i]));
        } catch (const std::exception& error) {
            peers.emplace_back();
            trouble[i] = error.what();
        }
    }
    std::vector<Missed> missed;
    for (std::size_t i = 0; i < names.size(); ++i) {
        try {
            const Delivery delivery = send_to(peers[i], message, ipc::Deadline::in_ms(0));
            if (delivery != Delivery::delivered)
                missed.push_back({names[i], trouble[i].empty() ? text(delivery) : trouble[i]});
        } catch (const std::exception& error) {
            missed.push_back({names[i], error.what()});
        }
    }
    return missed;
}

std::string numbered(const Numbered& message) {
    return "#" + message.sender + " " + std::to_string(message.number) + " " + message.text;
}

std::optional<Numbered> parse_numbered(std::string_view message) {
    const std::size_t first = message.find(' ');
    const std::size_t second = first == std::string_view::npos ? first : message.find(' ', first + 1);
    if (!message.starts_with('#') || first < 2 || second == std::string_view::npos)
        return std::nullopt;
    const std::string_view digits = message.substr(first + 1, second - first - 1);
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), number);
    if (error != std::errc() || end != digits.end() || digits.size() > 20 || number == 0)
        return std::nullopt;
    return Numbered{std::string(message.substr(1, first - 1)), number, std::string(message.substr(second + 1))};
}

News enter(Seen& seen, std::uint64_t number) {
    const auto behind = seen.holes.upper_bound(number);
    if (number > seen.highest) {
        const News news = number - seen.highest == 1 ? News{} : News{News::Kind::gap, seen.highest + 1, number - 1};
        if (news.kind == News::Kind::gap)
            seen.holes.emplace(news.first, news.last);
        seen.highest = number;
        return news;
    }
    if (behind == seen.holes.begin())
        return {News::Kind::duplicate, 0, 0};
    const auto hole = std::prev(behind);
    const std::uint64_t last = hole->second;
    if (last < number)
        return {News::Kind::duplicate, 0, 0};
    if (number != last)
        seen.holes.emplace(number + 1, last);
    if (number == hole->first)
        seen.holes.erase(hole);
    else
        hole->second = number - 1;
    return {News::Kind::late, 0, 0};
}

}  // namespace mailslots
