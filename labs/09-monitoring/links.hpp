#pragma once

/// @file
/// The mechanisms that `bench` measures, each with an echo at its other end: a second process of this program. Given.
///
/// A message is of a fixed size. The peer sends each one back, unless it begins with `swallow`.

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>
#ifdef _WIN32
#include "ipc/text.hpp"
#include <windows.h>
#else
#include <cerrno>
#include <csignal>
#include <ctime>
#include <fcntl.h>
#include <linux/futex.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
extern char** environ;
#endif

namespace monitoring::links {

inline constexpr char echo = 'e', swallow = 's';

#ifdef _WIN32
using File = ipc::unique_handle;
using Native = HANDLE;
inline Native standard_input() { return GetStdHandle(STD_INPUT_HANDLE); }
inline Native standard_output() { return GetStdHandle(STD_OUTPUT_HANDLE); }
#else
using File = ipc::unique_file;
using Native = int;
inline Native standard_input() { return STDIN_FILENO; }
inline Native standard_output() { return STDOUT_FILENO; }
#endif

/// Some bytes, or 0 at the end: nobody writes any more.
inline std::size_t read_some(Native file, char* to, std::size_t size) {
#ifdef _WIN32
    DWORD count = 0;
    do {
        if (!ReadFile(file, to, static_cast<DWORD>(size), &count, nullptr)) {
            if (GetLastError() == ERROR_BROKEN_PIPE)
                return 0;
            ipc::throw_last_error("ReadFile");
        }
    } while (count == 0 && PeekNamedPipe(file, nullptr, 0, nullptr, nullptr, nullptr));  // a write of no bytes is no end
    return count;
#else
    for (;;) {
        const ssize_t count = ::read(file, to, size);
        if (count >= 0)
            return static_cast<std::size_t>(count);
        if (errno == ECONNRESET)
            return 0;  // a socket whose peer died with bytes unread
        if (errno != EINTR)
            ipc::throw_last_error("read");
    }
#endif
}

/// All of it, or false: nobody reads any more.
inline bool write_all(Native file, const char* from, std::size_t size) {
    while (size > 0) {
#ifdef _WIN32
        DWORD count = 0;
        if (!WriteFile(file, from, static_cast<DWORD>(size), &count, nullptr)) {
            if (GetLastError() == ERROR_NO_DATA || GetLastError() == ERROR_BROKEN_PIPE)
                return false;
            ipc::throw_last_error("WriteFile");
        }
#else
        const ssize_t count = ::write(file, from, size);
        if (count == -1 && errno == EINTR)
            continue;
        if (count == -1 && (errno == EPIPE || errno == ECONNRESET))
            return false;
        ipc::check(count, "write");
#endif
        from += count;
        size -= static_cast<std::size_t>(count);
    }
    return true;
}

/// One end of a mechanism. Both functions say false when the other end is gone.
class Link {
public:
    virtual ~Link() = default;
    virtual bool send(const std::string& message) = 0;
    virtual bool receive(std::string& message) = 0;
};

// ---- pipes and sockets ----------------------------------------------------------------------------------------------

class FileLink : public Link {
public:
    FileLink(File in, File out) : in_(std::move(in)), out_(std::move(out)) {}
    bool send(const std::string& message) override { return write_all(out(), message.data(), message.size()); }
    bool receive(std::string& message) override {
        for (std::size_t done = 0; done < message.size();) {
            const std::size_t count = read_some(in_.get(), message.data() + done, message.size() - done);
            if (count == 0)
                return false;
            done += count;
        }
        return true;
    }

private:
    Native out() const { return out_ ? out_.get() : in_.get(); }  // none: `in` goes both ways
    File in_, out_;
};

// ---- shared memory --------------------------------------------------------------------------------------------------

// A ring of messages in one direction. Each end sleeps until the other one has moved its counter.
class Ring {
public:
    static constexpr std::uint32_t slots = 64;
    static std::size_t bytes(std::size_t message) { return sizeof(Counters) + slots * message; }

    /// How an end sleeps until `word` is no longer `seen`, and wakes the other; false: the other end is gone.
    class Sleep {
    public:
        virtual ~Sleep() = default;
        virtual bool wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, int which) = 0;
        virtual void wake(std::atomic<std::uint32_t>& word, int which) = 0;
    };

    Ring(void* memory, std::size_t message, Sleep& sleep, int number)
        : counters_(static_cast<Counters*>(memory)), data_(static_cast<char*>(memory) + sizeof(Counters)), size_(message),
          sleep_(sleep), number_(number) {}

    bool push(const std::string& message) {
        const std::uint32_t written = counters_->written.load(std::memory_order_relaxed);
        for (std::uint32_t read; written - (read = counters_->read.load(std::memory_order_acquire)) == slots;)
            if (!sleep_.wait(counters_->read, read, 2 * number_))
                return false;
        std::memcpy(data_ + written % slots * size_, message.data(), size_);
        counters_->written.store(written + 1, std::memory_order_release);
        sleep_.wake(counters_->written, 2 * number_ + 1);
        return true;
    }
    bool pop(std::string& message) {
        const std::uint32_t read = counters_->read.load(std::memory_order_relaxed);
        while (counters_->written.load(std::memory_order_acquire) == read)
            if (!sleep_.wait(counters_->written, read, 2 * number_ + 1))
                return false;
        std::memcpy(message.data(), data_ + read % slots * size_, size_);
        counters_->read.store(read + 1, std::memory_order_release);
        sleep_.wake(counters_->read, 2 * number_);
        return true;
    }

private:
    // A cache line for each, so that the two ends do not take it from each other.
    struct Counters {
        alignas(64) std::atomic<std::uint32_t> written;
        alignas(64) std::atomic<std::uint32_t> read;
    };
    Counters* counters_;
    char* data_;
    std::size_t size_;
    Sleep& sleep_;
    int number_;
};

#ifdef _WIN32

// Events, since WaitOnAddress knows nothing of other processes.
class RingSleep : public Ring::Sleep {
public:
    HANDLE events[4] = {};
    HANDLE other = nullptr;  ///< the other process
    HANDLE stop = nullptr;   ///< somebody has had enough
    bool wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, int which) override {
        const HANDLE any[3] = {events[which], other, stop};
        return word.load() != seen || WaitForMultipleObjects(3, any, FALSE, INFINITE) == WAIT_OBJECT_0;
    }
    void wake(std::atomic<std::uint32_t>&, int which) override { SetEvent(events[which]); }
};

#else

// Nobody tells a futex that the other process is gone: so the wait looks up once a second.
class RingSleep : public Ring::Sleep {
public:
    pid_t other = -1;  ///< our child; -1: our parent, with whom we die
    bool wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, int) override {
        const timespec second{1, 0};
        const timespec* timeout = other == -1 ? nullptr : &second;
        if (::syscall(SYS_futex, &word, FUTEX_WAIT, seen, timeout, nullptr, 0) == -1 && errno == ETIMEDOUT) {
            siginfo_t info{};
            return ::waitid(P_PID, static_cast<id_t>(other), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
        }
        return true;
    }
    void wake(std::atomic<std::uint32_t>& word, int) override {
        ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    }
};

#endif

class MemoryLink : public Link {
public:
    static std::size_t bytes(std::size_t message) { return 2 * Ring::bytes(aligned(message)); }
    /// Sends through ring number `out`, receives through the other.
    MemoryLink(void* memory, std::size_t message, int out, std::unique_ptr<RingSleep> sleep)
        : sleep_(std::move(sleep)), out_(ring(memory, message, out)), in_(ring(memory, message, 1 - out)) {}
    bool send(const std::string& message) override { return out_.push(message); }
    bool receive(std::string& message) override { return in_.pop(message); }

private:
    static std::size_t aligned(std::size_t message) { return (message + 63) / 64 * 64; }
    Ring ring(void* memory, std::size_t message, int number) {
        const std::size_t offset = static_cast<std::size_t>(number) * Ring::bytes(aligned(message));
        return Ring(static_cast<char*>(memory) + offset, message, *sleep_, number);
    }
    std::unique_ptr<RingSleep> sleep_;
    Ring out_, in_;
};

// ---- the two processes ----------------------------------------------------------------------------------------------

/// The peer's whole life: it sends back what comes, until nothing can come any more.
inline void serve(Link& link, std::size_t size) {
    std::string message(size, '\0');
    while (link.receive(message))
        if (message[0] != swallow && !link.send(message))
            return;
}

#ifdef _WIN32

inline void* map_view(HANDLE mapping) {
    void* memory = MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0);
    if (!memory)
        ipc::throw_last_error("MapViewOfFile");
    return memory;
}

inline void make_inheritable(HANDLE handle) {
    if (!SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT))
        ipc::throw_last_error("SetHandleInformation");
}

/// A mechanism with a peer at its other end. The destructor lets the peer end, and waits for it.
class Bench {
public:
    Bench(const std::string& mechanism, std::size_t size) {
        if (mechanism == "memory") {
            start_with_memory(size);
            return;
        }
        auto [ours, peers] = mechanism == "pipe" ? pipes() : named_pipe();
        start({"peer", std::to_string(size)}, peers.first.get(), (peers.second ? peers.second : peers.first).get());
        link_ = std::make_unique<FileLink>(std::move(ours.first), std::move(ours.second));
    }
    Bench(const Bench&) = delete;
    ~Bench() {
        link_.reset();
        if (stop_)
            SetEvent(stop_.get());
        WaitForSingleObject(peer_.get(), INFINITE);
    }
    Link& link() { return *link_; }
    unsigned long peer_id() const { return peer_id_; }

    static const char* mechanisms() { return "pipe, named-pipe, memory"; }

private:
    using Ends = std::pair<File, File>;  // in, out; no out: in goes both ways

    static std::pair<Ends, Ends> pipes() {
        HANDLE there[2], back[2];
        if (!CreatePipe(&there[0], &there[1], nullptr, 64 * 1024) || !CreatePipe(&back[0], &back[1], nullptr, 64 * 1024))
            ipc::throw_last_error("CreatePipe");
        make_inheritable(there[0]);
        make_inheritable(back[1]);
        return {Ends(File(back[0]), File(there[1])), Ends(File(there[0]), File(back[1]))};
    }
    static std::pair<Ends, Ends> named_pipe() {
        const std::wstring name = L"\\\\.\\pipe\\lab-09-" + std::to_wstring(GetCurrentProcessId());
        const HANDLE ours = CreateNamedPipeW(name.c_str(), PIPE_ACCESS_DUPLEX | FILE_FLAG_FIRST_PIPE_INSTANCE,
                                             PIPE_TYPE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, 1, 64 * 1024, 64 * 1024,
                                             0, nullptr);
        if (ours == INVALID_HANDLE_VALUE)
            ipc::throw_last_error("CreateNamedPipeW", ipc::to_utf8(name));
        File server(ours);
        const HANDLE theirs = CreateFileW(name.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr, OPEN_EXISTING, 0, nullptr);
        if (theirs == INVALID_HANDLE_VALUE)
            ipc::throw_last_error("CreateFileW", ipc::to_utf8(name));
        make_inheritable(theirs);
        return {Ends(std::move(server), File()), Ends(File(theirs), File())};
    }
    void start_with_memory(std::size_t size) {
        const auto bytes = static_cast<DWORD>(MemoryLink::bytes(size));
        mapping_.reset(CreateFileMappingW(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, 0, bytes, nullptr));
        if (!mapping_)
            ipc::throw_last_error("CreateFileMappingW");
        stop_.reset(CreateEventW(nullptr, TRUE, FALSE, nullptr));
        HANDLE self = nullptr;
        if (!DuplicateHandle(GetCurrentProcess(), GetCurrentProcess(), GetCurrentProcess(), &self, SYNCHRONIZE, TRUE, 0))
            ipc::throw_last_error("DuplicateHandle");
        const ipc::unique_handle ourselves(self);
        make_inheritable(mapping_.get());
        make_inheritable(stop_.get());
        auto sleep = std::make_unique<RingSleep>();
        sleep->stop = stop_.get();
        std::vector<std::string> words = {"peer", std::to_string(size)};
        for (const HANDLE handle : {mapping_.get(), self, stop_.get()})
            words.push_back(number(handle));
        for (int i = 0; i < 4; ++i) {
            events_[i].reset(CreateEventW(nullptr, FALSE, FALSE, nullptr));
            make_inheritable(events_[i].get());
            sleep->events[i] = events_[i].get();
            words.push_back(number(events_[i].get()));
        }
        start(words, standard_input(), standard_output());
        sleep->other = peer_.get();
        link_ = std::make_unique<MemoryLink>(map_view(mapping_.get()), size, 0, std::move(sleep));
    }
    static std::string number(HANDLE handle) { return std::to_string(reinterpret_cast<std::uintptr_t>(handle)); }

    void start(const std::vector<std::string>& words, HANDLE input, HANDLE output) {
        wchar_t program[MAX_PATH];
        GetModuleFileNameW(nullptr, program, MAX_PATH);
        std::wstring line = L"lab-09";
        for (const std::string& word : words)  // none of ours has a blank or a quotation mark
            line += L" " + ipc::to_wide(word);
        STARTUPINFOW startup{};
        startup.cb = sizeof startup;
        startup.dwFlags = STARTF_USESTDHANDLES;
        startup.hStdInput = input;
        startup.hStdOutput = output;
        startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
        PROCESS_INFORMATION started{};
        if (!CreateProcessW(program, line.data(), nullptr, nullptr, TRUE, 0, nullptr, nullptr, &startup, &started))
            ipc::throw_last_error("CreateProcessW", ipc::to_utf8(program));
        CloseHandle(started.hThread);
        peer_.reset(started.hProcess);
        peer_id_ = started.dwProcessId;
    }

    ipc::unique_handle peer_, mapping_, stop_, events_[4];
    unsigned long peer_id_ = 0;
    std::unique_ptr<Link> link_;
};

/// `lab-09 peer SIZE [HANDLES]`: the other end.
inline void be_the_peer(const std::vector<std::string>& words) {
    const std::size_t size = std::stoul(words.at(1));
    if (words.size() == 2) {
        FileLink link{File(standard_input()), File(standard_output())};
        return serve(link, size);
    }
    auto handle = [&](std::size_t i) {
        return reinterpret_cast<HANDLE>(static_cast<std::uintptr_t>(std::stoull(words.at(i))));
    };
    auto sleep = std::make_unique<RingSleep>();
    sleep->other = handle(3);
    sleep->stop = handle(4);
    for (std::size_t i = 0; i < 4; ++i)
        sleep->events[i] = handle(5 + i);
    MemoryLink link(map_view(handle(2)), size, 1, std::move(sleep));
    serve(link, size);
}

#else

class Bench {
public:
    Bench(const std::string& mechanism, std::size_t size) {
        ::signal(SIGPIPE, SIG_IGN);  // a peer that is gone is an error with words, not our own death
        if (mechanism == "memory") {
            start_with_memory(size);
            return;
        }
        auto [ours, peers] = mechanism == "pipe" ? pipes() : socket_pair();
        start({"peer", std::to_string(size)}, peers.first.get(), (peers.second ? peers.second : peers.first).get(), -1);
        link_ = std::make_unique<FileLink>(std::move(ours.first), std::move(ours.second));
    }
    Bench(const Bench&) = delete;
    ~Bench() {
        link_.reset();
        if (memory_ != MAP_FAILED) {
            ::kill(peer_, SIGTERM);  // it is our child and not waited for: the number is still its own
            ::munmap(memory_, bytes_);
        }
        while (::waitpid(peer_, nullptr, 0) == -1 && errno == EINTR) {
        }
    }
    Link& link() { return *link_; }
    unsigned long peer_id() const { return static_cast<unsigned long>(peer_); }

    static const char* mechanisms() { return "pipe, socket, memory"; }

private:
    using Ends = std::pair<File, File>;  // in, out; no out: in goes both ways

    static std::pair<Ends, Ends> pipes() {
        int there[2], back[2];
        ipc::check(::pipe2(there, O_CLOEXEC), "pipe2");
        ipc::check(::pipe2(back, O_CLOEXEC), "pipe2");
        return {Ends(File(back[0]), File(there[1])), Ends(File(there[0]), File(back[1]))};
    }
    static std::pair<Ends, Ends> socket_pair() {
        int ends[2];
        ipc::check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
        return {Ends(File(ends[0]), File()), Ends(File(ends[1]), File())};
    }
    void start_with_memory(std::size_t size) {
        bytes_ = MemoryLink::bytes(size);
        const File file(ipc::check(::memfd_create("lab-09", MFD_CLOEXEC), "memfd_create"));
        ipc::check(::ftruncate(file.get(), static_cast<off_t>(bytes_)), "ftruncate");
        memory_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
        if (memory_ == MAP_FAILED)
            ipc::throw_last_error("mmap");
        start({"peer", std::to_string(size), "memory", std::to_string(::getpid())}, -1, -1, file.get());
        auto sleep = std::make_unique<RingSleep>();
        sleep->other = peer_;
        link_ = std::make_unique<MemoryLink>(memory_, size, 0, std::move(sleep));
    }
    void start(const std::vector<std::string>& words, int input, int output, int memory) {
        std::vector<char*> arguments{const_cast<char*>("lab-09")};
        for (const std::string& word : words)
            arguments.push_back(const_cast<char*>(word.c_str()));
        arguments.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        if (input != -1)
            ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        if (output != -1)
            ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
        if (memory != -1)
            ::posix_spawn_file_actions_adddup2(&actions, memory, STDIN_FILENO);
        const int error = ::posix_spawn(&peer_, "/proc/self/exe", &actions, nullptr, arguments.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        if (error != 0)
            ipc::throw_error(error, "posix_spawn", "/proc/self/exe");
    }

    pid_t peer_ = -1;
    void* memory_ = MAP_FAILED;
    std::size_t bytes_ = 0;
    std::unique_ptr<Link> link_;
};

/// `lab-09 peer SIZE [memory PARENT]`: the other end. Memory comes as standard input.
inline void be_the_peer(const std::vector<std::string>& words) {
    const std::size_t size = std::stoul(words.at(1));
    ::signal(SIGPIPE, SIG_IGN);
    if (words.size() == 2) {
        FileLink link{File(STDIN_FILENO), File(STDOUT_FILENO)};
        return serve(link, size);
    }
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // a futex does not tell that its other user has gone
    if (::getppid() != std::stoi(words.at(3)))
        return;
    void* memory = ::mmap(nullptr, MemoryLink::bytes(size), PROT_READ | PROT_WRITE, MAP_SHARED, STDIN_FILENO, 0);
    if (memory == MAP_FAILED)
        ipc::throw_last_error("mmap");
    MemoryLink link(memory, size, 1, std::make_unique<RingSleep>());
    serve(link, size);
}

#endif

/// The peer is whoever reads our standard output and writes to our standard input: a line there, the same line back.
class LineLink {
public:
    bool round_trip(const std::string& message) {
        ipc::print(message + "\n");
        std::string answer;
        for (;;) {
            if (at_ == filled_) {
                filled_ = read_some(standard_input(), buffer_, sizeof buffer_);
                at_ = 0;
                if (filled_ == 0)
                    return false;
            }
            const char c = buffer_[at_++];
            if (c == '\n')
                break;
            if (answer.size() > 1000)
                throw std::runtime_error("lab-09: the peer's line does not end");
            if (c != '\r')
                answer += c;
        }
        if (!answer.empty() && answer != message)  // an empty one is somebody at a keyboard, who pressed Enter
            throw std::runtime_error("lab-09: the peer answered '" + answer + "' to '" + message +
                                     "'; it should send each line back");
        return true;
    }

private:
    char buffer_[4096];
    std::size_t at_ = 0, filled_ = 0;
};

}  // namespace monitoring::links
