#pragma once

/// @file
/// Whole files: read, written all or not at all, kept aside.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace course {

/// The file's bytes, or nothing if there is no such file.
/// @throws Failure (machine) if it is there and cannot be read
std::optional<std::string> read_file(const std::filesystem::path& file);

/// Writes `content` under a temporary name beside `file` and renames it: readers see the old file or the new
/// one, and a full disk or Ctrl-C leaves the old one as it was. A target that is no regular file (a terminal,
/// a pipe) is written to directly.
/// @throws Failure (machine) saying what the system answered
void write_file(const std::filesystem::path& file, std::string_view content);

/// Gives `file` a second name beside it, NAME.WORD-YYYYMMDD-HHMMSS, that did not exist before.
/// @returns the new name
/// @throws Failure (machine)
std::filesystem::path keep_aside(const std::filesystem::path& file, std::string_view word);

/// FNV-1a of 64 bits as hex: tells two versions of a file apart, protects nothing.
std::string content_hash(std::string_view content);

/// Now in UTC, as `format` of strftime(3) says.
std::string utc_now(const char* format);

/// Holds other `./course` commands off while it lives: flock(2) on `file`, which is created if need be.
class FileLock {
public:
    explicit FileLock(const std::filesystem::path& file);
    ~FileLock();
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

private:
    int descriptor_;
};

}  // namespace course
