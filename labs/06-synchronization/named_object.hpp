#pragma once

/// @file
/// Given, for the posix track: a named piece of shared memory that lives as Windows' objects do, as long as somebody has it
/// open. How such a thing is made is lab 05's matter; here it is what mutexes, semaphores and events are put into.

#ifndef _WIN32

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <functional>
#include <string>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <utility>

namespace synchronization {

/// What an object is; written into it, so that nobody takes a semaphore for a mutex.
enum class ObjectKind : std::uint32_t { mutex = 1, semaphore, event, limit };

/// Makes an object if there is none, or insists that there is one.
enum class Opening { open_or_create, open_existing };

/// The object `name`, seen as a `Body`: plain data, the same in every process that has it open.
///
/// Everyone who has it open holds a shared lock (flock(2)) on it, which the kernel takes back from the dead. So whoever
/// gets the exclusive lock knows to be alone: to prepare a new object, or to remove the name as the last one.
template <class Body>
class NamedObject {
public:
    using Hook = std::function<void(Body&)>;

    /// @param prepare  makes a new body ready for use; called while nobody else can see it
    /// @param dispose  called for a body that nobody has open any more
    NamedObject(const std::string& name, ObjectKind kind, Opening opening, const Hook& prepare, Hook dispose = nullptr)
        : path_("/" + name), dispose_(std::move(dispose)) {
        while (!open(kind, opening, prepare)) {
        }
    }
    NamedObject(const NamedObject&) = delete;
    NamedObject& operator=(const NamedObject&) = delete;
    ~NamedObject() {
        // Of several who leave at once only one can be the last.
        if (alone()) {
            if (dispose_)
                dispose_(whole_->body);
            ::shm_unlink(path_.c_str());
        }
        ::munmap(whole_, sizeof(Whole));
    }

    Body* operator->() const { return &whole_->body; }
    Body& operator*() const { return whole_->body; }

private:
    struct Header {
        std::uint32_t magic, kind;
    };
    struct Whole {
        Header header;
        alignas(64) Body body;
    };
    static constexpr std::uint32_t made_by_us = 0x36304c49;

    void share() const {
        while (::flock(file_.get(), LOCK_SH) == -1)
            if (errno != EINTR)
                ipc::throw_last_error("flock", path_);
    }
    /// Takes the exclusive lock if nobody else has any; the shared one is gone in either case. It does not wait: those who
    /// have the object open keep their shared locks for as long as they live.
    bool alone() const { return ::flock(file_.get(), LOCK_EX | LOCK_NB) == 0; }
    /// The name may have been removed while we waited for the lock: then this is an object that nobody can find.
    bool removed(off_t& size) const {
        struct stat status {};
        ipc::check(::fstat(file_.get(), &status), "fstat", path_);
        size = status.st_size;
        return status.st_nlink == 0;
    }
    Header header() const {
        Header read{};
        ipc::check(::pread(file_.get(), &read, sizeof read, 0), "pread", path_);
        return read;
    }
    void map() {
        void* const at = ::mmap(nullptr, sizeof(Whole), PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
        if (at == MAP_FAILED)
            ipc::throw_last_error("mmap", path_);
        whole_ = static_cast<Whole*>(at);
    }

    /// One attempt; false: the object vanished or was still to be made, look again.
    bool open(ObjectKind kind, Opening opening, const Hook& prepare) {
        const int create = opening == Opening::open_or_create ? O_CREAT : 0;
        file_.reset(ipc::check(::shm_open(path_.c_str(), O_RDWR | create, 0600), "shm_open", path_));
        off_t size = 0;
        share();
        if (removed(size))
            return false;
        if (header().magic == 0 && (size == 0 || size == sizeof(Whole))) {
            if (alone() && !removed(size) && header().magic == 0)
                make(kind, opening, prepare);
            return false;
        }
        if (header().magic != made_by_us)
            refuse("something that is none of this lab's objects", kind);
        if (header().kind != static_cast<std::uint32_t>(kind) || size != sizeof(Whole))
            refuse(kind_name(header().kind), kind);
        map();
        return true;
    }
    /// Alone with an object that is new, or that its maker did not live to finish.
    void make(ObjectKind kind, Opening opening, const Hook& prepare) {
        if (opening == Opening::open_existing) {
            ::shm_unlink(path_.c_str());
            return;
        }
        ipc::check(::ftruncate(file_.get(), sizeof(Whole)), "ftruncate", path_);
        map();
        try {
            prepare(whole_->body);
        } catch (...) {
            ::shm_unlink(path_.c_str());
            throw;
        }
        whole_->header.kind = static_cast<std::uint32_t>(kind);
        __atomic_store_n(&whole_->header.magic, made_by_us, __ATOMIC_RELEASE);
        ::munmap(std::exchange(whole_, nullptr), sizeof(Whole));
    }
    [[noreturn]] void refuse(const char* found, ObjectKind wanted) const {
        throw std::system_error(EEXIST, std::system_category(),
                                "'" + path_.substr(1) + "' is the name of " + found + ", not of " +
                                    kind_name(static_cast<std::uint32_t>(wanted)) + "; take another name");
    }
    static const char* kind_name(std::uint32_t kind) {
        static constexpr const char* names[] = {"something else", "a mutex", "a semaphore", "an event", "a limit"};
        return names[kind <= 4 ? kind : 0];
    }

    std::string path_;
    ipc::unique_file file_;
    Whole* whole_ = nullptr;
    Hook dispose_;
};

}  // namespace synchronization

#endif
