// Lab 02, posix track, another way: threads that block. One thread reads requests with plain read(), another waits for
// signals with sigwait(); each knocks at the other's door through a pipe or through the FIFO itself.

#include "named_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <fcntl.h>
#include <future>
#include <map>
#include <mutex>
#include <poll.h>
#include <sstream>
#include <sys/stat.h>
#include <sys/uio.h>
#include <thread>
#include <unistd.h>

namespace named_pipes {
namespace {

using ipc::unique_file;

void make(const std::string& path) {
    if (::mknod(path.c_str(), S_IFIFO | 0600, 0) == -1 && errno != EEXIST)
        ipc::throw_last_error("mknod", path);
    struct stat status {};
    ipc::check(::stat(path.c_str(), &status), "stat", path);
    if (!S_ISFIFO(status.st_mode))
        ipc::throw_error(EINVAL, "stat", path + ", which is no FIFO");
    if (status.st_uid == ::getuid() && (status.st_mode & 0777) != 0600)
        ipc::check(::chmod(path.c_str(), 0600), "chmod", path);
}

unique_file opened(const std::string& path, int flags) {
    return unique_file(ipc::check(::open(path.c_str(), flags | O_CLOEXEC), "open", path));
}

sigset_t stop_signals() {
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGTERM);
    return signals;
}

// Runs `on_stop` in a thread of its own when SIGINT or SIGTERM comes. Must be made before any other thread.
class StopWatch {
public:
    explicit StopWatch(std::function<void()> on_stop) : signals_(stop_signals()) {
        ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
        thread_ = std::thread([this, on_stop = std::move(on_stop)] {
            int signal = 0;
            ::sigwait(&signals_, &signal);
            if (!over_)
                on_stop();
        });
    }
    ~StopWatch() {
        over_ = true;
        ::pthread_kill(thread_.native_handle(), SIGTERM);
        thread_.join();
    }

private:
    sigset_t signals_;
    std::atomic<bool> over_ = false;
    std::thread thread_;
};

void write_line(int file, const std::string& text, const std::string& path) {
    const std::string line = text + '\n';
    std::size_t done = 0;
    while (done < line.size())
        done += static_cast<std::size_t>(ipc::check(::write(file, line.data() + done, line.size() - done), "write", path));
}

// Reads bytes one buffer at a time and gives out lines; nullopt-like false at the end.
class LineReader {
public:
    explicit LineReader(int file) : file_(file) {}
    bool next(std::string& line) {
        line.clear();
        for (;;) {
            while (at_ < size_) {
                const char byte = buffer_[at_++];
                if (byte == '\n')
                    return true;
                line += byte;
            }
            const ssize_t count = ::read(file_, buffer_, sizeof buffer_);
            if (count == -1 && errno == EINTR)
                continue;
            at_ = 0;
            size_ = static_cast<std::size_t>(ipc::check(count, "read"));
            if (size_ == 0)
                return !line.empty();
        }
    }

private:
    int file_;
    char buffer_[8192];
    std::size_t at_ = 0, size_ = 0;
};

}  // namespace

void send(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline) {
    ::signal(SIGPIPE, SIG_IGN);
    make(name);
    // One thread waits in open(), the other for the deadline.
    std::future<unique_file> opening = std::async(std::launch::async, [&name] { return opened(name, O_WRONLY); });
    if (deadline.bounded() && opening.wait_until(deadline.at()) == std::future_status::timeout) {
        const unique_file release = opened(name, O_RDONLY | O_NONBLOCK);  // so that open() returns
        opening.get();
        ipc::throw_error(ETIMEDOUT, "open", name);
    }
    const unique_file fifo = opening.get();
    for (const std::string& text : texts)
        write_line(fifo.get(), text, name);
}

void receive(const std::string& name, const OnMessage& on_message) {
    make(name);
    const unique_file fifo = opened(name, O_RDONLY);
    LineReader reader(fifo.get());
    for (std::string line; reader.next(line);)
        on_message(line);
}

void serve(const std::string& name, const Answer& answer, const std::function<void()>& on_ready) {
    ::signal(SIGPIPE, SIG_IGN);
    make(name);
    if (const unique_file probe(::open(name.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)); probe)
        ipc::throw_error(EADDRINUSE, "serve", name);
    const std::unique_ptr<const char, void (*)(const char*)> own(name.c_str(), [](const char* path) { ::unlink(path); });
    const unique_file fifo = opened(name, O_RDWR);
    std::atomic<bool> stopped = false;
    const StopWatch watch([&] {
        stopped = true;
        if (::write(fifo.get(), "\n", 1) == -1)  // wakes the reader
            std::perror("lab-02: write");
    });
    on_ready();
    LineReader reader(fifo.get());
    for (std::string line; !stopped && reader.next(line);) {
        std::istringstream words(line);
        unsigned long client = 0;
        if (line.empty() || line[0] < '0' || line[0] > '9' || !(words >> client) || words.get() != ' ')
            continue;
        const std::string text = line.substr(line.find(' ') + 1);
        const unique_file to(::open((name + "." + std::to_string(client)).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
        if (!to || text.size() > longest_request)
            continue;
        std::string said = answer(client, text), end = "\n";
        const iovec parts[2] = {{said.data(), said.size()}, {end.data(), 1}};
        [[maybe_unused]] const ssize_t written = ::writev(to.get(), parts, 2);
    }
}

void request(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline, const OnMessage& on_answer) {
    for (const std::string& text : texts)
        if (text.size() > longest_request)
            ipc::throw_error(EMSGSIZE, "request", name);
    ::signal(SIGPIPE, SIG_IGN);
    const unique_file server = opened(name, O_WRONLY | O_NONBLOCK);
    struct stat status {};
    ipc::check(::fstat(server.get(), &status), "fstat", name);
    if (!S_ISFIFO(status.st_mode))
        ipc::throw_error(EINVAL, "open", name + ", which is no FIFO");

    const std::string path = name + "." + std::to_string(::getpid());
    ::unlink(path.c_str());
    make(path);
    const std::unique_ptr<const char, void (*)(const char*)> own(path.c_str(), [](const char* left) { ::unlink(left); });
    const unique_file answers = opened(path, O_RDWR);

    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::string> arrived;
    bool stopped = false, gone = false, over = false;
    auto set = [&](bool& what) {
        const std::lock_guard lock(mutex);
        what = true;
        changed.notify_all();
    };
    int ends[2];
    ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2");
    const unique_file hear(ends[0]);
    unique_file tell(ends[1]);

    const StopWatch watch([&] { set(stopped); });
    // One thread looks after the server's life, one listens for answers.
    std::thread guard([&] {
        pollfd entries[2] = {{server.get(), 0, 0}, {hear.get(), 0, 0}};
        ::poll(entries, 2, -1);
        set(gone);
    });
    std::thread listener([&] {
        LineReader reader(answers.get());
        for (std::string line; reader.next(line);) {
            const std::lock_guard lock(mutex);
            if (over)
                return;
            arrived.push_back(line);
            changed.notify_all();
        }
    });
    auto end_threads = [&] {
        set(over);
        tell.reset();
        write_line(answers.get(), "", path);
        guard.join();
        listener.join();
    };
    try {
        for (const std::string& text : texts) {
            const std::string line = std::to_string(::getpid()) + " " + text + "\n";
            while (::write(server.get(), line.data(), line.size()) == -1) {
                if (errno != EAGAIN)
                    ipc::throw_last_error("write", name);
                pollfd room{server.get(), POLLOUT, 0};
                if (::poll(&room, 1, deadline.poll_ms()) == 0)
                    ipc::throw_error(ETIMEDOUT, "write", name);
            }
            std::unique_lock lock(mutex);
            const auto something = [&] { return stopped || gone || !arrived.empty(); };
            if (!deadline.bounded())
                changed.wait(lock, something);
            else if (!changed.wait_until(lock, deadline.at(), something))
                ipc::throw_error(ETIMEDOUT, "request", name);
            if (arrived.empty())
                ipc::throw_error(stopped ? EINTR : EPIPE, "request", name);
            on_answer(arrived.front());
            arrived.pop_front();
        }
    } catch (...) {
        end_threads();
        throw;
    }
    end_threads();
}

}  // namespace named_pipes
