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

// What the last update has brought. Git does not know of it: an update writes files, it commits nothing.
constexpr const char* list_of_shipped = ".course/shipped";

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

void Shipped::add(const fs::path& folder) {
    for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
        const fs::path file = entry->path().lexically_relative(folder);
        if (file == ".git" || file == "build" || file == ".course")
            entry.disable_recursion_pending();
        else if (entry->is_regular_file() && !entry->is_symlink())
            hashes_[file.string()].insert(content_hash(*read_file(entry->path())));
    }
}

void Shipped::load(const fs::path& list) {
    std::istringstream lines(read_file(list).value_or(""));
    for (std::string hash, file; lines >> hash && std::getline(lines >> std::ws, file);)
        hashes_[file].insert(hash);
}

void Shipped::save(const fs::path& list) const {
    std::string text;
    for (const auto& [file, hashes] : hashes_)
        for (const std::string& hash : hashes)
            text += fmt::format("{} {}\n", hash, file);
    fs::create_directories(list.parent_path());
    write_file(list, text);
}

bool Shipped::has(const fs::path& file, const std::string& content) const {
    const auto found = hashes_.find(file.string());
    return found != hashes_.end() && found->second.count(content_hash(content)) > 0;
}

std::vector<std::string> Shipped::files() const {
    std::vector<std::string> names;
    for (const auto& each : hashes_)
        names.push_back(each.first);
    return names;
}

UpdateReport update_from(const fs::path& root, const fs::path& fresh, const fs::path& base) {
    UpdateReport report;
    Shipped before, now;
    before.load(root / list_of_shipped);
    if (!base.empty())
        before.add(base);
    now.add(fresh);
    // The starters as they were shipped, before they are replaced themselves.
    std::map<fs::path, std::optional<std::string>> shipped_before;
    for (const fs::path file : now.files())
        if (is_students_file(file))
            shipped_before[file] = read_file(root / file.parent_path() / ".starter" / file.filename());
    // A class gets the course without its solutions, and an update does not bring them.
    const bool without_solutions = !fs::exists(root / "solutions");
    const fs::path replaced_in = fmt::format(".course/replaced-{}", utc_now("%Y%m%d-%H%M%S"));
    for (const fs::path file : now.files()) {
        if (without_solutions && *file.begin() == "solutions")
            continue;
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
        } else if (ours && !before.knows(file)) {
            fs::create_directories((root / replaced_in / file).parent_path());
            write_file(root / replaced_in / file, *ours);
            report.replaced.push_back(file.string());
            report.replaced_in = replaced_in;
        } else if (ours && !before.has(file, *ours)) {
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
    for (const fs::path file : before.files()) {
        const std::optional<std::string> ours = read_file(root / file);
        if (!ours || is_students_file(file) || now.knows(file) || !before.has(file, *ours))
            continue;
        fs::remove(root / file);
        report.removed.push_back(file.string());
    }
    now.save(root / list_of_shipped);
    return report;
}

std::vector<std::string> edited_files(const Repository& repository, const Lab& lab) {
    const std::vector<std::string> folders = {"labs/" + lab.name + "/", "tests/" + lab.name + "/", "tests/harness/", "common/ipc/"};
    Shipped shipped;
    shipped.load(repository / list_of_shipped);
    std::vector<std::string> changed;
    if (find_program("git").empty() || !fs::exists(repository / ".git"))
        changed = shipped.files();
    else {
        // Committing an edit does not make it the course's.
        const Outcome base = git(repository.root, {"merge-base", "HEAD", "origin/HEAD"});
        const Outcome diff = git(repository.root, {"diff", "--name-only", base.code == 0 ? first_line(base.output) : "HEAD"});
        std::istringstream lines(diff.code == 0 ? diff.output : "");
        for (std::string line; std::getline(lines, line);)
            changed.push_back(line);
    }
    std::vector<std::string> files;
    for (const std::string& file : changed) {
        const bool rests_on_it = std::any_of(folders.begin(), folders.end(), [&](const std::string& folder) { return file.starts_with(folder); });
        if (rests_on_it && !is_students_file(file) && !file.ends_with(".md") && !shipped.has(file, read_file(repository / file).value_or("")))
            files.push_back(file);
    }
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
    if (!report.replaced.empty())
        fmt::print("  {} files could have been edited here, nobody knows how this copy got them: as they were, they are in {}\n", report.replaced.size(), report.replaced_in.string());
    for (const std::string& file : report.newer_starters)
        fmt::print("  {} has a new starter; yours stays. To begin anew with it: ./course reset {}\n", file, fs::path(file).parent_path().filename().string().substr(0, 2));
    return exit_code::full_marks;
}

}  // namespace course
