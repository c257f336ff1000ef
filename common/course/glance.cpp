#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "progress.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <unistd.h>

namespace course {
namespace {

struct Cell {
    std::optional<Grade> grade;
    bool changed = false;
};

Cell cell_for(const Repository& repository, const Progress& progress, const Lab& lab, Track track) {
    Cell cell{progress.grade(lab, track), false};
    if (cell.grade) {
        const auto source = read_file(repository / source_of(lab, track));
        cell.changed = !source || content_hash(*source) != cell.grade->source_hash;
    }
    return cell;
}

std::string words(const Cell& cell) {
    return cell.grade
               ? fmt::format("{}/{}{}", cell.grade->points, cell.grade->max_points, cell.changed ? " *" : "")
               : "-";
}

bool done(const Cell& cell) {
    return cell.grade && cell.grade->max_points > 0 && cell.grade->points == cell.grade->max_points &&
           !cell.changed;
}

}  // namespace

int glance(const Repository& repository) {
    const Style style = style_for(STDOUT_FILENO);
    const Progress progress(repository);
    const std::vector<Lab> labs = repository.labs();
    std::size_t width = 4;
    for (const Lab& lab : labs)
        width = std::max(width, lab.name.size() + 2);
    const auto paragraph = [](const std::string& text, std::size_t indent) { fmt::print("{}\n", wrapped(text, terminal_width(), indent)); };
    const bool narrow = is_narrow();
    paragraph("IPC Labs: how processes talk, on Linux and on Windows", 0);
    if (narrow)
        fmt::print("\n");
    else
        fmt::print("\n  {}{}{}{}{}\n", style.dim, padded("lab", width), padded("posix", 12), "win32", style.off);
    bool any_changed = false;
    std::string next;
    for (const Lab& lab : labs) {
        const Cell posix = cell_for(repository, progress, lab, Track::posix),
                   win32 = cell_for(repository, progress, lab, Track::win32);
        const std::string_view posix_color = done(posix) ? style.good : "", win32_color = done(win32) ? style.good : "";
        if (narrow)
            fmt::print("{}\n  posix {}{}{}  win32 {}{}{}\n", lab.name, posix_color, padded(words(posix), 9), style.off, win32_color, words(win32), style.off);
        else
            fmt::print("  {}{}{}{}{}{}{}\n", padded(lab.name, width), posix_color, padded(words(posix), 12), style.off, win32_color, words(win32), style.off);
        any_changed = any_changed || posix.changed || win32.changed;
        if (next.empty() && !done(posix) && !done(win32)) {
            if (!posix.grade)
                next = fmt::format("read {}, then ./course grade {}", handout_of(lab), lab.number);
            else if (posix.changed || posix.grade->next_case.empty())
                next = fmt::format("./course grade {}", lab.number);
            else
                next = fmt::format("./course grade {} --case {} (or ./course hint {})", lab.number,
                                   posix.grade->next_case, posix.grade->next_case);
        }
    }
    if (any_changed)
        paragraph("\n  * the file has changed since it was graded", 4);
    fmt::print("\n");
    paragraph("Next: " + (next.empty() ? "every lab is done on one track at least; try the other one" : next), 6);
    fmt::print("All commands: ./course --help\n");
    return exit_code::full_marks;
}

}  // namespace course
