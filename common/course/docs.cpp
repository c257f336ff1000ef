// `./course docs`: builds the site, checks it, says where it is, and opens it if asked to.

#include "commands.hpp"
#include "docs_gates.hpp"
#include "docs_html.hpp"
#include "docs_site.hpp"
#include "failure.hpp"
#include "process.hpp"
#include "terminal.hpp"
#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {
namespace {

std::string listed(const std::vector<std::string>& lines, std::size_t most = 20) {
    std::string text;
    for (std::size_t i = 0; i < std::min(lines.size(), most); ++i)
        text += "  " + lines[i] + "\n";
    if (lines.size() > most)
        text += fmt::format("  … and {} more\n", lines.size() - most);
    return text;
}

// The person's own browser, or nothing where there is no screen to show one on.
std::vector<std::string> browser() {
    if (const char* chosen = std::getenv("BROWSER"); chosen && *chosen)
        return {chosen};
    const bool screen = std::getenv("DISPLAY") || std::getenv("WAYLAND_DISPLAY");
    for (const char* program : {"wslview", "xdg-open", "x-www-browser"})
        if ((screen || std::string_view(program) == "wslview") && !find_program(program).empty())
            return {program};
    return {};
}

void open_in_browser(const fs::path& page) {
    std::vector<std::string> command = browser();
    if (command.empty()) {
        fmt::print("There is no browser here to open it with (no screen, or no xdg-open). Open this file "
                   "with yours:\n  {}\n",
                   page.string());
        return;
    }
    command.push_back(page.string());
    // Such a command returns when the browser has the page; one that is the browser itself goes on without
    // us.
    if (const pid_t child = ::fork(); child == 0) {
        ::setsid();
        std::vector<char*> arguments;
        for (std::string& word : command)
            arguments.push_back(word.data());
        arguments.push_back(nullptr);
        ::execvp(arguments[0], arguments.data());
        fmt::print(stderr, "course: cannot start the browser {}; open {} with another one\n", command[0],
                   page.string());
        ::_exit(127);
    }
}

}  // namespace

int build_docs(const Repository& repository, const DocsOptions& options) {
    const site::Edition edition = options.instructor ? site::Edition::instructor : site::Edition::student;
    const site::Site site = [&] {
        const PassingLine line("building the site …");
        return site::build_site(repository, edition);
    }();
    bool sound = true;
    const auto complain = [&](const std::vector<std::string>& lines, const char* words) {
        if (lines.empty())
            return;
        sound = false;
        fmt::print(stderr, "course: {} {}:\n{}", lines.size(), words, listed(lines));
    };
    complain(site.warnings, "warnings by Doxygen");
    complain(site::broken_links(site.folder), "links that lead nowhere");
    complain(site::reading_problems(site.folder), "places that a screen reader stumbles over");
    if (edition == site::Edition::student)
        complain(site::leaks(repository, site.folder), "lines that only instructors may see");
    fmt::print("The {}'s edition: {} pages in {:.0f} s.\n  {}\n", site::name_of(edition), site.pages,
               site.seconds, (site.folder / "index.html").string());
    std::fflush(stdout);
    if (options.open)
        open_in_browser(site.folder / "index.html");
    return sound ? exit_code::full_marks : exit_code::points_missing;
}

void check_docs(const TestRun& test_run) {
    const auto check = [&](const std::string& where, const std::string& what,
                           const std::vector<std::string>& problems) {
        test_run.report.result(problems.empty(), where, what, listed(problems));
    };
    for (const site::Edition edition : {site::Edition::student, site::Edition::instructor}) {
        const std::string where = fmt::format("site, {}'s edition", site::name_of(edition));
        if (edition == site::Edition::instructor && !test_run.solutions) {
            test_run.report.skipped(where, "built and checked", "solutions/ is not part of this copy");
            continue;
        }
        try {
            const site::Site site = site::build_site(test_run.repository, edition);
            check(where,
                  fmt::format("{} pages are built without a warning ({:.0f} s)", site.pages, site.seconds),
                  site.warnings);
            check(where, "every link and every place that it names is there",
                  site::broken_links(site.folder));
            check(where, "headings are in order, every picture and chart has a text",
                  site::reading_problems(site.folder));
            if (edition == site::Edition::student && test_run.solutions)
                check(where, "nothing in it that only solutions, patches or instructors' pages say",
                      site::leaks(test_run.repository, site.folder));
        } catch (const Interrupted&) {
            throw;
        } catch (const std::exception& error) {
            test_run.report.failed(where, "is built", error.what());
        }
    }
}

}  // namespace course
