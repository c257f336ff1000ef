#include "class_intake.hpp"

#include "failure.hpp"
#include "files.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <regex>
#include <sys/stat.h>
#include <unistd.h>
#include "ipc/handle.hpp"

namespace fs = std::filesystem;

namespace course {
namespace {

constexpr const char* archive_extensions[] = {".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tar.zst", ".7z"};

std::string lower(std::string text) {
    for (char& c : text)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

std::string archive_extension(const std::string& name) {
    std::string longest;
    for (const std::string extension : archive_extensions)
        if (lower(name).ends_with(extension) && extension.size() > longest.size())
            longest = extension;
    return longest;
}

/// Decides of each file of a submission whether it is wanted, and remembers it.
class Taking {
public:
    Taking(const std::vector<Lab>& labs, const IntakeLimits& limits) : labs_(labs), limits_(limits) {}

    struct Wanted {
        Lab lab;
        Track track;
        bool sure;  ///< it lies in the lab's folder
    };

    // Another name in the submission. @return what it is, if it is wanted
    std::optional<Wanted> name(const std::string& path) {
        if (++entries_ > limits_.entries)
            refuse(fmt::format("it has more than {} files", limits_.entries));
        std::vector<std::string> parts;
        std::string part;
        for (const char c : path + "/") {
            if (c != '/') {
                part += c;
                continue;
            }
            if (part == "..")
                refuse(fmt::format("it has a name with '..' in it: {}", visible(path)));
            if (!part.empty() && part != ".")
                parts.push_back(part);
            part.clear();
        }
        if (path.starts_with('/') || path.find('\\') != std::string::npos || path.find('\0') != std::string::npos)
            refuse(fmt::format("it has a name that is no path inside it: {}", visible(path)));
        // Mac's archiver adds ._posix.cpp and __MACOSX; editors and build folders add more.
        if (parts.empty() || std::any_of(parts.begin(), parts.end(), [](const std::string& each) { return each[0] == '.' || each == "__MACOSX" || each == "build"; }))
            return std::nullopt;
        const std::string file = lower(parts.back());
        if (file != "posix.cpp" && file != "win32.cpp")
            return std::nullopt;
        const Track track = file == "posix.cpp" ? Track::posix : Track::win32;
        for (const Lab& lab : labs_)
            if (parts.size() > 1 && (parts[parts.size() - 2] == lab.name || parts[parts.size() - 2] == lab.number))
                return Wanted{lab, track, true};
        if (labs_.size() == 1)
            return Wanted{labs_[0], track, false};
        return std::nullopt;
    }

    void take(const Wanted& wanted, std::string content) {
        const auto same = [&](const TakenFile& each) { return each.lab.name == wanted.lab.name && each.track == wanted.track; };
        const auto known = std::find_if(intake_.files.begin(), intake_.files.end(), same);
        if (content.starts_with("\xff\xfe") || content.starts_with("\xfe\xff"))
            refuse(fmt::format("{} is saved as UTF-16; save it as UTF-8", source_of(wanted.lab, wanted.track)));
        if (content.find('\0') != std::string::npos)
            refuse(fmt::format("{} is no text: it has bytes of value 0", source_of(wanted.lab, wanted.track)));
        if (known != intake_.files.end()) {
            if (known->content != content)
                refuse(fmt::format("it has {} twice, and they differ", source_of(wanted.lab, wanted.track)));
            return;
        }
        intake_.files.push_back({wanted.lab, wanted.track, std::move(content)});
    }

    // Its whole size counts, whether it is taken or not.
    void count(std::size_t bytes) {
        total_ += bytes;
        if (total_ > limits_.total_bytes)
            refuse(fmt::format("it is larger than {} MiB when unpacked", limits_.total_bytes >> 20));
    }
    void check_size(const Wanted& wanted, std::size_t bytes) const {
        if (bytes > limits_.source_bytes)
            refuse(fmt::format("{} is larger than {} KiB", source_of(wanted.lab, wanted.track), limits_.source_bytes >> 10));
    }
    std::size_t source_bytes() const { return limits_.source_bytes; }

    struct Refused {
        std::string reason;
    };
    [[noreturn]] static void refuse(const std::string& reason) { throw Refused{reason}; }

    Intake result() {
        if (intake_.files.empty())
            refuse(fmt::format("it has none of the files asked for (labs/{}/posix.cpp, win32.cpp)", labs_.empty() ? "NN-name" : labs_[0].name));
        std::sort(intake_.files.begin(), intake_.files.end(), [](const TakenFile& a, const TakenFile& b) { return std::pair(a.lab.name, a.track) < std::pair(b.lab.name, b.track); });
        return std::move(intake_);
    }

private:
    const std::vector<Lab>& labs_;
    const IntakeLimits& limits_;
    Intake intake_;
    std::size_t entries_ = 0, total_ = 0;
};

// No link is followed, and nothing but plain files is opened: a FIFO would never answer.
void take_folder(Taking& taking, const fs::path& folder) {
    for (auto entry = fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied); entry != fs::recursive_directory_iterator(); ++entry) {
        const std::string path = entry->path().lexically_relative(folder).string();
        const std::string name = entry->path().filename().string();
        if (entry->is_directory() && !entry->is_symlink() && (name[0] == '.' || name == "build")) {
            entry.disable_recursion_pending();
            continue;
        }
        const auto wanted = taking.name(path);
        if (!wanted)
            continue;
        const ipc::unique_file file(::open(entry->path().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        struct stat about {};
        if (!file || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode)) {
            if (entry->is_directory() && !entry->is_symlink())
                continue;
            Taking::refuse(fmt::format("{} is a link or a special file, or may not be read", visible(path)));
        }
        taking.check_size(*wanted, static_cast<std::size_t>(about.st_size));
        std::string content(static_cast<std::size_t>(about.st_size), '\0');
        const ssize_t count = ::read(file.get(), content.data(), content.size());
        if (count != about.st_size)
            Taking::refuse(fmt::format("{} cannot be read", visible(path)));
        taking.count(content.size());
        taking.take(*wanted, std::move(content));
    }
}

void take_archive(Taking& taking, const fs::path& file) {
    const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(), archive_read_free);
    archive_read_support_filter_all(reader.get());
    archive_read_support_format_tar(reader.get());
    archive_read_support_format_gnutar(reader.get());
    archive_read_support_format_zip(reader.get());
    archive_read_support_format_7zip(reader.get());
    const auto damaged = [&] {
        const char* words = archive_error_string(reader.get());
        Taking::refuse(fmt::format("the archive cannot be read: {}", visible(words ? words : "damaged")));
    };
    if (archive_read_open_filename(reader.get(), file.c_str(), 64 * 1024) != ARCHIVE_OK)
        damaged();
    archive_entry* entry = nullptr;
    for (;;) {
        const int status = archive_read_next_header(reader.get(), &entry);
        if (status == ARCHIVE_EOF)
            break;
        if (status < ARCHIVE_WARN)
            damaged();
        const char* name = archive_entry_pathname_utf8(entry);
        if (!name)
            name = archive_entry_pathname(entry);
        if (!name)
            Taking::refuse("it has a name in an encoding that cannot be read");
        if (archive_entry_is_encrypted(entry))
            Taking::refuse("the archive is encrypted");
        const auto wanted = taking.name(name);
        const bool plain = archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry) && !archive_entry_symlink(entry);
        if (wanted && archive_entry_filetype(entry) == AE_IFDIR)
            continue;
        if (wanted && !plain)
            Taking::refuse(fmt::format("{} is a link or a special file", visible(name)));
        if (!plain)
            continue;
        // What a header says of the size may be wrong: what is read counts.
        std::string content;
        char buffer[64 * 1024];
        for (;;) {
            const la_ssize_t count = archive_read_data(reader.get(), buffer, sizeof buffer);
            if (count < 0)
                damaged();
            if (count == 0)
                break;
            taking.count(static_cast<std::size_t>(count));
            if (!wanted)
                continue;
            content.append(buffer, static_cast<std::size_t>(count));
            taking.check_size(*wanted, content.size());
        }
        if (wanted)
            taking.take(*wanted, std::move(content));
    }
}

std::string key_of(const std::string& student) {
    std::string key;
    bool same = true;
    for (const char c : student) {
        const bool fine = std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || (c == '.' && !key.empty());
        key += fine ? c : '-';
        same = same && fine;
    }
    if (key.size() > 80)
        key.resize(80), same = false;
    return same && !key.empty() ? key : key + "-" + content_hash(student).substr(content_hash(student).size() - 8);
}

}  // namespace

std::string student_in(const std::string& file_name) {
    const std::string name = file_name.substr(0, file_name.size() - archive_extension(file_name).size());
    std::smatch parts;
    if (std::regex_match(name, parts, std::regex(R"((.+)_\d+_assignsubmission_.*)")))
        return parts[1];
    if (std::regex_match(name, parts, std::regex(R"(.+?_([^_]+)_attempt_\d{4}-\d\d-\d\d.*)")))
        return parts[1];
    if (std::regex_match(name, parts, std::regex(R"(([a-z0-9-]+?)(?:_LATE)?_\d+_\d+_.+)")))
        return parts[1];
    return name;
}

std::vector<Submission> submissions_in(const fs::path& folder) {
    std::vector<Submission> found;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
        const std::string name = entry.path().filename().string();
        if (name[0] == '.' || (!entry.is_directory() && archive_extension(name).empty()))
            continue;
        const std::string student = student_in(name);
        found.push_back({student, key_of(student), entry.path()});
    }
    if (error)
        throw Failure(exit_code::usage, fmt::format("{} cannot be read: {}. The folder is expected that has a folder, a .zip or a .tar.gz for each student; an archive of a whole class has to be unpacked first",
                                                    folder.string(), error.message()));
    if (found.empty())
        throw Failure(exit_code::usage, fmt::format("{} has no submissions: a folder, a .zip or a .tar.gz for each student is expected in it", folder.string()));
    std::sort(found.begin(), found.end(), [](const Submission& a, const Submission& b) { return std::pair(a.key, a.source) < std::pair(b.key, b.source); });
    // Two attempts of one student stay two, told apart by their files.
    for (std::size_t i = 1; i < found.size(); ++i)
        if (found[i].key == found[i - 1].key || found[i].student == found[i - 1].student) {
            found[i].student = found[i].source.filename().string();
            found[i].key = key_of(found[i].student + " ");
        }
    return found;
}

Intake take_in(const Submission& submission, const std::vector<Lab>& labs, const IntakeLimits& limits) {
    Taking taking(labs, limits);
    try {
        if (fs::is_symlink(submission.source))
            Taking::refuse("it is a link");
        if (fs::is_directory(submission.source))
            take_folder(taking, submission.source);
        else
            take_archive(taking, submission.source);
        return taking.result();
    } catch (const Taking::Refused& refused) {
        return {{}, {refused.reason}};
    } catch (const fs::filesystem_error& error) {
        return {{}, {fmt::format("it cannot be read: {}", error.code().message())}};
    }
}

}  // namespace course
