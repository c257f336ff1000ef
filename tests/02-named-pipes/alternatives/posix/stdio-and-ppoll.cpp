// Lab 02, posix track, another way: standard I/O and getline() for messages, a signal handler with ppoll() for stopping, a
// FIFO opened for reading and writing where the end of file is not wanted, an interval timer against waiting in open().

#include "named_pipes.hpp"

#include "ipc/error.hpp"
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

namespace named_pipes {
namespace {

struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

volatile std::sig_atomic_t told_to_stop = 0;

void on_stop(int) { told_to_stop = 1; }
void on_alarm(int) {}

// The handler runs only while ppoll() waits: there is no moment in which the flag is set unseen.
sigset_t hold_stop_signals() {
    struct sigaction action {};
    action.sa_handler = on_stop;
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    sigset_t held, before;
    ::sigemptyset(&held);
    ::sigaddset(&held, SIGINT);
    ::sigaddset(&held, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &held, &before);
    ::sigdelset(&before, SIGINT);
    ::sigdelset(&before, SIGTERM);
    return before;
}

void make(const std::string& path) {
    const mode_t before = ::umask(0177);
    const int result = ::mkfifo(path.c_str(), 0600);
    ::umask(before);
    if (result != 0 && errno != EEXIST)
        ipc::throw_last_error("mkfifo", path);
}

void expect_fifo(const std::string& path) {
    struct stat status {};
    ipc::check(::lstat(path.c_str(), &status), "lstat", path);
    if (!S_ISFIFO(status.st_mode))
        ipc::throw_error(EINVAL, "lstat", path + ", which is no FIFO");
}

// open() that a timer interrupts, again and again, until the deadline has passed.
int open_until(const std::string& path, ipc::Deadline deadline) {
    struct sigaction action {};
    action.sa_handler = on_alarm;  // no SA_RESTART: open() comes back with EINTR
    ::sigaction(SIGALRM, &action, nullptr);
    const itimerval none{}, often{{0, 20'000}, {0, 20'000}};
    if (deadline.bounded())
        ::setitimer(ITIMER_REAL, &often, nullptr);
    int file;
    do
        file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    while (file == -1 && errno == EINTR && !deadline.expired());
    const int error = errno;
    ::setitimer(ITIMER_REAL, &none, nullptr);
    if (file == -1)
        ipc::throw_error(error == EINTR ? ETIMEDOUT : error, "open", path);
    return file;
}

std::string reply_path(const std::string& name, const std::string& client) { return name + "." + client; }

struct Removed {
    std::string path;
    ~Removed() { ::unlink(path.c_str()); }
};

}  // namespace

void send(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline) {
    ::signal(SIGPIPE, SIG_IGN);
    make(name);
    expect_fifo(name);
    const File fifo(::fdopen(open_until(name, deadline), "w"));
    std::string longest;
    for (const std::string& text : texts)
        longest = text.size() > longest.size() ? text : longest;
    std::setvbuf(fifo.get(), nullptr, _IOFBF, longest.size() + 1);  // a message leaves with one write()
    for (const std::string& text : texts)
        if (std::fwrite(text.data(), 1, text.size(), fifo.get()) != text.size() || std::fputc('\n', fifo.get()) == EOF ||
            std::fflush(fifo.get()) == EOF)
            ipc::throw_last_error("fflush", name);
}

void receive(const std::string& name, const OnMessage& on_message) {
    make(name);
    expect_fifo(name);
    const File fifo(std::fopen(name.c_str(), "re"));
    if (!fifo)
        ipc::throw_last_error("fopen", name);
    char* line = nullptr;
    std::size_t capacity = 0;
    for (ssize_t length; (length = ::getline(&line, &capacity, fifo.get())) != -1;) {
        if (length > 0 && line[length - 1] == '\n')
            --length;
        on_message(std::string(line, static_cast<std::size_t>(length)));
    }
    std::free(line);
}

void serve(const std::string& name, const Answer& answer, const std::function<void()>& on_ready) {
    ::signal(SIGPIPE, SIG_IGN);
    const sigset_t open_signals = hold_stop_signals();
    make(name);
    expect_fifo(name);
    if (const int probe = ::open(name.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC); probe != -1) {
        ::close(probe);
        ipc::throw_error(EADDRINUSE, "serve", name);
    }
    const Removed own{name};
    ::chmod(name.c_str(), 0600);
    // For reading and writing, on purpose: so there is always a writer.
    const int fifo = ipc::check(::open(name.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC), "open", name);
    on_ready();
    std::string heap;
    while (!told_to_stop) {
        pollfd entry{fifo, POLLIN, 0};
        if (::ppoll(&entry, 1, nullptr, &open_signals) <= 0)
            continue;
        char part[3000];
        const ssize_t count = ::read(fifo, part, sizeof part);
        if (count <= 0)
            continue;
        heap.append(part, static_cast<std::size_t>(count));
        std::size_t begin = 0;
        for (std::size_t end; (end = heap.find('\n', begin)) != std::string::npos; begin = end + 1) {
            const std::string line = heap.substr(begin, end - begin);
            const std::size_t digits = line.find_first_not_of("0123456789");
            if (digits == 0 || digits > 18 || line[digits] != ' ' || line.size() - digits - 1 > longest_request)
                continue;
            const std::string client = line.substr(0, digits);
            const int to = ::open(reply_path(name, client).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
            if (to == -1)
                continue;
            const std::string text = answer(std::stoul(client), line.substr(digits + 1)) + "\n";
            if (::write(to, text.data(), text.size()) == -1 && errno != EAGAIN && errno != EPIPE)
                std::perror("lab-02: write");
            ::close(to);
        }
        heap.erase(0, begin);
    }
    ::close(fifo);
}

void request(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline, const OnMessage& on_answer) {
    for (const std::string& text : texts)
        if (text.size() > longest_request)
            ipc::throw_error(EMSGSIZE, "request", name);
    ::signal(SIGPIPE, SIG_IGN);
    const sigset_t open_signals = hold_stop_signals();
    expect_fifo(name);
    const int server = ipc::check(::open(name.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC), "open", name);
    const std::string client = std::to_string(::getpid());
    const Removed own{reply_path(name, client)};
    ::unlink(own.path.c_str());
    make(own.path);
    const int answers = ipc::check(::open(own.path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC), "open", own.path);
    std::string heap;
    auto wait = [&](int file, short events) {
        while (!told_to_stop) {
            pollfd watched[2] = {{file, events, 0}, {server, 0, 0}};
            const int left = deadline.poll_ms();
            const timespec timeout{left / 1000, (left % 1000) * 1'000'000L};
            const int ready = ::ppoll(watched, 2, deadline.bounded() ? &timeout : nullptr, &open_signals);
            if (ready == 0)
                ipc::throw_error(ETIMEDOUT, "request", name);
            if (ready > 0 && (watched[0].revents & events))
                return;
            if (ready > 0)
                ipc::throw_error(EPIPE, "request", name);
        }
        ipc::throw_error(EINTR, "request", name);
    };
    for (const std::string& text : texts) {
        const std::string line = client + " " + text + "\n";
        do
            wait(server, POLLOUT);
        while (::write(server, line.data(), line.size()) == -1);
        for (std::size_t end; (end = heap.find('\n')) == std::string::npos;) {
            wait(answers, POLLIN);
            char part[100];
            if (const ssize_t count = ::read(answers, part, sizeof part); count > 0)
                heap.append(part, static_cast<std::size_t>(count));
        }
        on_answer(heap.substr(0, heap.find('\n')));
        heap.erase(0, heap.find('\n') + 1);
    }
    ::close(answers);
    ::close(server);
}

}  // namespace named_pipes
