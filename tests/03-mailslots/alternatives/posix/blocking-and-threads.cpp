// Lab 03, posix track, alternative: blocking sockets with timeouts of their own, a thread for each receiver of a
// broadcast, and a take-over by rename().

#include "mailslots.hpp"

#include "ipc/error.hpp"
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <stdexcept>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

namespace mailslots {
namespace {

void check_name(const std::string& name) {
    const bool fine = !name.empty() && name.size() <= longest_name && name[0] != '.' &&
                      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == std::string::npos;
    if (!fine)
        throw std::invalid_argument("a slot's name is 1 to 64 letters, digits, '.', '-' or '_', not beginning with '.'; not '" + name + "'");
}

std::string folder() {
    if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime && *runtime == '/')
        return std::string(runtime) + "/ipc-labs";
    const char* temporary = std::getenv("TMPDIR");
    return std::string(temporary && *temporary == '/' ? temporary : "/tmp") + "/ipc-labs-" + std::to_string(::getuid());
}

// Nothing if there is none.
void check_folder() {
    struct stat about {};
    if (::lstat(folder().c_str(), &about) == -1) {
        if (errno != ENOENT)
            ipc::throw_last_error("lstat", folder());
        return;
    }
    if (!S_ISDIR(about.st_mode) || about.st_uid != ::geteuid() || (about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        ipc::throw_error(EPERM, "lstat", folder() + " is not private");
}

class FolderLock {
public:
    FolderLock() : file_(ipc::check(::open(folder().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", folder())) {
        int result = -1;
        do
            result = ::flock(file_.get(), LOCK_EX);
        while (result == -1 && errno == EINTR);
        ipc::check(result, "flock", folder());
    }

private:
    ipc::unique_file file_;
};

sockaddr_un at(const std::string& path) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    path.copy(where.sun_path, sizeof where.sun_path - 1);
    return where;
}

ipc::unique_file datagrams() { return ipc::unique_file(ipc::check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket")); }

// 0 or the errno of a send without waiting of nothing at all: connecting only.
int knock(const std::string& path) {
    const ipc::unique_file probe = datagrams();
    const sockaddr_un where = at(path);
    return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0 ? 0 : errno;
}

// Blocking calls on `socket` give up at the deadline. An expired one cannot be said so: 0 means for ever.
int give_time(int socket, int option, ipc::Deadline deadline) {
    if (deadline.expired())
        return MSG_DONTWAIT;
    const int left = deadline.bounded() ? std::max(1, deadline.poll_ms()) : 0;
    const timeval time{left / 1000, left % 1000 * 1000};
    ipc::check(::setsockopt(socket, SOL_SOCKET, option, &time, sizeof time), "setsockopt");
    return 0;
}

}  // namespace

std::string address(const std::string& name) {
    check_name(name);
    const std::string path = folder() + "/" + name;
    if (path.size() + 1 > sizeof sockaddr_un::sun_path)
        ipc::throw_error(ENAMETOOLONG, "bind", path);
    return path;
}

Slot open_slot(const std::string& name) {
    Slot slot{address(name), {}};
    ::mkdir(folder().c_str(), S_IRWXU);
    check_folder();
    const FolderLock lock;
    struct stat about {};
    if (::lstat(slot.address.c_str(), &about) == 0) {
        if (!S_ISSOCK(about.st_mode))
            ipc::throw_error(EEXIST, "bind", slot.address);
        if (knock(slot.address) != ECONNREFUSED)
            ipc::throw_error(EADDRINUSE, "bind", slot.address);
    }
    // No slot's name begins with a dot, and under the lock this one is ours alone.
    const std::string fresh = folder() + "/.new";
    ::unlink(fresh.c_str());
    slot.mailbox = datagrams();
    const sockaddr_un where = at(fresh);
    ipc::check(::bind(slot.mailbox.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where), "bind", fresh);
    if (::rename(fresh.c_str(), slot.address.c_str()) == -1) {
        const int error = errno;
        ::unlink(fresh.c_str());
        ipc::throw_error(error, "rename", slot.address);
    }
    return slot;
}

std::optional<std::string> receive(Slot& slot, ipc::Deadline deadline) {
    ssize_t size = -1;
    bool last_try = false;
    while (size == -1) {
        last_try = deadline.expired();
        const int flags = give_time(slot.mailbox.get(), SO_RCVTIMEO, deadline);
        size = ::recv(slot.mailbox.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC | flags);
        if (size == -1 && errno != EAGAIN && errno != EINTR)
            ipc::throw_last_error("recv", slot.address);
        if (size == -1 && last_try)
            return std::nullopt;
    }
    std::vector<char> bytes(static_cast<std::size_t>(size) + 1);
    const ssize_t taken = ipc::check(::recv(slot.mailbox.get(), bytes.data(), bytes.size(), MSG_DONTWAIT), "recv", slot.address);
    return std::string(bytes.data(), static_cast<std::size_t>(taken));
}

Waiting look(Slot& slot) {
    char one;
    iovec part{&one, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const ssize_t size = ::recvmsg(slot.mailbox.get(), &message, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    if (size >= 0)
        return {static_cast<std::size_t>(size), {}};
    if (errno != EAGAIN)
        ipc::throw_last_error("recvmsg", slot.address);
    return {{}, 0};
}

void close_slot(Slot& slot) {
    std::remove(slot.address.c_str());
    slot = Slot{};
}

Delivery post(const std::string& name, std::string_view message, ipc::Deadline deadline) {
    const sockaddr_un where = at(address(name));
    check_folder();
    if (message.size() > longest_message)
        ipc::throw_error(EMSGSIZE, "post", name);
    const ipc::unique_file socket = datagrams();
    for (;;) {
        const bool last_try = deadline.expired();
        const int flags = give_time(socket.get(), SO_SNDTIMEO, deadline);
        if (::sendto(socket.get(), message.data(), message.size(), flags, reinterpret_cast<const sockaddr*>(&where), sizeof where) != -1)
            return Delivery::delivered;
        switch (errno) {
        case ENOENT: case ECONNREFUSED: return Delivery::nobody;
        case EAGAIN: case EINTR: break;
        default: ipc::throw_last_error("sendto", where.sun_path);
        }
        if (last_try)
            return Delivery::full;
    }
}

std::vector<Missed> broadcast(std::string_view message, const std::vector<std::string>& names) {
    std::vector<std::string> results(names.size());
    std::vector<std::thread> rounds;
    for (std::size_t i = 0; i < names.size(); ++i)
        rounds.emplace_back([&, i] {
            try {
                if (const Delivery delivery = post(names[i], message, ipc::Deadline::in_ms(0)); delivery != Delivery::delivered)
                    results[i] = text(delivery);
            } catch (const std::exception& error) {
                results[i] = error.what();
            }
        });
    for (std::thread& round : rounds)
        round.join();
    std::vector<Missed> missed;
    for (std::size_t i = 0; i < names.size(); ++i)
        if (!results[i].empty())
            missed.push_back({names[i], results[i]});
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
