#include "files.hpp"

#include "failure.hpp"
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {
namespace {

[[noreturn]] void refuse(std::string_view attempt, const fs::path& file, int code) {
    std::string advice;
    if (code == ENOSPC || code == EDQUOT)
        advice = ". The disk is full: free some space (build/ can be deleted, it is made again) and run the "
                 "command again";
    else if (code == EACCES || code == EPERM || code == EROFS)
        advice = ". Check who owns it and whether you may write there";
    else if (code == ENOTDIR || code == EISDIR || code == EEXIST)
        advice = ". Something of another kind has that name: move it away and run the command again";
    throw Failure(exit_code::machine,
                  fmt::format("cannot {} {}: {}{}", attempt, file.string(), std::strerror(code), advice));
}

// Writes everything and hands back errno, 0 if all went well. fsync, because a full disk may only answer
// then.
int write_all(int descriptor, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR)
            return errno;
        if (written > 0)
            bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return 0;
}

int copy_to_new(const fs::path& from, const fs::path& to) {
    const auto content = read_file(from);
    if (!content)
        return ENOENT;
    const int descriptor = ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor == -1)
        return errno;
    int code = write_all(descriptor, *content);
    if (code == 0 && ::fsync(descriptor) == -1)
        code = errno;
    ::close(descriptor);
    if (code != 0)
        ::unlink(to.c_str());
    return code;
}

}  // namespace

std::optional<std::string> read_file(const fs::path& file) {
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor == -1) {
        if (errno == ENOENT || errno == ENOTDIR)
            return std::nullopt;
        refuse("open", file, errno);
    }
    std::string content;
    char buffer[16384];
    ssize_t count = 0;
    while ((count = ::read(descriptor, buffer, sizeof buffer)) > 0 || (count == -1 && errno == EINTR))
        if (count > 0)
            content.append(buffer, static_cast<std::size_t>(count));
    const int code = errno;
    ::close(descriptor);
    if (count == -1)
        refuse("read", file, code);
    return content;
}

void write_file(const fs::path& file, std::string_view content) {
    struct stat before {};
    const bool exists = ::stat(file.c_str(), &before) == 0;
    if (exists && !S_ISREG(before.st_mode)) {
        const int descriptor = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
        if (descriptor == -1)
            refuse("open", file, errno);
        const int code = write_all(descriptor, content);
        ::close(descriptor);
        if (code != 0)
            refuse("write to", file, code);
        return;
    }
    const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
    std::string temporary = (folder / fmt::format(".{}.XXXXXX", file.filename().string())).string();
    const int descriptor = ::mkostemp(temporary.data(), O_CLOEXEC);
    if (descriptor == -1)
        refuse("write", file, errno);
    const mode_t mask = ::umask(0);
    ::umask(mask);
    int code = ::fchmod(descriptor, exists ? before.st_mode & 07777 : 0666 & ~mask) == -1 ? errno : 0;
    if (code == 0)
        code = write_all(descriptor, content);
    // Without fsync a full disk may answer only after the rename, when the old content is gone.
    if (code == 0 && ::fsync(descriptor) == -1)
        code = errno;
    if (::close(descriptor) == -1 && code == 0)
        code = errno;
    if (code == 0 && ::rename(temporary.c_str(), file.c_str()) == -1)
        code = errno;
    if (code != 0) {
        ::unlink(temporary.c_str());
        refuse("write", file, code);
    }
}

fs::path keep_aside(const fs::path& file, std::string_view word) {
    const std::string stem = fmt::format("{}.{}-{}", file.string(), word, utc_now("%Y%m%d-%H%M%S"));
    for (int attempt = 1; attempt < 1000; ++attempt) {
        const fs::path kept = attempt == 1 ? stem : fmt::format("{}-{}", stem, attempt);
        // link(2) never replaces a name that is there, and copies nothing that could be cut short.
        if (::link(file.c_str(), kept.c_str()) == 0)
            return kept;
        int code = errno;
        if (code == EPERM || code == ENOSYS || code == EOPNOTSUPP ||
            code == EMLINK)  // a file system without links
            code = copy_to_new(file, kept);
        if (code == 0)
            return kept;
        if (code != EEXIST)
            refuse("keep a copy of", file, code);
    }
    refuse("keep a copy of", file, EEXIST);
}

std::string content_hash(std::string_view content) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const char byte : content) {
        hash ^= static_cast<unsigned char>(byte);
        hash *= 0x100000001b3u;
    }
    return fmt::format("fnv1a64:{:016x}", hash);
}

std::string utc_now(const char* format) {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[64];
    return {text, std::strftime(text, sizeof text, format, &parts)};
}

FileLock::FileLock(const fs::path& file) {
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    if (error)
        refuse("create the folder", file.parent_path(), error.value());
    descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ == -1)
        refuse("open", file, errno);
    while (::flock(descriptor_, LOCK_EX) == -1)
        if (errno != EINTR)
            break;  // a file system without locks: two commands at once are then the user's own risk
}

FileLock::~FileLock() {
    ::close(descriptor_);
}

}  // namespace course
