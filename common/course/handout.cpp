// `./course handout`: a lab's handout as a terminal shows it best, by the pager where there is one.

#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "markdown.hpp"
#include "process.hpp"
#include "terminal.hpp"
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>

namespace course {

int handout(const Repository& repository, const std::string& lab_name, const std::string& section, bool plain) {
    const Lab lab = repository.lab_named(lab_name);
    const std::string file = handout_of(lab);
    const std::optional<std::string> source = read_file(repository / file);
    if (!source)
        throw Failure(exit_code::machine, fmt::format("{} is not there; './course update' or git brings it back", file));
    std::string text = *source;
    if (!section.empty()) {
        const std::optional<std::string> part = markdown_section(text, section);
        if (!part)
            throw Failure(exit_code::usage, fmt::format("{} has no section '{}'; its sections are {}", file, section, joined(markdown_anchors(text))));
        text = *part;
    }
    const bool terminal = ::isatty(STDOUT_FILENO);
    const std::string page = markdown_text(text, std::min<std::size_t>(terminal_width(), 100), style_for(STDOUT_FILENO));
    const char* chosen = std::getenv("PAGER");
    const std::string pager = chosen && *chosen ? chosen : find_program("less").empty() ? "" : "less -R";
    if (terminal && !plain && !pager.empty())
        if (FILE* pipe = ::popen(pager.c_str(), "w")) {
            std::fputs(page.c_str(), pipe);
            ::pclose(pipe);  // a reader who leaves early has read enough
            return exit_code::full_marks;
        }
    fmt::print("{}", page);
    return exit_code::full_marks;
}

}  // namespace course
