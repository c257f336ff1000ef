// `./course update`: a new version of handouts, judges and tools in a student's checkout. A student's own file is never
// touched, and whatever else was edited is kept aside first.

#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "process.hpp"
#include "update.hpp"
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <sstream>

namespace fs = std::filesystem;

namespace course {
namespace {

struct Scratch {
    fs::path path;
    Scratch() {
        std::string name = (fs::temp_directory_path() / "course-update-XXXXXX").string();
        if (!::mkdtemp(name.data()))
            throw Failure(exit_code::machine, fmt::format("cannot make a folder in {}: {}", fs::temp_directory_path().string(), std::strerror(errno)));
        path = name;
    }
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

Outcome git(const fs::path& root, std::vector<std::string> arguments) {
    Command command;
    command.arguments = {"git", "-C", root.string()};
    command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
    command.environment = {"GIT_TERMINAL_PROMPT=0"};
    return run(command);
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// The files of a commit, laid out below `to`.
void lay_out(const fs::path& root, const std::string& commit, const fs::path& to) {
    const fs::path archive = to.string() + ".tar";
    const Outcome packed = git(root, {"archive", "--format=tar", "-o", archive.string(), commit});
    fs::create_directories(to);
    if (packed.code != 0 || run({{"tar", "-xf", archive.string(), "-C", to.string()}, {}, std::chrono::minutes(5), {}}).code != 0)
        throw Failure(exit_code::machine, fmt::format("cannot unpack {}: {}", commit, first_line(packed.errors)));
}

bool is_course(const fs::path& folder) { return fs::exists(folder / "labs") && fs::exists(folder / "CMakeLists.txt") && fs::exists(folder / "course"); }

// Where the new version lies, and the version that this checkout began with, if that is known.
struct Versions {
    fs::path fresh, base;
    std::string words;
};

Versions from_git(const Repository& repository, const std::string& remote, const Scratch& scratch) {
    if (find_program("git").empty() || git(repository.root, {"rev-parse", "--is-inside-work-tree"}).code != 0)
        throw Failure(exit_code::usage, "this copy of the course is no git checkout. Unpack the new version somewhere and say where: ./course update FOLDER");
    const Outcome fetched = git(repository.root, {"fetch", "--quiet", remote.empty() ? "origin" : remote, "HEAD"});
    if (fetched.code != 0)
        throw Failure(exit_code::machine, fmt::format("cannot fetch from {}: {}\nNothing was changed. Is this machine online? Another place: ./course update REMOTE-OR-FOLDER",
                                                      remote.empty() ? "origin" : remote, first_line(fetched.errors)));
    Versions versions{scratch.path / "fresh", {}, first_line(git(repository.root, {"log", "-1", "--format=%h %cs %s", "FETCH_HEAD"}).output)};
    lay_out(repository.root, "FETCH_HEAD", versions.fresh);
    const Outcome base = git(repository.root, {"merge-base", "HEAD", "FETCH_HEAD"});
    if (base.code == 0) {
        versions.base = scratch.path / "base";
        lay_out(repository.root, first_line(base.output), versions.base);
    }
    return versions;
}

}  // namespace

bool is_students_file(const fs::path& path) {
    const std::string name = path.filename().string();
    return path.begin() != path.end() && *path.begin() == "labs" && std::distance(path.begin(), path.end()) == 3 && (name == "posix.cpp" || name == "win32.cpp");
}

UpdateReport update_from(const fs::path& root, const fs::path& fresh, const fs::path& base) {
    UpdateReport report;
    std::vector<fs::path> files;
    for (auto entry = fs::recursive_directory_iterator(fresh); entry != fs::recursive_directory_iterator(); ++entry) {
        const fs::path relative = entry->path().lexically_relative(fresh);
        // A class gets the course without its solutions, and an update does not bring them.
        const bool none_of_ours = relative == "solutions" && !fs::exists(root / relative);
        if (relative == ".git" || relative == "build" || relative == ".course" || none_of_ours)
            entry.disable_recursion_pending();
        else if (entry->is_regular_file() && !entry->is_symlink())
            files.push_back(relative);
    }
    std::sort(files.begin(), files.end());
    // The starters as they were shipped, before they are replaced themselves.
    std::map<fs::path, std::optional<std::string>> shipped_before;
    for (const fs::path& file : files)
        if (is_students_file(file))
            shipped_before[file] = read_file(root / file.parent_path() / ".starter" / file.filename());
    for (const fs::path& file : files) {
        const std::string content = *read_file(fresh / file);
        const std::optional<std::string> ours = read_file(root / file);
        if (ours == content)
            continue;
        if (ours && is_students_file(file)) {
            const std::optional<std::string>& shipped = shipped_before.at(file);
            if (ours != shipped) {
                if (shipped && shipped != content)
                    report.newer_starters.push_back(file.string());
                continue;
            }
        } else if (const std::optional<std::string> before = base.empty() ? std::nullopt : read_file(base / file);
                   ours && before && ours != before) {
            keep_aside(root / file, "kept");
            report.kept.push_back(file.string());
        }
        fs::create_directories((root / file).parent_path());
        const fs::perms mode = fs::status(fresh / file).permissions();
        write_file(root / file, content);
        fs::permissions(root / file, mode);
        report.updated.push_back(file.string());
    }
    // What the new version has no more, if it is as it was shipped.
    if (!base.empty())
        for (const fs::directory_entry& entry : fs::recursive_directory_iterator(base)) {
            const fs::path file = entry.path().lexically_relative(base);
            if (!entry.is_regular_file() || is_students_file(file) || fs::exists(fresh / file) || read_file(root / file) != read_file(entry.path()))
                continue;
            fs::remove(root / file);
            report.removed.push_back(file.string());
        }
    return report;
}

std::vector<std::string> edited_files(const Repository& repository, const Lab& lab) {
    if (find_program("git").empty() || !fs::exists(repository / ".git"))
        return {};
    // Committing an edit does not make it the course's.
    const Outcome base = git(repository.root, {"merge-base", "HEAD", "origin/HEAD"});
    const Outcome diff = git(repository.root, {"diff", "--name-only", base.code == 0 ? first_line(base.output) : "HEAD", "--", "labs/" + lab.name, "tests/" + lab.name, "tests/harness", "common/ipc"});
    std::vector<std::string> files;
    std::istringstream lines(diff.code == 0 ? diff.output : "");
    for (std::string line; std::getline(lines, line);)
        if (!is_students_file(line) && !line.ends_with(".md"))
            files.push_back(line);
    return files;
}

int update(const Repository& repository, const std::string& source) {
    const FileLock lock(repository / ".course/update.lock");
    const Scratch scratch;
    Versions versions;
    if (!source.empty() && fs::is_directory(source)) {
        if (!is_course(source))
            throw Failure(exit_code::usage, fmt::format("{} is no copy of the course: it has no labs/, course and CMakeLists.txt", source));
        if (fs::equivalent(source, repository.root))
            throw Failure(exit_code::usage, fmt::format("{} is this copy itself; name the folder of the new one", source));
        versions = {source, {}, source};
    } else
        versions = from_git(repository, source, scratch);
    const UpdateReport report = update_from(repository.root, versions.fresh, versions.base);
    if (report.updated.empty() && report.removed.empty()) {
        fmt::print("Nothing to do: this is the version of {}\n", versions.words);
        return exit_code::full_marks;
    }
    fmt::print("Now at {}: {} files are new or changed, {} are gone. Your own files were not touched.\n", versions.words, report.updated.size(), report.removed.size());
    for (const std::string& file : report.kept)
        fmt::print("  {} had been edited here; your version is kept beside it as .kept-...\n", file);
    for (const std::string& file : report.newer_starters)
        fmt::print("  {} has a new starter; yours stays. To begin anew with it: ./course reset {}\n", file, fs::path(file).parent_path().filename().string().substr(0, 2));
    return exit_code::full_marks;
}

}  // namespace course
