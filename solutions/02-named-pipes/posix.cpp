// Lab 02, posix track: the reference solution.

#include "named_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <string_view>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace named_pipes {
namespace {

// Makes the FIFO; one that is there already is as good.
void make_fifo(const std::string& path) {
    if (::mkfifo(path.c_str(), 0600) == 0)
        ipc::check(::chmod(path.c_str(), 0600), "chmod", path);  // the umask may have taken away even our own bits
    else if (errno != EEXIST)
        ipc::throw_last_error("mkfifo", path);
}

bool is_fifo(int file) {
    struct stat status {};
    ipc::check(::fstat(file, &status), "fstat");
    return S_ISFIFO(status.st_mode);
}

// None if the system refuses; errno says why. Asks what has been opened, not what the name stood for a moment ago.
ipc::unique_file try_open_fifo(const std::string& path, int flags) {
    ipc::unique_file file;
    do
        file.reset(::open(path.c_str(), flags | O_CLOEXEC));
    while (!file && errno == EINTR);
    if (file && !is_fifo(file.get()))
        ipc::throw_error(EINVAL, "open", path + ", which is no FIFO; choose another name");
    return file;
}

ipc::unique_file open_fifo(const std::string& path, int flags) {
    ipc::unique_file file = try_open_fifo(path, flags);
    ipc::check(file.get(), "open", path);
    return file;
}

// Waits until somebody reads. No call does that with a timeout, so with one we ask (ENXIO: nobody yet), and ask again.
ipc::unique_file open_for_writing(const std::string& path, ipc::Deadline deadline) {
    if (!deadline.bounded())
        return open_fifo(path, O_WRONLY);
    for (;;) {
        ipc::unique_file fifo = try_open_fifo(path, O_WRONLY | O_NONBLOCK);
        if (fifo) {
            ipc::check(::fcntl(fifo.get(), F_SETFL, O_WRONLY), "fcntl", path);  // from here on we have time
            return fifo;
        }
        if (errno != ENXIO)
            ipc::throw_last_error("open", path);
        if (deadline.expired())
            ipc::throw_error(ETIMEDOUT, "open", path + ", which nobody reads; start a reader: lab-02 read " + path);
        ::poll(nullptr, 0, std::min(20, deadline.poll_ms()));
    }
}

// A line of up to PIPE_BUF bytes goes in whole: that is why its end is not written separately.
void write_line(int fifo, const std::string& text, const std::string& path) {
    const std::string line = text + "\n";
    for (std::size_t done = 0; done < line.size();) {
        const ssize_t count = ::write(fifo, line.data() + done, line.size() - done);
        if (count == -1 && errno == EINTR)
            continue;
        done += static_cast<std::size_t>(ipc::check(count, "write", path));
    }
}

// Turns the bytes of a FIFO, as they come, back into lines.
class Lines {
public:
    // Reads once; false at end of file, that is, when no writer is left.
    template <class OnLine>
    bool read_from(int fifo, const OnLine& on_line) {
        std::array<char, 64 * 1024> buffer;
        const ssize_t count = ::read(fifo, buffer.data(), buffer.size());
        if (count == -1 && (errno == EINTR || errno == EAGAIN))
            return true;
        std::string_view bytes(buffer.data(), static_cast<std::size_t>(ipc::check(count, "read")));
        for (auto end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
            begun_.append(bytes.substr(0, end));
            on_line(std::exchange(begun_, {}));
            bytes.remove_prefix(end + 1);
        }
        begun_.append(bytes);
        return count > 0;
    }
    const std::string& begun() const { return begun_; }

private:
    std::string begun_;  // the line whose end has not come yet
};

// A name that is ours, and goes with us.
class OwnName {
public:
    explicit OwnName(std::string path) : path_(std::move(path)) {}
    OwnName(const OwnName&) = delete;
    ~OwnName() { ::unlink(path_.c_str()); }

private:
    std::string path_;
};

// SIGINT and SIGTERM, as something to poll() for: a signal that comes just before the waiting begins is not lost.
ipc::unique_file stop_requests() {
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGTERM);
    ipc::check(::sigprocmask(SIG_BLOCK, &signals, nullptr), "sigprocmask");
    return ipc::unique_file(ipc::check(::signalfd(-1, &signals, SFD_CLOEXEC), "signalfd"));
}

// poll() that is not disturbed by signals; 0 when the deadline has come.
int wait(pollfd* watched, nfds_t count, ipc::Deadline deadline) {
    int ready;
    do
        ready = ::poll(watched, count, deadline.poll_ms());
    while (ready == -1 && errno == EINTR);
    return ipc::check(ready, "poll");
}

std::string reply_path(const std::string& name, unsigned long client) { return name + "." + std::to_string(client); }

struct Request {
    unsigned long client = 0;
    std::string text;
};

// "PID TEXT"; anybody can write anything into a FIFO.
std::optional<Request> parse(const std::string& line) {
    Request request;
    const char* const end = line.data() + line.size();
    const auto [rest, error] = std::from_chars(line.data(), end, request.client);
    if (error != std::errc() || rest == end || *rest != ' ')
        return std::nullopt;
    request.text.assign(rest + 1, end);
    if (request.text.size() > longest_request)
        return std::nullopt;
    return request;
}

// Never waits: a client that has gone (ENXIO, ENOENT) or does not read (EAGAIN) goes without its answer.
void reply(const std::string& path, const std::string& text) {
    const ipc::unique_file fifo(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    if (!fifo || !is_fifo(fifo.get()))
        return;
    const std::string line = text + "\n";
    [[maybe_unused]] const ssize_t written = ::write(fifo.get(), line.data(), line.size());
}

// What a client waits with: for one descriptor, and for everything that makes the waiting pointless.
struct Patience {
    const std::string& name;
    int server, stop;
    ipc::Deadline deadline;

    void wait_for(int file, short events) const {
        // A write end whose last reader has gone reports POLLERR unasked: that is how a server's death is seen.
        pollfd watched[] = {{file, events, 0}, {stop, POLLIN, 0}, {server, 0, 0}};
        if (wait(watched, 3, deadline) == 0)
            ipc::throw_error(ETIMEDOUT, "request", name + ", whose server does not answer");
        if (watched[0].revents & events)
            return;
        if (watched[1].revents)
            ipc::throw_error(EINTR, "request", name);
        ipc::throw_error(EPIPE, "request", name + ", whose server has gone without an answer");
    }
};

// Sends one request; the server may be so far behind that its FIFO is full.
void ask(const std::string& text, const Patience& patience) {
    const std::string line = std::to_string(::getpid()) + " " + text + "\n";
    while (::write(patience.server, line.data(), line.size()) == -1) {
        if (errno != EAGAIN && errno != EINTR)
            ipc::throw_last_error("write", patience.name);
        patience.wait_for(patience.server, POLLOUT);
    }
}

}  // namespace

void send(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline) {
    ::signal(SIGPIPE, SIG_IGN);  // a reader that leaves is an error to be told, not a death
    make_fifo(name);
    const ipc::unique_file fifo = open_for_writing(name, deadline);
    for (const std::string& text : texts)
        write_line(fifo.get(), text, name);
}

void receive(const std::string& name, const OnMessage& on_message) {
    make_fifo(name);
    const ipc::unique_file fifo = open_fifo(name, O_RDONLY);  // waits for the first writer
    Lines lines;
    while (lines.read_from(fifo.get(), on_message)) {
    }
    if (!lines.begun().empty())
        on_message(lines.begun());
    // The FIFO stays: a writer may be waiting in open() already, and would wait for ever at a name that is gone.
}

void serve(const std::string& name, const Answer& answer, const std::function<void()>& on_ready) {
    ::signal(SIGPIPE, SIG_IGN);  // a client that leaves early must not take us with it
    const ipc::unique_file stop = stop_requests();
    make_fifo(name);
    if (try_open_fifo(name, O_WRONLY | O_NONBLOCK))  // with nobody reading this would be ENXIO
        ipc::throw_error(EADDRINUSE, "serve", name + ", which somebody reads already; stop him or choose another name");
    const OwnName own(name);
    const ipc::unique_file requests = open_fifo(name, O_RDONLY | O_NONBLOCK);
    ipc::check(::fchmod(requests.get(), 0600), "fchmod", name);  // it may have been there before
    // A writer of our own, that never writes: so the last client's leaving is no end of file, again and again.
    const ipc::unique_file keeps_open = open_fifo(name, O_WRONLY);
    on_ready();

    Lines lines;
    for (;;) {
        pollfd watched[] = {{requests.get(), POLLIN, 0}, {stop.get(), POLLIN, 0}};
        wait(watched, 2, {});
        if (watched[1].revents)
            return;
        lines.read_from(requests.get(), [&](const std::string& line) {
            if (const std::optional<Request> request = parse(line))
                reply(reply_path(name, request->client), answer(request->client, request->text));
        });
    }
}

void request(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline,
             const OnMessage& on_answer) {
    for (const std::string& text : texts)
        if (text.size() > longest_request)
            ipc::throw_error(EMSGSIZE, "request", "a text of " + std::to_string(text.size()) + " bytes; " +
                                                      std::to_string(longest_request) + " are allowed");
    ::signal(SIGPIPE, SIG_IGN);
    const ipc::unique_file stop = stop_requests();
    const ipc::unique_file server = try_open_fifo(name, O_WRONLY | O_NONBLOCK);
    if (!server)
        ipc::throw_last_error("open", name + ", which nobody serves; start a server: lab-02 serve " + name);

    // Our own FIFO is open for reading before the server hears of it, or its answer would find nobody.
    const std::string path = reply_path(name, static_cast<unsigned long>(::getpid()));
    ::unlink(path.c_str());  // left by a process that had our id and was killed
    make_fifo(path);
    const OwnName own(path);
    const ipc::unique_file answers = open_fifo(path, O_RDONLY | O_NONBLOCK);
    const ipc::unique_file keeps_open = open_fifo(path, O_WRONLY);  // the server closes after each answer

    const Patience patience{name, server.get(), stop.get(), deadline};
    Lines lines;
    for (const std::string& text : texts) {
        ask(text, patience);
        for (bool answered = false; !answered;) {
            patience.wait_for(answers.get(), POLLIN);
            lines.read_from(answers.get(), [&](const std::string& line) {
                answered = true;
                on_answer(line);
            });
        }
    }
}

}  // namespace named_pipes
