// `./course class bundle --out DIR`: the archive for students, the zip for Gradescope, and a Containerfile. Nothing goes
// out that says what a solution says.

#include "class_bundle.hpp"

#include "commands.hpp"
#include "docs_text.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "process.hpp"
#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <memory>
#include <unordered_map>
#include <unordered_set>

namespace fs = std::filesystem;

namespace course {
namespace {

constexpr std::string_view instructors_mark = "<!-- edition: instructor -->";
// A judge does to its subject what a solution does to its peer, by the same system calls: it may look like one for some
// lines. Elsewhere a few lines are a quotation.
constexpr std::size_t quotation = 3, resemblance = 12;
const fs::path templates = "common/course/bundle";  // setup.sh, run_autograder, Containerfile

bool is_mistake(std::string_view path) { return path.starts_with("tests/") && path.find("/mistakes/") != std::string_view::npos && path.ends_with(".patch"); }

std::vector<std::string> files_on_file(const Repository& repository) {
    std::vector<std::string> paths;
    if (fs::exists(repository / ".git") && !find_program("git").empty()) {
        // An instructor's notes beside the course are not the course.
        const Outcome listed = run({{"git", "-C", repository.root.string(), "ls-files", "-z"}, {}, std::chrono::minutes(1), {}});
        if (listed.code != 0)
            throw Failure(exit_code::machine, fmt::format("git does not list the course's files: {}", listed.errors.substr(0, listed.errors.find('\n'))));
        for (std::size_t from = 0, end; (end = listed.output.find('\0', from)) != std::string::npos; from = end + 1)
            paths.push_back(listed.output.substr(from, end - from));
    } else
        for (auto entry = fs::recursive_directory_iterator(repository.root); entry != fs::recursive_directory_iterator(); ++entry) {
            const fs::path path = entry->path().lexically_relative(repository.root);
            if (path == "build" || path == ".course" || path == ".git")
                entry.disable_recursion_pending();
            else if (entry->is_regular_file() && !entry->is_symlink())
                paths.push_back(path.generic_string());
        }
    std::sort(paths.begin(), paths.end());
    return paths;
}

// labs/NN-name/posix.cpp was perhaps tried out by whoever packs; students begin with labs/NN-name/.starter/posix.cpp.
std::optional<std::string> content_of(const Repository& repository, const fs::path& path) {
    const std::string name = path.filename().string();
    if (path.generic_string().starts_with("labs/") && (name == "posix.cpp" || name == "win32.cpp"))
        if (auto starter = read_file(repository / path.parent_path() / ".starter" / name))
            return starter;
    return read_file(repository / path);
}

/// Lines that tell something, without their spaces, each with its number.
std::vector<std::pair<std::string, std::size_t>> telling_lines(const std::string& text) {
    constexpr std::size_t telling = 12;  // '}', 'return 0;' and the like are everybody's
    std::vector<std::pair<std::string, std::size_t>> lines;
    std::size_t number = 0;
    for (const std::string& line : site::lines_of(text)) {
        std::string squeezed;
        for (const char c : line)
            if (!std::isspace(static_cast<unsigned char>(c)))
                squeezed += c;
        ++number;
        if (squeezed.size() >= telling)
            lines.emplace_back(squeezed, number);
    }
    return lines;
}

bool is_secret(std::string_view path) {
    return path.starts_with("solutions/") || (path.starts_with("tests/") && (path.find("/alternatives/") != std::string_view::npos || path.find("/cheats/") != std::string_view::npos));
}

void check(archive* writer, int status) {
    if (status < ARCHIVE_WARN)
        throw Failure(exit_code::machine, fmt::format("cannot pack: {}", archive_error_string(writer)));
}

la_ssize_t append_to_string(archive*, void* target, const void* bytes, std::size_t size) {
    static_cast<std::string*>(target)->append(static_cast<const char*>(bytes), size);
    return static_cast<la_ssize_t>(size);
}

std::string size_of(const std::string& bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes.size()) / 1e6); }

std::vector<BundleFile> for_gradescope(const Repository& repository, const std::vector<BundleFile>& course, const std::vector<Lab>& labs) {
    std::vector<BundleFile> files;
    for (const char* script : {"setup.sh", "run_autograder"})
        files.push_back({script, read_file(repository / templates / script).value_or(""), true});
    std::string assignment;
    for (const Lab& lab : labs)
        assignment += lab.name + "\n";
    files.push_back({"assignment", assignment, false});
    for (const BundleFile& file : course)
        files.push_back({"course/" + file.path, file.content, file.executable});
    return files;
}

}  // namespace

bool goes_to_students(std::string_view path) {
    for (const std::string_view folder : {"solutions/", "tests/class/", ".ci/", "common/course/bundle/"})
        if (path.starts_with(folder))
            return false;
    return !is_secret(path);
}

std::string as_students_get_it(std::string_view path, const std::string& content) {
    if (is_mistake(path)) {
        // The header is open: verdicts and the catalogue have its words.
        const std::size_t end = content.find("\n--- ");
        return end == std::string::npos ? content : content.substr(0, end + 1);
    }
    if (path.starts_with("docs/") && content.starts_with(instructors_mark))
        return fmt::format("{}\n# For instructors\n\nThis page is in the instructor's copy of the course.\n", instructors_mark);
    return content;
}

std::vector<BundleFile> students_files(const Repository& repository) {
    std::vector<BundleFile> files;
    for (const std::string& path : files_on_file(repository)) {
        if (!goes_to_students(path))
            continue;
        // What git knows and somebody has deleted is not part of this copy.
        if (const auto content = content_of(repository, path))
            files.push_back({path, as_students_get_it(path, *content), (fs::status(repository / path).permissions() & fs::perms::owner_exec) != fs::perms::none});
    }
    return files;
}

std::vector<std::string> solution_text_in(const Repository& repository, const std::vector<BundleFile>& files) {
    std::unordered_set<std::string> open;  // contracts, starters, given code: a solution is written around them
    std::vector<std::string> secret;
    for (const std::string& path : files_on_file(repository)) {
        if (is_secret(path) || (path.starts_with("docs/") && read_file(repository / path).value_or("").starts_with(instructors_mark)))
            secret.push_back(path);
        else if (path.starts_with("common/ipc/") || path.starts_with("labs/"))
            for (auto& [line, number] : telling_lines(content_of(repository, path).value_or("")))
                open.insert(line);
    }
    const auto each_run = [&](const std::string& text, std::size_t length, const auto& tell) {
        std::vector<std::pair<std::string, std::size_t>> lines = telling_lines(text);
        std::erase_if(lines, [&](const auto& each) { return open.contains(each.first); });
        for (std::size_t i = 0; i + length <= lines.size(); ++i) {
            std::string joined;
            for (std::size_t j = i; j < i + length; ++j)
                joined += lines[j].first + '\n';
            tell(joined, lines[i].second);
        }
    };
    std::unordered_map<std::string, std::string> origin;
    for (const std::string& path : secret)
        for (const std::size_t length : {quotation, resemblance})
            each_run(read_file(repository / path).value_or(""), length, [&](const std::string& lines, std::size_t number) { origin.try_emplace(lines, fmt::format("{}:{}", path, number)); });
    std::vector<std::string> found;
    for (const BundleFile& file : files)
        each_run(file.content, file.path.starts_with("tests/") ? resemblance : quotation, [&](const std::string& lines, std::size_t number) {
            if (const auto known = origin.find(lines); known != origin.end())
                found.push_back(fmt::format("{}:{} is from {}", file.path, number, known->second));
        });
    return found;
}

std::string packed(ArchiveKind kind, const std::string& folder, const std::vector<BundleFile>& files) {
    std::string bytes;
    const std::unique_ptr<archive, decltype(&archive_write_free)> writer(archive_write_new(), archive_write_free);
    if (kind == ArchiveKind::zip)
        check(writer.get(), archive_write_set_format_zip(writer.get()));
    else {
        check(writer.get(), archive_write_set_format_ustar(writer.get()));
        check(writer.get(), archive_write_add_filter_gzip(writer.get()));
        check(writer.get(), archive_write_set_options(writer.get(), "gzip:!timestamp"));
    }
    check(writer.get(), archive_write_open(writer.get(), &bytes, nullptr, append_to_string, nullptr));
    for (const BundleFile& file : files) {
        const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(), archive_entry_free);
        archive_entry_set_pathname(entry.get(), ((folder.empty() ? "" : folder + "/") + file.path).c_str());
        archive_entry_set_filetype(entry.get(), AE_IFREG);
        archive_entry_set_perm(entry.get(), file.executable ? 0755 : 0644);
        archive_entry_set_size(entry.get(), static_cast<la_int64_t>(file.content.size()));
        archive_entry_set_mtime(entry.get(), 946684800, 0);  // the year 2000: zip knows nothing before 1980
        check(writer.get(), archive_write_header(writer.get(), entry.get()));
        if (archive_write_data(writer.get(), file.content.data(), file.content.size()) < 0)
            check(writer.get(), ARCHIVE_FATAL);
    }
    check(writer.get(), archive_write_close(writer.get()));
    return bytes;
}

int class_bundle(const Repository& repository, const BundleOptions& options) {
    const fs::path out = options.out;
    std::vector<Lab> labs;
    for (const std::string& name : options.labs)
        labs.push_back(repository.lab_named(name));
    if (labs.empty())
        labs = repository.labs();
    if (!fs::exists(repository / templates / "setup.sh"))
        throw Failure(exit_code::usage, fmt::format("this copy of the course has no {}: it is a student's. Pack from the instructor's copy", templates.string()));
    const std::vector<BundleFile> course = students_files(repository);
    if (const auto leaks = solution_text_in(repository, course); !leaks.empty()) {
        fmt::print(stderr, "course: nothing is packed, because it would tell students what only solutions and instructors' pages say:\n");
        for (const std::string& leak : leaks)
            fmt::print(stderr, "  {}\n", leak);
        return exit_code::points_missing;
    }
    std::error_code error;
    fs::create_directories(out, error);
    if (error)
        throw Failure(exit_code::machine, fmt::format("cannot make the folder {}: {}", out.string(), error.message()));
    const std::string students = packed(ArchiveKind::tar_gz, "ipc-labs", course);
    const std::string gradescope = packed(ArchiveKind::zip, "", for_gradescope(repository, course, labs));
    write_file(out / "ipc-labs-students.tar.gz", students);
    write_file(out / "gradescope.zip", gradescope);
    write_file(out / "Containerfile", read_file(repository / templates / "Containerfile").value_or(""));
    std::vector<std::string> numbers;
    for (const Lab& lab : labs)
        numbers.push_back(lab.number);
    fmt::print("{}: {} files, {}; nothing in it that only solutions say\n", (out / "ipc-labs-students.tar.gz").string(), course.size(), size_of(students));
    fmt::print("{}: {}; judges {} of each submission\n", (out / "gradescope.zip").string(), size_of(gradescope), joined(numbers));
    fmt::print("{}: podman build -t ipc-labs {}\n", (out / "Containerfile").string(), out.string());
    return exit_code::full_marks;
}

}  // namespace course
