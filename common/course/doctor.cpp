#include "commands.hpp"
#include "failure.hpp"
#include "process.hpp"
#include "terminal.hpp"
#include "wine.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <sched.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {
namespace {

struct Row {
    std::string thing, found, needed_for, advice;
    bool ok = true;
};

struct Tool {
    const char *program, *argument, *package, *needed_for;
    int major, minor;  ///< the least version; 0: any
};

constexpr Tool tools[] = {
    {"g++", "-dumpfullversion", "g++", "posix", 11, 0},
    {"cmake", "--version", "cmake", "both", 3, 25},
    {"ninja", "--version", "ninja-build", "both", 0, 0},
    {"patch", "--version", "patch", "course test", 0, 0},
    {"x86_64-w64-mingw32-g++-posix", "-dumpfullversion", "g++-mingw-w64-x86-64-posix", "win32", 11, 0},
    {"wine", "--version", "wine wine64", "win32", 0, 0}};

struct Header {
    const char *name, *path, *package;
};

constexpr Header headers[] = {{"doctest", "doctest/doctest.h", "doctest-dev"},
                              {"CLI11", "CLI/CLI.hpp", "libcli11-dev"},
                              {"nlohmann-json", "nlohmann/json.hpp", "nlohmann-json3-dev"},
                              {"fmt", "fmt/core.h", "libfmt-dev"}};

// "cmake version 3.25.1" → "3.25.1"
std::string version_in(const std::string& words) {
    const std::size_t start = words.find_first_of("0123456789");
    return start == std::string::npos
               ? ""
               : words.substr(start, words.find_first_not_of("0123456789.", start) - start);
}

bool at_least(const std::string& version, int major, int minor) {
    int found_major = 0, found_minor = 0;
    char dot = 0;
    std::istringstream(version) >> found_major >> dot >> found_minor;
    return found_major > major || (found_major == major && found_minor >= minor);
}

Row row_for(const Tool& tool) {
    Row row{tool.program, "", tool.needed_for, "", true};
    if (find_program(tool.program).empty()) {
        row.found = "missing";
        row.ok = false;
    } else {
        const Outcome outcome = run({{tool.program, tool.argument}, {}, std::chrono::seconds(20), {}});
        row.found = version_in(outcome.output);
        if (row.found.empty()) {
            row.found = "does not answer";
            row.ok = false;
        } else if (!at_least(row.found, tool.major, tool.minor)) {
            row.found += fmt::format(" (too old: {}.{} is needed)", tool.major, tool.minor);
            row.ok = false;
        }
    }
    if (!row.ok)
        row.advice = fmt::format("apt-get install {}", tool.package);
    return row;
}

Row row_for(const Header& header) {
    for (const char* folder : {"/usr/include", "/usr/local/include"})
        if (fs::exists(fs::path(folder) / header.path))
            return {header.name, "found", "both", "", true};
    return {header.name, "missing", "both", fmt::format("apt-get install {}", header.package), false};
}

// A judge hides the solutions from its subject in a mount namespace where it can; without, it says so in the
// verdict.
Row namespaces() {
    const pid_t child = ::fork();
    if (child == 0)
        ::_exit(::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 ? 0 : 1);
    int status = 1;
    if (child > 0)
        ::waitpid(child, &status, 0);
    if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return {"user namespaces", "available", "hiding", "", true};
    return {"user namespaces", "not available", "hiding",
            "not required: subjects are judged less confined, and the verdict says so", true};
}

Row disk(const Repository& repository, bool wine_prefix_missing) {
    const double needed = wine_prefix_missing ? 2.0 : 1.0;
    std::error_code error;
    const auto space = fs::space(repository.root, error);
    const double free = error ? 0 : static_cast<double>(space.available) / 1e9;
    return {"disk", fmt::format("{:.1f} GB free", free), "both",
            free < needed ? fmt::format("free {:.0f} GB: builds, and a Wine folder of 0.7 GB", needed) : "",
            free >= needed};
}

Row writable(const Repository& repository) {
    const bool ok = ::access(repository.root.c_str(), W_OK) == 0;
    return {"the course's folder", ok ? "writable" : "not writable", "both",
            ok ? "" : fmt::format("you may not write in {}", repository.root.string()), ok};
}

}  // namespace

int doctor(const Repository& repository, const std::string& track) {
    const bool posix = track.empty() || track_named(track) == Track::posix;
    const bool win32 = track.empty() || track_named(track) == Track::win32;
    const bool prefix = fs::exists(wine_folder() / "system.reg");
    std::vector<Row> rows;
    for (const Tool& tool : tools)
        if (std::string_view(tool.needed_for) != "win32" || win32)
            rows.push_back(row_for(tool));
    for (const Header& header : headers)
        rows.push_back(row_for(header));
    if (win32)
        rows.push_back({"Wine's folder", prefix ? wine_folder().string() : "not there", "win32",
                        prefix ? "" : "made at the first use, in about 15 s", true});
    rows.push_back(writable(repository));
    rows.push_back(disk(repository, win32 && !prefix));
    rows.push_back(namespaces());

    std::size_t things = 0, founds = 0;
    for (const Row& row : rows) {
        things = std::max(things, columns(row.thing));
        founds = std::max(founds, columns(row.found));
    }
    const Style style = style_for(STDOUT_FILENO);
    bool posix_ready = true, win32_ready = true;
    for (const Row& row : rows) {
        fmt::print("  {}{}{}  {}  {}  {}  {}\n", row.ok ? style.good : style.bad,
                   row.ok ? "ok     " : "missing", style.off, padded(row.thing, things),
                   padded(row.found, founds), padded(row.needed_for, 11), row.advice);
        if (!row.ok && row.needed_for != "win32")
            posix_ready = false;
        if (!row.ok && row.needed_for != "posix")
            win32_ready = false;
    }
    fmt::print("\n");
    if (posix)
        fmt::print("posix track: {}\n", posix_ready ? "ready" : "not ready");
    if (win32)
        fmt::print("win32 track: {}{}\n", win32_ready ? "ready" : "not ready",
                   win32_ready ? "" : "; './course doctor --install' installs what apt-get has");
    return (!posix || posix_ready) && (!win32 || win32_ready) ? exit_code::full_marks : exit_code::machine;
}

}  // namespace course
