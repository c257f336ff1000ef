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
    bool optional = false;  ///< the tracks are ready without it
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

// What single commands use; they install it themselves when they are called.
struct Helper {
    const char *program, *argument, *package, *needed_for;
};

constexpr Helper helpers[] = {
    {"strace", "-V", "strace", "./course trace: who called what"},
    {"gdb", "--version", "gdb", "./course debug: your program, as a case runs it"},
    {"Xvfb", "", "xvfb", "lab 04: a display of its own for each case"},
    {"bwrap", "--version", "bubblewrap", "./course class: a sandbox for each submission"},
    {"doxygen", "--version", "doxygen graphviz cmark-gfm doxygen-awesome-css", "./course docs: the site"},
    {"git", "--version", "git", "./course update: a new version of the course"}};

struct Header {
    const char *name, *path, *package;
};

constexpr Header headers[] = {{"doctest", "doctest/doctest.h", "doctest-dev"},
                              {"CLI11", "CLI/CLI.hpp", "libcli11-dev"},
                              {"nlohmann-json", "nlohmann/json.hpp", "nlohmann-json3-dev"},
                              {"fmt", "fmt/core.h", "libfmt-dev"},
                              {"libarchive", "archive.h", "libarchive-dev"},
                              {"xcb", "xcb/xcb.h", "libxcb1-dev"},
                              {"xcb-xfixes", "xcb/xfixes.h", "libxcb-xfixes0-dev"}};

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

Row row_for(const Helper& helper) {
    Row row{helper.program, "", helper.needed_for, "", true, true};
    if (find_program(helper.program).empty()) {
        row.ok = false;
        row.found = "not there";
        row.advice = fmt::format("apt-get install {}", helper.package);
        return row;
    }
    if (*helper.argument)
        row.found = version_in(run({{helper.program, helper.argument}, {}, std::chrono::seconds(20), {}}).output);
    if (row.found.empty())
        row.found = "found";
    return row;
}

Row row_for(const Header& header) {
    for (const char* folder : {"/usr/include", "/usr/local/include"})
        if (fs::exists(fs::path(folder) / header.path))
            return {header.name, "found", "both", "", true, false};
    return {header.name, "missing", "both", fmt::format("apt-get install {}", header.package), false, false};
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
        return {"user namespaces", "available", "hiding the solutions from what is judged", "", true, true};
    return {"user namespaces", "not available", "hiding the solutions from what is judged",
            "not required: programs are judged less confined, and the verdict says so", false, true};
}

Row disk(const Repository& repository, bool wine_prefix_missing) {
    const double needed = wine_prefix_missing ? 2.0 : 1.0;
    std::error_code error;
    const auto space = fs::space(repository.root, error);
    const double free = error ? 0 : static_cast<double>(space.available) / 1e9;
    return {"disk", fmt::format("{:.1f} GB free", free), "both",
            free < needed ? fmt::format("free {:.0f} GB: builds, and a Wine folder of 0.7 GB", needed) : "",
            free >= needed, false};
}

Row writable(const Repository& repository) {
    const bool ok = ::access(repository.root.c_str(), W_OK) == 0;
    return {"the course's folder", ok ? "writable" : "not writable", "both",
            ok ? "" : fmt::format("you may not write in {}", repository.root.string()), ok, false};
}

std::string_view state_of(const Row& row) {
    return row.ok ? "ok" : row.optional ? "absent" : "missing";
}

// In columns where the terminal has room for them, and else one field a line.
void print(const std::vector<Row>& rows) {
    const Style style = style_for(STDOUT_FILENO);
    std::size_t things = 0, founds = 0, needs = 0;
    for (const Row& row : rows) {
        things = std::max(things, columns(row.thing));
        founds = std::max(founds, columns(row.found));
        needs = std::max(needs, columns(row.needed_for));
    }
    constexpr std::size_t states = 7, longest_advice = 40;
    const bool narrow = 2 + states + things + founds + needs + 8 + longest_advice > terminal_width();
    for (const Row& row : rows) {
        const std::string_view color = row.ok ? style.good : row.optional ? style.dim : style.bad;
        if (narrow) {
            fmt::print("  {}{}{}  {}: {}\n", color, padded(state_of(row), states), style.off, row.thing, row.found);
            for (const std::string& more : {"for " + row.needed_for, row.advice})
                if (!more.empty() && more != "for both")
                    fmt::print("           {}\n", wrapped(more, terminal_width(), 11));
            continue;
        }
        const std::string line = fmt::format("{}  {}  {}  {}", padded(row.thing, things), padded(row.found, founds), padded(row.needed_for, needs), row.advice);
        fmt::print("  {}{}{}  {}\n", color, padded(state_of(row), states), style.off, line.substr(0, line.find_last_not_of(' ') + 1));
    }
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
                        prefix ? "" : "made at the first use, in about 15 s", true, false});
    rows.push_back(writable(repository));
    rows.push_back(disk(repository, win32 && !prefix));
    for (const Helper& helper : helpers)
        rows.push_back(row_for(helper));
    rows.push_back(namespaces());
    print(rows);

    bool posix_ready = true, win32_ready = true;
    for (const Row& row : rows) {
        if (row.ok || row.optional)
            continue;
        posix_ready = posix_ready && row.needed_for == "win32";
        win32_ready = win32_ready && row.needed_for == "posix";
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
