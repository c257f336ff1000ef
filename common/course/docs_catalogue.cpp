#include "docs_catalogue.hpp"

#include "docs_text.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "mistake.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <regex>
#include <tuple>

namespace fs = std::filesystem;

namespace course::site {
namespace {

// A C++ string literal's inside, as it is meant.
std::string unquoted(const std::string& literal) {
    return replaced(replaced(literal, "\\\"", "\""), "\\\\", "\\");
}

// By number: 1.2 before 1.10.
std::pair<int, int> order_of(const Case& each) {
    const std::size_t dot = each.name.find('.');
    return {std::stoi(each.name.substr(0, dot)), std::stoi(each.name.substr(dot + 1))};
}

// The text up to the `{` behind a case's decorators; strings in it may have braces of their own.
std::string decorators_at(const std::string& source, std::size_t from) {
    bool in_string = false;
    for (std::size_t i = from; i < source.size(); ++i) {
        if (source[i] == '\\' && in_string)
            ++i;
        else if (source[i] == '"')
            in_string = !in_string;
        else if (source[i] == '{' && !in_string)
            return source.substr(from, i - from);
    }
    return source.substr(from);
}

// What a case earns on posix and on win32: "4", "by_track(4, 6)", "posix ? 4 : 6", "windows ? 6 : 4".
std::pair<int, int> points_in(const std::string& argument) {
    static const std::regex one(R"(\d+)"), two(R"((?:\w+\(|(posix|windows) \? )(\d+)(?:, | : )(\d+))");
    std::smatch part;
    if (std::regex_match(argument, one))
        return {std::stoi(argument), std::stoi(argument)};
    if (!std::regex_match(argument, part, two))
        return {0, 0};
    const std::pair found(std::stoi(part[2]), std::stoi(part[3]));
    return part[1] == "windows" ? std::pair(found.second, found.first) : found;
}

void read_cases(const std::string& source, bool posix, bool win32, std::vector<Case>& cases) {
    static const std::regex start(R"-(\b(EXERCISE|CASE)\("((?:[^"\\]|\\.)*)")-");
    static const std::regex points(R"(\bpoints\((.*?)\)+\s*(?:\*|$))"), section(R"-(\bsection\("([^"]*)"\))-"),
        number(R"((\d+\.\d+) +(.*))");
    std::string exercise;
    for (std::sregex_iterator found(source.begin(), source.end(), start), end; found != end; ++found) {
        const std::string words = unquoted((*found)[2]);
        std::smatch part;
        if ((*found)[1] == "EXERCISE") {
            exercise = words;
        } else if (std::regex_match(words, part, number)) {
            Case each{part[1], part[2], exercise, "", 0, 0, posix, win32, false};
            const std::string decorators =
                decorators_at(source, static_cast<std::size_t>(found->position() + found->length()));
            if (std::regex_search(decorators, part, points))
                std::tie(each.points_posix, each.points_win32) = points_in(part[1]);
            if (std::regex_search(decorators, part, section))
                each.section = part[1];
            each.windows_only = decorators.find("windows_only(") != std::string::npos;
            cases.push_back(each);
        }
    }
}

// A mistake as both tracks have it on file, where its header is the same.
struct Entry {
    std::string name, title, says, what, happens, section;
    std::vector<std::string> cases;
    std::string tracks;
    std::vector<std::pair<std::string, std::string>> patches;  // track, diff
};

std::map<std::string, std::string> header_of(const std::string& patch) {
    std::map<std::string, std::string> keys;
    std::string last;
    for (const std::string& line : lines_of(patch.substr(0, patch.find("\n--- ") + 1))) {
        const std::size_t colon = line.find(": ");
        if (starts_with(line, "  ") && !last.empty()) {
            keys[last] += " " + line.substr(2);
        } else if (colon != std::string::npos) {
            last = line.substr(0, colon);
            keys[last] = line.substr(colon + 2);
        }
    }
    return keys;
}

// A header's text as HTML: `code` in backquotes is all the markup that it has.
std::string prose(std::string_view text) {
    std::string html;
    bool code = false;
    for (const std::string& part : [&] {
             std::vector<std::string> parts(1);
             for (const char c : text) {
                 if (c == '`')
                     parts.emplace_back();
                 else
                     parts.back() += c;
             }
             return parts;
         }()) {
        html += code ? "<code>" + html_escaped(part) + "</code>" : html_escaped(part);
        code = !code;
    }
    return html;
}

std::string markdown_escaped(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        if (std::string_view("\\`*_[]<>#|&").find(c) != std::string_view::npos)
            escaped += '\\';
        escaped += c;
    }
    return escaped;
}

std::vector<Entry> entries_of(const Repository& repository, const Lab& lab) {
    std::vector<Entry> entries;
    for (const Track track : {Track::posix, Track::win32})
        for (const Mistake& mistake : mistakes_of(repository, lab, track)) {
            const std::string track_name(name_of(track));
            const fs::path file =
                repository / "tests" / lab.name / "mistakes" / track_name / (mistake.name + ".patch");
            const std::string patch = read_file(file).value_or("");
            std::map<std::string, std::string> header = header_of(patch);
            Entry entry{mistake.name,   mistake.title,     mistake.says,
                        header["What"], header["Happens"], mistake.section,
                        mistake.cases,  track_name,        {}};
            const std::string diff = patch.substr(std::min(patch.find("\n--- ") + 1, patch.size()));
            const auto same = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) {
                return std::tie(e.name, e.title, e.says, e.what, e.happens, e.section) ==
                           std::tie(entry.name, entry.title, entry.says, entry.what, entry.happens,
                                    entry.section) &&
                       e.cases == entry.cases;
            });
            if (same != entries.end()) {
                same->tracks = "both tracks";
                same->patches.emplace_back(track_name, diff);
            } else {
                entry.patches.emplace_back(track_name, diff);
                entries.push_back(entry);
            }
        }
    std::stable_sort(entries.begin(), entries.end(),
                     [](const Entry& a, const Entry& b) { return a.name < b.name; });
    return entries;
}

std::string entry_text(const Entry& entry, const Lab& lab, const std::vector<Case>& cases,
                       const Heading* section) {
    std::string caught;
    for (const std::string& name : entry.cases) {
        const auto found =
            // The tracks may have different cases of one number.
            std::find_if(cases.begin(), cases.end(), [&](const Case& c) {
                return c.name == name && (entry.tracks == "win32" ? c.win32 : entry.tracks == "posix" ? c.posix : true);
            });
        caught += fmt::format("{}<strong>{}</strong>{}", caught.empty() ? "" : "<br>", html_escaped(name),
                              found == cases.end() ? "" : " " + html_escaped(found->title));
    }
    const std::string handout = "lab-" + lab.name + ".html";
    std::string text = fmt::format(
        "<dl class=\"mistake\"><dt>On file as</dt><dd><code>{}</code> <span class=\"tag {}\">{}</span></dd>\n"
        "<dt>What is done</dt><dd>{}</dd>\n<dt>What happens</dt><dd>{}</dd>\n"
        "<dt>The judge says</dt><dd><q class=\"says\">… {} …</q></dd>\n<dt>Caught by</dt><dd>{}</dd>\n",
        html_escaped(entry.name), entry.tracks == "both tracks" ? "both" : entry.tracks, entry.tracks,
        prose(entry.what), prose(entry.happens), html_escaped(entry.says), caught);
    if (section)
        text += fmt::format("<dt>Read</dt><dd><a href=\"{}#{}\">{}</a></dd>", handout, section->anchor,
                            html_escaped(section->text));
    return text + "</dl>\n\n";
}

}  // namespace

std::vector<Case> cases_of(const Repository& repository, const Lab& lab) {
    std::vector<Case> cases;
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(repository / "tests" / lab.name, ignored)) {
        const std::string name = entry.path().filename().string();
        if (entry.path().extension() == ".cpp")
            read_cases(read_file(entry.path()).value_or(""), !name.ends_with("_win32.cpp"), !name.ends_with("_posix.cpp"), cases);
    }
    if (cases.empty())
        throw Failure(
            exit_code::usage,
            fmt::format("no file in tests/{} has a line of the form CASE(\"1.1 …\" that the site could list",
                        lab.name));
    std::stable_sort(cases.begin(), cases.end(),
                     [](const Case& a, const Case& b) { return std::pair(order_of(a), !a.posix) < std::pair(order_of(b), !b.posix); });
    return cases;
}

namespace {

std::string case_row(const Case& each) {
    std::string where = each.posix && each.win32 ? ""
                        : each.posix             ? " *(posix only)*"
                                                 : " *(win32 only)*";
    if (each.windows_only)
        where = " *(on Windows only; unavailable under Wine)*";
    const std::string title = markdown_escaped(each.title);
    std::string points = std::to_string(each.posix ? each.points_posix : each.points_win32);
    if (each.posix && each.win32 && each.points_posix != each.points_win32)
        points += fmt::format(" (win32: {})", each.points_win32);
    return fmt::format("| {} | {} | {}{} |\n", each.name, points,
                       each.section.empty() ? title : fmt::format("[{}](#{})", title, each.section), where);
}

}  // namespace

std::string case_table(const std::vector<Case>& cases) {
    // An exercise's cases are not neighbours where a track has some of its own.
    std::vector<std::pair<std::string, std::string>> exercises;
    for (const Case& each : cases) {
        auto exercise = std::find_if(exercises.begin(), exercises.end(),
                                     [&](const auto& known) { return known.first == each.exercise; });
        if (exercise == exercises.end())
            exercise = exercises.insert(exercises.end(), {each.exercise, ""});
        exercise->second += case_row(each);
    }
    std::string text;
    for (const auto& [exercise, rows] : exercises)
        text += fmt::format("\n**{}**\n\n| case | points | what the judge wants to see |\n|---|---|---|\n{}",
                            markdown_escaped(exercise), rows);
    return text;
}

std::size_t mistakes_on_file(const Repository& repository, const Lab& lab, Track track) {
    return mistakes_of(repository, lab, track).size();
}

Page mistakes_page(const Repository& repository, const Lab& lab, const Page& handout,
                   const std::vector<Case>& cases, bool patches) {
    Page page;
    page.id = "mistakes-" + lab.name;
    const std::size_t paren = handout.title.find(" (");
    page.title = fmt::format("{}: mistakes (lab {})", handout.title.substr(0, paren), lab.number);
    const std::vector<Entry> entries = entries_of(repository, lab);
    page.markdown =
        fmt::format("Mistakes that are really made in [this lab](lab-{}.html). Each is on file as a changed "
                    "solution, and a check "
                    "proves that the judge catches it by the case and with the words that stand here.\n\n",
                    lab.name);
    std::vector<bool> shown(entries.size());
    const auto show = [&](const Heading* section) {
        bool titled = false;
        for (std::size_t i = 0; i < entries.size(); ++i) {
            if (shown[i] || (section && entries[i].section != section->anchor))
                continue;
            shown[i] = true;
            if (!titled)
                page.markdown +=
                    fmt::format("## {} {{#in-{}}}\n\n", section ? markdown_escaped(section->text) : "Others",
                                section ? section->anchor : "others");
            titled = true;
            const bool twice = std::count_if(entries.begin(), entries.end(),
                                             [&](const Entry& e) { return e.name == entries[i].name; }) > 1;
            const bool same_title = std::count_if(entries.begin(), entries.end(), [&](const Entry& e) {
                                        return e.title == entries[i].title;
                                    }) > 1;
            page.markdown += fmt::format("### {}{} {{#{}{}}}\n\n", markdown_escaped(entries[i].title),
                                         same_title ? " (" + entries[i].tracks + ")" : "", entries[i].name,
                                         twice && entries[i].tracks == "win32" ? "-win32" : "");
            page.markdown += entry_text(entries[i], lab, cases, section);
            if (patches)
                for (const auto& [track, diff] : entries[i].patches)
                    page.markdown += "```diff\n" + diff + "```\n\n";
        }
    };
    for (const Heading& section : handout.headings)
        show(&section);
    show(nullptr);
    return page;
}

}  // namespace course::site
