#pragma once

/// @file
/// The judge's own way to a segment of lab 05: the bytes, the door, the locks and the bells, by raw system calls and by
/// offsets of its own, so that contract and judge can not be wrong in the same way.

#include "judge.hpp"
#include <atomic>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <thread>
#ifdef _WIN32
#include "ipc/text.hpp"
#include <windows.h>
#include <tlhelp32.h>
#else
#include <csignal>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace raw {

using namespace judge;

inline constexpr std::uint32_t magic = 0x35306d73, version = 1, value = 1, ring = 2;
inline constexpr std::uint32_t absent = 0, here = 1, finished = 2;
/// Offsets in a segment.
inline constexpr std::size_t magic_at = 0, version_at = 4, kind_at = 8, size_at = 16, value_at = 64, data_at = 192;
/// Offsets in an end, and where the ends lie.
inline constexpr std::size_t sender_at = 64, receiver_at = 128, position_at = 0, state_at = 8, asleep_at = 12, bell_at = 16;

#ifdef _WIN32
inline std::wstring object(const std::string& name, const char* what = "") { return ipc::to_wide("Local\\" + name + what); }
#else
inline std::string path(const std::string& name) { return "/" + name; }
#endif

/// A segment, mapped by the judge.
class Segment {
public:
    /// Makes a segment of zeros; on POSIX of exactly `size` bytes, which may be none.
    static Segment make(const std::string& name, std::size_t size) {
#ifdef _WIN32
        Segment made(name, CreateFileMappingW(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, static_cast<DWORD>(size >> 32),
                                              static_cast<DWORD>(size ? size : 1), object(name).c_str()));
        if (!made.file_ || GetLastError() == ERROR_ALREADY_EXISTS)
            throw std::runtime_error("the judge cannot make the segment " + name);
#else
        Segment made(name, ::shm_open(path(name).c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
        if (made.file_ < 0 || ::fchmod(made.file_, 0600) != 0 || ::ftruncate(made.file_, static_cast<off_t>(size)) != 0)
            throw std::runtime_error("the judge cannot make the segment /" + name);
        made.size_ = size;
#endif
        made.map();
        return made;
    }

    /// The segment of that name, if there is one with anything in it.
    static std::optional<Segment> find(const std::string& name) {
#ifdef _WIN32
        Segment found(name, OpenFileMappingW(FILE_MAP_ALL_ACCESS, FALSE, object(name).c_str()));
        if (!found.file_)
            return std::nullopt;
#else
        Segment found(name, ::shm_open(path(name).c_str(), O_RDWR, 0));
        struct stat status {};
        if (found.file_ < 0 || ::fstat(found.file_, &status) != 0 || status.st_size < static_cast<off_t>(value_at))
            return std::nullopt;
        found.size_ = static_cast<std::size_t>(status.st_size);
#endif
        found.map();
        return found;
    }

    Segment(Segment&& other) noexcept : name_(other.name_), file_(other.file_), bytes_(other.bytes_), size_(other.size_) {
        other.file_ = none;
        other.bytes_ = nullptr;
    }
    ~Segment() { close(); }

    /// Closes it; on POSIX the name stays.
    void close() {
#ifdef _WIN32
        if (bytes_)
            UnmapViewOfFile(bytes_);
        if (file_)
            CloseHandle(file_);
#else
        if (bytes_)
            ::munmap(bytes_, size_);
        if (file_ >= 0)
            ::close(file_);
#endif
        bytes_ = nullptr;
        file_ = none;
    }

    /// Takes its name away.
    void unlink() {
#ifndef _WIN32
        ::shm_unlink(path(name_).c_str());
#endif
    }

    char* bytes() const { return bytes_; }

    template <class Number>
    Number get(std::size_t at) const {
        return std::atomic_ref<Number>(*reinterpret_cast<Number*>(bytes_ + at)).load();
    }
    template <class Number>
    void set(std::size_t at, Number number) {
        std::atomic_ref<Number>(*reinterpret_cast<Number*>(bytes_ + at)).store(number);
    }
    std::uint64_t position(std::size_t end) const { return get<std::uint64_t>(end + position_at); }
    std::uint32_t state(std::size_t end) const { return get<std::uint32_t>(end + state_at); }

    /// A complete header; the magic number last.
    void describe(std::uint32_t kind, std::uint64_t size, std::uint32_t of_version = version, std::uint32_t with_magic = magic) {
        set(version_at, of_version);
        set(kind_at, kind);
        set(size_at, size);
        set(magic_at, with_magic);
    }

    /// Wakes whoever sleeps at that end.
    void ring_bell(std::size_t end) {
#ifdef _WIN32
        const HANDLE bell = CreateEventW(nullptr, FALSE, FALSE, object(name_, end == sender_at ? ".sender.bell" : ".receiver.bell").c_str());
        SetEvent(bell);
        CloseHandle(bell);
#else
        auto* word = reinterpret_cast<std::uint32_t*>(bytes_ + end + bell_at);
        std::atomic_ref<std::uint32_t>(*word).fetch_add(1);
        ::syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
#endif
    }

    /// The judge itself is at work at that end: it holds the lock that says so, until release_end().
    void take_end(std::size_t end) {
#ifdef _WIN32
        role_ = CreateMutexW(nullptr, FALSE, object(name_, end == sender_at ? ".sender" : ".receiver").c_str());
        WaitForSingleObject(role_, INFINITE);
#else
        struct flock lock {};
        lock.l_type = F_WRLCK;
        lock.l_start = end == sender_at ? 0 : 1;
        lock.l_len = 1;
        ::fcntl(file_, F_SETLK, &lock);
#endif
        set(end + state_at, here);
    }
    void release_end() {
#ifdef _WIN32
        ReleaseMutex(role_);
        CloseHandle(role_);
#else
        struct flock lock {};
        lock.l_type = F_UNLCK;
        ::fcntl(file_, F_SETLK, &lock);
#endif
    }

#ifndef _WIN32
    int file() const { return file_; }
#endif

private:
#ifdef _WIN32
    using Native = HANDLE;
    static constexpr Native none = nullptr;
    HANDLE role_ = nullptr;
#else
    using Native = int;
    static constexpr Native none = -1;
#endif
    Segment(std::string name, Native file) : name_(std::move(name)), file_(file) {}

    void map() {
#ifdef _WIN32
        bytes_ = static_cast<char*>(MapViewOfFile(file_, FILE_MAP_ALL_ACCESS, 0, 0, 0));
#else
        if (size_ > 0)
            bytes_ = static_cast<char*>(::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0));
#endif
    }

    std::string name_;
    Native file_;
    char* bytes_ = nullptr;
    std::size_t size_ = 0;
};

/// The door of a segment, held by the judge. On Windows from before the segment is made: by a thread, since a mutex is
/// abandoned by a thread that ends. On POSIX the segment must be there.
class Door {
public:
    explicit Door(const std::string& name) {
#ifdef _WIN32
        reached_ = CreateEventW(nullptr, TRUE, FALSE, nullptr);
        go_ = CreateEventW(nullptr, TRUE, FALSE, nullptr);
        thread_ = std::thread([this, name] {
            const HANDLE mutex = CreateMutexW(nullptr, FALSE, object(name, ".door").c_str());
            WaitForSingleObject(mutex, INFINITE);
            SetEvent(reached_);
            WaitForSingleObject(go_, INFINITE);
            if (politely_)
                ReleaseMutex(mutex);
            mutex_ = mutex;  // closed when somebody else has had it
        });
        WaitForSingleObject(reached_, INFINITE);
#else
        file_ = ::shm_open(path(name).c_str(), O_RDWR, 0);
        if (file_ < 0 || ::flock(file_, LOCK_EX) != 0)
            throw std::runtime_error("the judge cannot lock the segment /" + name);
#endif
    }
    ~Door() {
        leave();
#ifdef _WIN32
        CloseHandle(mutex_);
        CloseHandle(reached_);
        CloseHandle(go_);
#endif
    }
    void leave() { open(true); }
    void die() { open(false); }

private:
    void open([[maybe_unused]] bool politely) {
#ifdef _WIN32
        if (!thread_.joinable())
            return;
        politely_ = politely;
        SetEvent(go_);
        thread_.join();
#else
        if (file_ >= 0)
            ::close(file_);
        file_ = -1;
#endif
    }
#ifdef _WIN32
    HANDLE reached_ = nullptr, go_ = nullptr, mutex_ = nullptr;
    std::atomic<bool> politely_ = true;
    std::thread thread_;
#else
    int file_ = -1;
#endif
};

/// Stops a lab program in before_sleep().
class Pause {
public:
    explicit Pause(Stage& stage) : stage_(stage), name_(stage.name("pause")) {
#ifdef _WIN32
        reached_ = CreateEventW(nullptr, TRUE, FALSE, object(name_, ".reached").c_str());
        go_ = CreateEventW(nullptr, TRUE, FALSE, object(name_, ".go").c_str());
#endif
    }
#ifdef _WIN32
    ~Pause() {
        CloseHandle(reached_);
        CloseHandle(go_);
    }
#endif
    Start start() const {
        Start how;
        how.environment["IPC_LAB_PAUSE"] = name_;
        return how;
    }
    void reached(Subject& lab) {
        stage_.await([&](Deadline deadline) {
#ifdef _WIN32
            return WaitForSingleObject(reached_, deadline.wait_ms()) == WAIT_OBJECT_0 && lab.running();
#else
            siginfo_t info{};
            const auto pid = static_cast<id_t>(lab.process().id());
            while (::waitid(P_PID, pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0)
                if (lab.process().wait(Deadline::in(milliseconds(1))) || deadline.expired())
                    return false;
            return info.si_code == CLD_STOPPED;
#endif
        }, "the lab program finds nothing to do and calls before_sleep(), which stops it there", "before-sleep-not-called");
    }
    void go(Subject& lab) {
#ifdef _WIN32
        static_cast<void>(lab);
        SetEvent(go_);
#else
        lab.process().resume();
#endif
    }

private:
    Stage& stage_;
    std::string name_;
#ifdef _WIN32
    HANDLE reached_ = nullptr, go_ = nullptr;
#endif
};

/// How many threads a process has.
inline std::size_t threads_of(std::uint32_t process) {
#ifdef _WIN32
    const HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    PROCESSENTRY32W entry{};
    entry.dwSize = sizeof entry;
    std::size_t count = 0;
    for (BOOL more = Process32FirstW(snapshot, &entry); more; more = Process32NextW(snapshot, &entry))
        if (entry.th32ProcessID == process)
            count = entry.cntThreads;
    CloseHandle(snapshot);
    return count;
#else
    std::error_code error;
    const std::filesystem::directory_iterator threads("/proc/" + std::to_string(process) + "/task", error);
    return static_cast<std::size_t>(std::distance(begin(threads), end(threads)));
#endif
}

/// What a failed case leaves under this name is cleared away when the case's process ends, long after the leftovers have
/// been counted.
inline const std::string& cleared_later(const std::string& name) {
#ifndef _WIN32
    struct Cleaner {
        std::set<std::string> names;
        ~Cleaner() {
            for (const std::string& each : names)
                ::shm_unlink(path(each).c_str());
        }
    };
    static Cleaner cleaner;
    cleaner.names.insert(name);
#endif
    return name;
}

/// A name for a segment.
inline std::string name(Stage& stage) { return cleared_later(stage.name("segment")); }

/// Waits until the ring `name` looks like this. A segment is opened anew for each look, and closed: on Windows an open
/// handle would keep it alive.
template <class Look>
void await(Stage& stage, Subject& lab, const std::string& called, const Look& look, const std::string& what, const Mistake& otherwise) {
    stage.await([&](Deadline deadline) {
        for (;;) {
            if (const std::optional<Segment> segment = Segment::find(called); segment && look(*segment))
                return true;
            if (deadline.expired())
                return false;
            if (lab.process().wait(Deadline::in(milliseconds(1))) && !Segment::find(called))
                stage.fail({what, "it ended before that, and the segment is gone", "", "", otherwise});
        }
    }, what, otherwise);
}

/// Waits until that end of the ring is joined.
inline void joined(Stage& stage, Subject& lab, const std::string& called, std::size_t end, const Mistake& otherwise = {}) {
    await(stage, lab, called, [&](const Segment& segment) { return segment.get<std::uint32_t>(magic_at) == magic && segment.state(end) == here; },
          std::string("the ") + (end == sender_at ? "sender" : "receiver") + " joins the ring: its state becomes `here`", otherwise);
}

}  // namespace raw
