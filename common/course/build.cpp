#include "build.hpp"

#include "failure.hpp"
#include "files.hpp"
#include "process.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sstream>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

std::string last_lines(const std::string& text, std::size_t count) {
    std::vector<std::string> lines = lines_of(text);
    if (lines.size() > count)
        lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
    return joined(lines, "\n  ");
}

// CMake says first what is wrong and then, at length, what follows from it.
std::string first_cmake_error(const std::string& output) {
    const std::size_t start = output.find("CMake Error");
    if (start == std::string::npos)
        return last_lines(output, 12);
    std::string result;
    int count = 0;
    for (const std::string& line : lines_of(output.substr(start)))
        if (!line.empty() && count++ < 8)
            result += (result.empty() ? "" : "\n  ") + line;
    return result;
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

// What no edit of the student's file can have caused.
void blame_the_machine(const std::string& output, const std::string& preset) {
    if (contains(output, "No space left on device") || contains(output, "Disk quota exceeded"))
        throw Failure(
            exit_code::machine,
            fmt::format(
                "cannot build in build/{}: the disk is full. Free some space and run the command again",
                preset));
    if (contains(output, "Killed signal terminated program"))
        throw Failure(exit_code::machine, "the compiler was killed, most likely because memory ran out. "
                                          "Close something and run the command again");
    if (contains(output, "Read-only file system") || contains(output, "Permission denied"))
        throw Failure(exit_code::machine, fmt::format("cannot write in build/{}:\n  {}\nCheck who owns "
                                                      "build/ (it can be deleted, it is made again)",
                                                      preset, last_lines(output, 4)));
}

void check_tools(const std::string& preset) {
    std::vector<std::string> needed = {"cmake", "ninja"};
    if (preset == "windows-wine")
        needed.push_back("x86_64-w64-mingw32-g++-posix");
    for (const std::string& tool : needed)
        if (find_program(tool).empty())
            throw Failure(exit_code::machine,
                          fmt::format("{} is not installed, and building {} needs it. './course doctor' says "
                                      "which package has it",
                                      tool, preset == "windows-wine" ? "the win32 track" : "the labs"));
}

// "/home/me/course/labs/01…/posix.cpp" and "../../labs/01…/posix.cpp" → "labs/01…/posix.cpp"
std::string as_the_student_knows_it(std::string line, const fs::path& root) {
    const std::string prefix = root.string() + "/";
    for (std::size_t at = 0; (at = line.find(prefix, at)) != std::string::npos;)
        line.erase(at, prefix.size());
    for (std::size_t at = 0; (at = line.find("../../", at)) != std::string::npos;)
        line.erase(at, 6);
    return line;
}

// The linker writes types out in full; nobody has written them like that.
std::string with_short_types(std::string line) {
    const auto replace = [&](std::string_view what, std::string_view with) {
        for (std::size_t at = 0; (at = line.find(what, at)) != std::string::npos; at += with.size())
            line.replace(at, what.size(), with);
    };
    replace("std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string");
    replace("std::basic_string_view<char, std::char_traits<char> >", "std::string_view");
    replace(", std::allocator<std::string > >", ">");
    replace(", std::allocator<std::string> >", ">");
    replace("std::vector<std::string>, std::allocator<std::vector<std::string> > >",
            "std::vector<std::string>>");
    return line;
}

bool quotes_source(const std::string& line) {
    const std::size_t bar = line.find('|');
    return bar != std::string::npos && line.find_first_not_of(" 0123456789+") == bar;
}

bool is_error(const std::string& line) {
    return contains(line, ": error: ") || contains(line, ": fatal error: ") ||
           contains(line, ": undefined reference to ") || contains(line, ": multiple definition of ");
}

}  // namespace

std::string cache_value(const std::string& cache, std::string_view key) {
    for (const std::string& line : lines_of(cache)) {
        const std::size_t equals = line.find('=');
        if (equals != std::string::npos && line.compare(0, key.size(), key) == 0 &&
            line.size() > key.size() && line[key.size()] == ':')
            return line.substr(equals + 1);
    }
    return {};
}

std::optional<std::string> build_folder_problem(const std::string& cache, const fs::path& root,
                                                const std::string& cmake_version) {
    const std::string home = cache_value(cache, "CMAKE_HOME_DIRECTORY");
    if (fs::path(home) != root)
        return fmt::format("was made for {}", home.empty() ? "nothing that it says" : home);
    const std::string version = fmt::format("{}.{}.{}", cache_value(cache, "CMAKE_CACHE_MAJOR_VERSION"),
                                            cache_value(cache, "CMAKE_CACHE_MINOR_VERSION"),
                                            cache_value(cache, "CMAKE_CACHE_PATCH_VERSION"));
    if (!cmake_version.empty() && version != cmake_version)
        return fmt::format("was made by CMake {}, and this is CMake {}", version, cmake_version);
    if (const std::string generator = cache_value(cache, "CMAKE_GENERATOR"); generator != "Ninja")
        return fmt::format("was made for {} instead of Ninja",
                           generator.empty() ? "no generator" : generator);
    const std::string compiler = cache_value(cache, "CMAKE_CXX_COMPILER");
    if (compiler.find('/') != std::string::npos && ::access(compiler.c_str(), X_OK) != 0)
        return fmt::format("was made for the compiler {}, which is gone", compiler);
    return std::nullopt;
}

void configure(const Repository& repository, const std::string& preset) {
    const fs::path folder = repository / build_of(preset);
    const auto cache = read_file(folder / "CMakeCache.txt");
    if (cache) {
        // The front door has made sure that build/linux is of the CMake that is installed.
        const std::string reference = read_file(repository / "build/linux/CMakeCache.txt").value_or("");
        std::string version;
        if (!reference.empty())
            version = fmt::format("{}.{}.{}", cache_value(reference, "CMAKE_CACHE_MAJOR_VERSION"),
                                  cache_value(reference, "CMAKE_CACHE_MINOR_VERSION"),
                                  cache_value(reference, "CMAKE_CACHE_PATCH_VERSION"));
        const auto problem = build_folder_problem(*cache, repository.root, version);
        if (!problem && fs::exists(folder / "build.ninja"))
            return;
        if (problem) {
            fmt::print(stderr, "course: build/{} {}; making it anew\n", preset, *problem);
            fs::remove_all(folder);
        }
    }
    check_tools(preset);
    const PassingLine line(fmt::format("configuring build/{} …", preset));
    const Outcome outcome =
        run({{"cmake", "--preset", preset}, repository.root, std::chrono::minutes(5), {}});
    if (outcome.code == 0)
        return;
    const std::string said = outcome.output + outcome.errors;
    blame_the_machine(said, preset);
    throw Failure(
        exit_code::machine,
        fmt::format("cmake --preset {} failed in {}:\n  {}\nRun './course doctor' to see what is missing",
                    preset, repository.root.string(), visible(first_cmake_error(said))));
}

std::optional<std::string> build(const Repository& repository, const std::string& preset,
                                 const std::vector<std::string>& targets, bool keep_going) {
    configure(repository, preset);
    Command command{
        {"ninja", "-C", build_of(preset)}, repository.root, std::chrono::minutes(30), {"NINJA_STATUS="}};
    if (keep_going)
        command.arguments.insert(command.arguments.end(), {"-k", "0"});
    command.arguments.insert(command.arguments.end(), targets.begin(), targets.end());
    Outcome outcome;
    {
        // Two commands at once would both write into the folder. The front door locks the first one.
        const FileLock lock(repository / (preset == "linux" ? "build/.lock" : fmt::format("build/.lock-{}", preset)));
        outcome = run(command);
    }
    if (outcome.code == 0)
        return std::nullopt;
    const std::string said = outcome.output + outcome.errors;
    blame_the_machine(said, preset);
    if (contains(said, "CMake Error") ||
        (contains(said, "ninja: error:") && !contains(said, "unknown target")))
        throw Failure(
            exit_code::machine,
            fmt::format(
                "build/{} cannot be used:\n  {}\nDelete the folder build/{} and run the command again",
                preset, visible(first_cmake_error(said)), preset));
    return said;
}

std::string first_errors(const std::string& output, const fs::path& root, std::size_t most) {
    const std::vector<std::string> lines = lines_of(output);
    std::string result;
    std::size_t shown = 0, found = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (!is_error(lines[i]) || contains(lines[i], "collect2: error"))
            continue;
        ++found;
        if (shown == most)
            continue;
        ++shown;
        std::string line = lines[i];
        // "/usr/bin/ld: CMakeFiles/lab-01.dir/…/posix.cpp.o: in function…" comes with the object's name; the
        // source's is said.
        if (const std::size_t ld = line.find("ld: ");
            ld != std::string::npos && ld < line.find(": undefined"))
            line.erase(0, ld + 4);
        result += visible(with_short_types(as_the_student_knows_it(line, root))) + "\n";
        for (std::size_t quoted = i + 1;
             quoted < lines.size() && quoted <= i + 2 && quotes_source(lines[quoted]); ++quoted)
            result += visible(lines[quoted]) + "\n";
    }
    if (found == 0)
        return last_lines(visible(as_the_student_knows_it(output, root)), 8) + "\n";
    if (found > shown)
        result += fmt::format("… and {} more error{}\n", found - shown, found - shown == 1 ? "" : "s");
    return result;
}

std::vector<std::string> failed_targets(const std::string& output) {
    std::vector<std::string> targets;
    for (const std::string& line : lines_of(output)) {
        if (line.rfind("FAILED: ", 0) != 0)
            continue;
        std::string edge = line.substr(8);
        edge = edge.substr(0, edge.find(' '));
        std::string target;
        // "labs/CMakeFiles/lab-01.dir/x.o" is a compilation of lab-01, "bin/lab-01.exe" its link.
        if (const std::size_t folder = edge.find("CMakeFiles/"); folder != std::string::npos) {
            target = edge.substr(folder + 11);
            const std::size_t end = target.find(".dir/");
            target = end == std::string::npos ? "" : target.substr(0, end);
        } else {
            target = edge.substr(edge.rfind('/') == std::string::npos ? 0 : edge.rfind('/') + 1);
            if (target.size() > 4 && target.compare(target.size() - 4, 4, ".exe") == 0)
                target.erase(target.size() - 4);
        }
        if (std::find(targets.begin(), targets.end(), target) == targets.end())
            targets.push_back(target);
    }
    return targets;
}

}  // namespace course
