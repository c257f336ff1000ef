#pragma once

/// @file
/// Memory that client and server share, for the floors: nothing is checked in it, and nobody is waited for kindly.

#include "ipc/error.hpp"
#include <atomic>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

namespace bench {

/// One direction: a message, and how many there were so far, on a cache line of its own.
struct alignas(64) Direction {
    std::atomic<std::uint32_t> count;
    alignas(64) char bytes[1];
};

class SharedArea {
public:
    SharedArea(const std::string& name, std::size_t message, bool make)
        : name_("/" + name), each_((sizeof(Direction) + message + 4095) / 4096 * 4096), made_(make) {
        const int file = ipc::check(::shm_open(name_.c_str(), O_RDWR | (make ? O_CREAT | O_EXCL : 0), 0600), "shm_open", name_);
        if (make)
            ipc::check(::ftruncate(file, static_cast<off_t>(2 * each_)), "ftruncate", name_);
        memory_ = ::mmap(nullptr, 2 * each_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
        ::close(file);
        if (memory_ == MAP_FAILED)
            ipc::throw_last_error("mmap", name_);
    }
    ~SharedArea() {
        if (made_)
            ::shm_unlink(name_.c_str());
    }
    SharedArea(const SharedArea&) = delete;
    Direction& there() const { return *static_cast<Direction*>(memory_); }
    Direction& back() const { return *reinterpret_cast<Direction*>(static_cast<char*>(memory_) + each_); }

private:
    std::string name_;
    std::size_t each_;
    bool made_;
    void* memory_;
};

}  // namespace bench
