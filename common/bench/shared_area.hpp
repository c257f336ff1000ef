#pragma once

/// @file
/// Memory that client and server share, for the floors: nothing is checked in it, and nobody is waited for
/// kindly.

#include "ipc/error.hpp"
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#ifdef _WIN32
#include "ipc/text.hpp"
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace bench {

/// One direction: how many messages there were so far, on a cache line of its own, and the last one.
struct alignas(64) Direction {
    std::atomic<std::uint32_t> count;
    alignas(64) char bytes[1];
};

class SharedArea {
public:
    /// @param make  or use what the other side has made
    SharedArea(const std::string& name, std::size_t message, bool make)
        : name_(name), each_((sizeof(Direction) + message + 4095) / 4096 * 4096), made_(make),
          memory_(map()) {}
    ~SharedArea() {
#ifndef _WIN32
        if (made_)
            ::shm_unlink(("/" + name_).c_str());
#endif
    }
    SharedArea(const SharedArea&) = delete;
    SharedArea& operator=(const SharedArea&) = delete;
    Direction& there() const {
        return *reinterpret_cast<Direction*>(memory_);
    }
    Direction& back() const {
        return *reinterpret_cast<Direction*>(memory_ + each_);
    }

private:
    char* map() const {
#ifdef _WIN32
        const HANDLE mapping =
            CreateFileMappingW(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, 0,
                               static_cast<DWORD>(2 * each_), ipc::to_wide("Local\\" + name_).c_str());
        void* const at = mapping ? MapViewOfFile(mapping, FILE_MAP_ALL_ACCESS, 0, 0, 0) : nullptr;
        if (!at)
            ipc::throw_last_error("MapViewOfFile", name_);
#else
        const int file =
            ipc::check(::shm_open(("/" + name_).c_str(), O_RDWR | (made_ ? O_CREAT | O_EXCL : 0), 0600),
                       "shm_open", name_);
        if (made_)
            ipc::check(::ftruncate(file, static_cast<off_t>(2 * each_)), "ftruncate", name_);
        void* const at =
            ::mmap(nullptr, 2 * each_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
        ::close(file);
        if (at == MAP_FAILED)
            ipc::throw_last_error("mmap", name_);
#endif
        return static_cast<char*>(at);
    }

    std::string name_;
    std::size_t each_;
    bool made_;
    char* memory_;
};

}  // namespace bench
