// Lab 03, posix track: the reference solution.

#include "mailslots.hpp"

#include "ipc/error.hpp"
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <sys/file.h>
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
    return ipc::unique_file(ipc::check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
}

// Whether what bears the name is a socket that nobody has open any more. Where nothing bears it, its owner has just left.
bool is_abandoned(const std::string& path) {
    struct stat about {};
    if (::lstat(path.c_str(), &about) == -1) {
        if (errno == ENOENT)
            return true;
        ipc::throw_last_error("lstat", path);
    }
    if (!S_ISSOCK(about.st_mode))
        ipc::throw_error(EEXIST, "bind", path + " is no socket; take another name");  // to a file connect() says ECONNREFUSED, too
    const ipc::unique_file probe = make_socket();
    const sockaddr_un where = socket_address(path);
    return ::connect(probe.get(), pointer(where), sizeof where) == -1 && (errno == ECONNREFUSED || errno == ENOENT);
}

// Waits until `events` can be had; false when the deadline comes first.
bool wait_for(int file, short events, ipc::Deadline deadline) {
    for (;;) {
        pollfd watched{file, events, 0};
        const int ready = ::poll(&watched, 1, deadline.poll_ms());
        if (ready > 0)
            return true;
        if (ready == 0)
            return false;
        if (errno != EINTR)  // after a signal wait for what is left, not for all of it again
            ipc::throw_last_error("poll");
    }
}

}  // namespace

std::string address(const std::string& name) {
    check_name(name);
    const std::string path = runtime_directory() + "/" + name;
    if (path.size() >= sizeof sockaddr_un::sun_path)
        ipc::throw_error(ENAMETOOLONG, "bind", path + " does not fit into sun_path; set XDG_RUNTIME_DIR to a shorter one");
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
    if (::unlink(slot.address.c_str()) == -1 && errno != ENOENT)
        ipc::throw_last_error("unlink", slot.address);
    ipc::check(::bind(slot.mailbox.get(), pointer(where), sizeof where), "bind", slot.address);
    return slot;
}

std::optional<std::string> receive(Slot& slot, ipc::Deadline deadline) {
    if (!wait_for(slot.mailbox.get(), POLLIN, deadline))
        return std::nullopt;
    // Ask for the size first: what does not fit into the buffer is cut off, and gone.
    const ssize_t size = ipc::check(::recv(slot.mailbox.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC), "recv", slot.address);
    std::string message(static_cast<std::size_t>(size), '\0');
    ipc::check(::recv(slot.mailbox.get(), message.data(), message.size(), 0), "recv", slot.address);
    return message;  // empty is a message like any other: a datagram socket has no end of file
}

Waiting look(Slot& slot) {
    const ssize_t size = ::recv(slot.mailbox.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    if (size == -1 && errno == EAGAIN)
        return {std::nullopt, 0};
    ipc::check(size, "recv", slot.address);
    return {static_cast<std::size_t>(size), std::nullopt};  // Linux does not tell how many wait
}

void close_slot(Slot& slot) {
    // The name first, while the socket still answers: once it is closed, somebody else may have taken the name over.
    ::unlink(slot.address.c_str());
    slot.mailbox.reset();
}

Delivery post(const std::string& name, std::string_view message, ipc::Deadline deadline) {
    const std::string path = address(name);
    if (message.size() > longest_message)
        ipc::throw_error(EMSGSIZE, "post", "a message has at most 65536 bytes");
    if (!open_private_directory())
        return Delivery::nobody;

    const ipc::unique_file socket = make_socket();
    const sockaddr_un where = socket_address(path);
    if (::connect(socket.get(), pointer(where), sizeof where) == -1) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return Delivery::nobody;
        ipc::throw_last_error("connect", path);
    }
    // Connected, so that poll() tells when that receiver has room; by itself a datagram socket can always be written to.
    while (::send(socket.get(), message.data(), message.size(), MSG_DONTWAIT) == -1) {
        if (errno == ECONNREFUSED || errno == ECONNRESET)
            return Delivery::nobody;
        if (errno != EAGAIN && errno != EINTR)
            ipc::throw_last_error("send", path);
        if (errno == EAGAIN && !wait_for(socket.get(), POLLOUT, deadline))
            return Delivery::full;
    }
    return Delivery::delivered;
}

std::vector<Missed> broadcast(std::string_view message, const std::vector<std::string>& names) {
    std::vector<Missed> missed;
    for (const std::string& name : names) {
        try {
            const Delivery delivery = post(name, message, ipc::Deadline::in_ms(0));
            if (delivery != Delivery::delivered)
                missed.push_back({name, text(delivery)});
        } catch (const std::exception& error) {
            missed.push_back({name, error.what()});
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
    if (number > seen.highest) {
        const std::uint64_t due = seen.highest + 1;
        seen.highest = number;
        if (number == due)
            return {News::Kind::next, 0, 0};
        seen.holes[due] = number - 1;
        return {News::Kind::gap, due, number - 1};
    }
    auto hole = seen.holes.upper_bound(number);
    if (hole == seen.holes.begin() || (--hole)->second < number)
        return {News::Kind::duplicate, 0, 0};
    // What is left of the hole: a piece before the number, a piece behind it, or nothing.
    const auto [first, last] = *hole;
    seen.holes.erase(hole);
    if (first < number)
        seen.holes[first] = number - 1;
    if (number < last)
        seen.holes[number + 1] = last;
    return {News::Kind::late, 0, 0};
}

}  // namespace mailslots
