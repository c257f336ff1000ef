#pragma once

/// @file
/// Waiting for an editor to save one file.

#include "ipc/handle.hpp"
#include <chrono>
#include <filesystem>
#include <optional>

namespace course {

class Saves {
public:
    /// Saves count from now on.
    explicit Saves(const std::filesystem::path& file);

    /// Returns when the file's content may have changed since the last call, and when that was noticed.
    /// @throws Interrupted
    std::chrono::steady_clock::time_point wait();

    /// The same, but also returns, with nothing, as soon as `other` is readable (poll(2); -1: never).
    std::optional<std::chrono::steady_clock::time_point> wait_or(int other);

private:
    bool changed();

    std::filesystem::path file_;
    ipc::unique_file
        notifications_;  ///< of inotify(7); none where it cannot be had, and the file's time is looked at
    std::filesystem::file_time_type seen_{};
    std::uintmax_t seen_size_ = 0;
};

}  // namespace course
