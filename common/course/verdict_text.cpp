#include "verdict_text.hpp"

#include "mistake.hpp"
#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <sstream>
#include <utility>

namespace course {
namespace {

constexpr std::size_t label_width = 11;

std::string track_option(Track track) {
    return track == Track::posix ? "" : fmt::format(" --track {}", name_of(track));
}

// Where a shell finds the lab programs; those for Windows are started through Wine there.
std::string programs_of(Track track) {
    return track == Track::posix ? "build/linux/bin" : "build/windows-wine/run";
}

std::string_view color_of(CaseOutcome outcome, const Style& style) {
    switch (outcome) {
    case CaseOutcome::passed:
        return style.good;
    case CaseOutcome::failed:
    case CaseOutcome::judge_error:
        return style.bad;
    default:
        return style.dim;
    }
}

std::size_t widest(const Verdict& verdict, std::size_t (*measure)(const CaseVerdict&)) {
    std::size_t width = 0;
    for (const CaseVerdict& each : verdict.cases)
        width = std::max(width, measure(each));
    return width;
}

// "  passed  1.1  8/8", and the title below it.
std::string narrow_case_line(const CaseVerdict& each, const Style& style) {
    std::string line = fmt::format("  {}{}{}  {}", color_of(each.outcome, style), words_for(each.outcome), style.off, visible(each.name));
    if (each.outcome != CaseOutcome::unavailable_here)  // its points are in neither sum
        line += fmt::format("  {}/{}", each.points, each.max_points);
    if (each.seconds >= 1)
        line += fmt::format("  {}{:.1f} s{}", style.dim, each.seconds, style.off);
    return fmt::format("{}\n    {}\n", line, wrapped(visible(each.title), terminal_width(), 4));
}

// "  passed         1.1  capture prints what the command wrote    8/8"
std::string case_line(const Verdict& verdict, const CaseVerdict& each, const Style& style) {
    if (is_narrow())
        return narrow_case_line(each, style);
    const std::size_t words =
        widest(verdict, [](const CaseVerdict& c) { return words_for(c.outcome).size(); });
    const std::size_t names = widest(verdict, [](const CaseVerdict& c) { return c.name.size(); });
    // What is left of the terminal beside the other columns; a title that is longer goes on below itself.
    const std::size_t beside = 2 + words + 2 + names + 2, points = 14;
    const std::size_t room = std::max<std::size_t>(terminal_width(), beside + points + 16) - beside - points;
    const std::size_t titles =
        std::min({widest(verdict, [](const CaseVerdict& c) { return columns(c.title); }), std::size_t{90}, room});
    const std::string title = wrapped(visible(each.title), titles, 0);
    const std::size_t end = std::min(title.find('\n'), title.size());
    std::string rest = title.substr(end);
    for (std::size_t at = 0; (at = rest.find('\n', at)) != std::string::npos; at += 1 + beside)
        rest.insert(at + 1, beside, ' ');
    std::string line =
        fmt::format("  {}{}{}  {}  {}  {:>2}/{}", color_of(each.outcome, style),
                    padded(words_for(each.outcome), words), style.off, padded(visible(each.name), names),
                    padded(title.substr(0, end), titles), each.points, each.max_points);
    if (each.outcome == CaseOutcome::unavailable_here)
        line.erase(line.find_last_not_of(' ', line.rfind("  ")) + 1);  // its points are in neither sum
    if (each.seconds >= 1)
        line += fmt::format("  {}{:.1f} s{}", style.dim, each.seconds, style.off);
    return line + rest + "\n";
}

std::string row(std::string_view label, std::string_view text, const Style& style) {
    return labelled(label, visible(text), is_narrow() ? 4 : 6, label_width, style);
}

// Lines for the student's shell: whole, so that they can be copied; what they should show is behind ` # `.
std::string lines_by_hand(const std::string& value, const Style& style) {
    const std::string indent(is_narrow() ? 6 : 6 + label_width, ' ');
    std::string text;
    std::istringstream lines(value);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t comment = line.find(" # ");
        const std::string command = line.substr(0, line.find_last_not_of(' ', comment) + 1);
        if (text.empty() && is_narrow())
            text = fmt::format("    {}by hand{}\n{}{}\n", style.dim, style.off, indent, visible(command));
        else if (text.empty())
            text = fmt::format("      {}{}{}{}\n", style.dim, padded("by hand", label_width), style.off, visible(command));
        else
            text += indent + visible(command) + "\n";
        if (comment != std::string::npos)
            text += row("", line.substr(comment + 1), style);
    }
    return text;
}

// What a verdict has to explain once, where it says it first.
struct SaidOnce {
    bool puppet = false, by_hand = false;
};

std::string details(const Repository& repository, const Lab& lab, Track track, const CaseVerdict& each,
                    const Style& style, SaidOnce& said) {
    std::string text;
    for (const auto& [key, value] : message_parts(each.message)) {
        text += key == "by hand" ? lines_by_hand(value, style) : row(key, value, style);
        if (key == "tried" && value.find("PUPPET") != std::string::npos && !std::exchange(said.puppet, true))
            text += row("PUPPET", "a program of the judge that is started in the place of a real command; it reads, writes and ends just when the "
                                  "case tells it to. The number behind it is its own.", style);
        if (key == "by hand" && !std::exchange(said.by_hand, true))
            text += row("", fmt::format("(in a shell, after: PATH=$PWD/{}:$PATH{})", programs_of(track),
                                        track == Track::posix ? "" : "; a line for cmd.exe, after: cd build/windows-wine/bin; ../../../common/wine-run cmd"), style);
    }
    if (!each.waiting.empty())
        text += row("waiting", each.waiting, style);
    for (const std::string& name : names_in(each.mistake)) {
        const std::string title = mistake_title(repository, lab, track, name);
        text += row("mistake", title.empty() ? name : fmt::format("{}: {}", name, title), style);
    }
    if (each.outcome == CaseOutcome::unavailable_here)
        return text;
    if (!each.section.empty())
        text += row("read", fmt::format("{}#{}", handout_of(lab), section_to_read(repository, lab, track, each)), style);
    if (each.outcome == CaseOutcome::failed)
        text += row("hint", fmt::format("./course hint {}{}", each.name, track_option(track)), style);
    if (!each.rerun.empty())
        text += row("again", each.rerun, style);
    return text;
}

bool explained(CaseOutcome outcome) {
    return outcome == CaseOutcome::failed || outcome == CaseOutcome::judge_error ||
           outcome == CaseOutcome::unavailable_here;
}

std::string heading(const Lab& lab, Track track, const Verdict& verdict, const Style& style) {
    if (is_narrow())
        return fmt::format("{}{}{}, {}\n{}\n", style.bold, lab.name, style.off, name_of(track), visible(verdict.source));
    return fmt::format("{}{}{} · {} · {}\n", style.bold, lab.name, style.off, name_of(track),
                       visible(verdict.source));
}

std::size_t lines_of(const std::string& text) { return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')); }

// "passed  1.1 to 1.15, 1.17": a line for each outcome that there is.
std::string names_by_outcome(const Verdict& verdict, const Style& style) {
    std::string text;
    for (const CaseOutcome outcome : {CaseOutcome::failed, CaseOutcome::judge_error, CaseOutcome::not_attempted, CaseOutcome::unavailable_here, CaseOutcome::passed}) {
        std::string names;
        const std::vector<CaseVerdict>& all = verdict.cases;
        for (std::size_t first = 0; first < all.size(); ++first) {
            if (all[first].outcome != outcome)
                continue;
            std::size_t last = first;
            while (last + 1 < all.size() && all[last + 1].outcome == outcome)
                ++last;
            names += (names.empty() ? "" : ", ") + visible(all[first].name);
            if (last > first)
                names += (last == first + 1 ? ", " : " to ") + visible(all[last].name);
            first = last;
        }
        if (!names.empty())
            text += labelled(words_for(outcome), names, 2, 18, style);
    }
    return text;
}

}  // namespace

FirstTask first_task(const std::string& source) {
    std::istringstream stream(source);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const std::size_t code_end = std::min(lines[i].find("//"), lines[i].size());
        const std::size_t at = lines[i].find("not_implemented");
        if (at == std::string::npos || at > code_end)
            continue;
        // The nearest line above (or this one) that begins in the first column and has a parameter list.
        for (std::size_t j = i + 1; j-- > 0;) {
            const std::string& line = lines[j];
            const std::size_t open = line.find('(');
            const bool definition = !line.empty() &&
                                    (std::isalpha(static_cast<unsigned char>(line[0])) || line[0] == '_') &&
                                    open != std::string::npos;
            if (!definition)
                continue;
            std::size_t start = open;
            while (start > 0 &&
                   (std::isalnum(static_cast<unsigned char>(line[start - 1])) || line[start - 1] == '_'))
                --start;
            return {line.substr(start, open - start), static_cast<int>(j) + 1};
        }
        return {"", static_cast<int>(i) + 1};
    }
    return {};
}

const CaseVerdict* next_case(const Verdict& verdict) {
    for (const CaseOutcome wanted : {CaseOutcome::failed, CaseOutcome::not_attempted})
        for (const CaseVerdict& each : verdict.cases)
            if (each.outcome == wanted)
                return &each;
    return nullptr;
}

std::string section_to_read(const Repository& repository, const Lab& lab, Track track, const CaseVerdict& each) {
    // The named mistake knows better than the case what there is to be read.
    for (const std::string& name : names_in(each.mistake))
        if (const std::string section = mistake_section(repository, lab, track, name); !section.empty())
            return section;
    return each.section;
}

std::string verdict_text(const Repository& repository, const Lab& lab, Track track, const Verdict& verdict,
                         const Style& style) {
    std::string text = heading(lab, track, verdict, style);
    std::string exercise;
    SaidOnce said;
    for (const CaseVerdict& each : verdict.cases) {
        if (each.exercise != exercise) {
            exercise = each.exercise;
            const std::string number = std::isdigit(static_cast<unsigned char>(exercise[0])) ? "Exercise " : "";
            text += fmt::format("\n{}{}{}\n", style.bold, wrapped(number + visible(exercise), terminal_width(), 0), style.off);
        }
        text += case_line(verdict, each, style);
        if (explained(each.outcome))
            text += details(repository, lab, track, each, style, said);
    }
    return text;
}

std::string verdict_text_short(const Repository& repository, const Lab& lab, Track track,
                               const Verdict& verdict, const Style& style, std::size_t rows) {
    std::string text = heading(lab, track, verdict, style) + "\n";
    const CaseVerdict* first = next_case(verdict);
    SaidOnce said;
    if (first && first->outcome == CaseOutcome::failed)
        text += case_line(verdict, *first, style) + details(repository, lab, track, *first, style, said) + "\n";
    std::string titles;
    for (const CaseVerdict& each : verdict.cases)
        titles += case_line(verdict, each, style);
    constexpr std::size_t below = 9;  // points, what is next, keys
    const bool too_long = rows > 0 && lines_of(text) + lines_of(titles) + below > rows;
    return text + (too_long ? names_by_outcome(verdict, style) : titles);
}

std::string summary_text(const Repository& repository, const Lab& lab, Track track, const Verdict& verdict,
                         const std::string& source, const Style& style) {
    const bool full = verdict.full_marks();
    const auto lines = [](const std::string& words) { return wrapped(words, terminal_width(), 0) + "\n"; };
    std::string text = fmt::format("\n{}{}/{} points{}", full ? style.good : style.bold, verdict.points,
                                   verdict.max_points, style.off);
    if (const int unavailable = verdict.count(CaseOutcome::unavailable_here))
        text += fmt::format(",{}{} case{} unavailable here and not counted", is_narrow() ? "\n" : " ", unavailable,
                            unavailable == 1 ? "" : "s");
    text += fmt::format("{}{}({:.1f} s, seed {}){}\n", is_narrow() ? "\n" : "  ", style.dim, verdict.seconds, visible(verdict.seed),
                        style.off);
    if (!verdict.confinement.empty())
        text += fmt::format("{}{}{}\n", style.dim, wrapped("subject: " + visible(verdict.confinement), terminal_width(), 0), style.off);
    if (const int errors = verdict.count(CaseOutcome::judge_error))
        text += lines(fmt::format("{} case{} could not be judged; that is the judge's fault and takes no points "
                                  "for good. Run the command again.",
                                  errors, errors == 1 ? "" : "s"));
    const CaseVerdict* next = next_case(verdict);
    if (full || !next || source.empty())
        return text;
    const bool untouched =
        verdict.count(CaseOutcome::not_attempted) ==
        static_cast<int>(verdict.cases.size()) - verdict.count(CaseOutcome::unavailable_here);
    const FirstTask task = first_task(source);
    if (untouched && task.line > 0) {
        text += "\n" + lines(fmt::format("Nothing is written yet. Read {}, then open {} at line {}{}.", handout_of(lab),
                                         source_of(lab, track), task.line,
                                         task.function.empty() ? "" : fmt::format(" and write {}()", task.function)));
        text += lines(fmt::format("After that: ./course watch {}{} judges it at every save.", lab.number, track_option(track)));
    } else if (next->outcome == CaseOutcome::failed) {
        text += "\n" + lines(fmt::format("Next: case {}. Read {}#{}, or ask: ./course hint {}{}", next->name, handout_of(lab),
                                         section_to_read(repository, lab, track, *next), next->name, track_option(track)));
    } else {
        text += "\n" + lines(fmt::format(
                           "Next: case {}, {}{}.", next->name, visible(next->title),
                           task.line > 0 ? fmt::format(" ({}:{}{})", source_of(lab, track), task.line,
                                                       task.function.empty() ? "" : fmt::format(", {}()", task.function))
                                         : ""));
    }
    return text;
}

}  // namespace course
