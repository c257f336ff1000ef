// What an instructor opens: the class as a table for gradebooks and as a page, and a page for each student.

#include "class_items.hpp"
#include "class_results.hpp"
#include "terminal.hpp"
#include "verdict.hpp"
#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <set>

using nlohmann::json;

namespace course {
namespace {

constexpr const char* style = R"(<style>
:root { color-scheme: light dark; --page: #ffffff; --ink: #1f2328; --dim: #59636e; --line: #d8dee4; --soft: #f6f8fa; --bar: #0969da; --good: #1a7f37; --bad: #b3261e; --warn: #8a5a00 }
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --ink: #e6edf3; --dim: #9198a1; --line: #30363d; --soft: #161b22; --bar: #4493f8; --good: #3fb950; --bad: #ff7b72; --warn: #d29922 } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; background: var(--page); color: var(--ink); max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .2rem; overflow-wrap: anywhere } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem } p { margin: .3rem 0 .8rem }
a { color: var(--bar) } .dim { color: var(--dim) } .good { color: var(--good) } .bad { color: var(--bad) } .warn { color: var(--warn) }
.facts { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0 } .facts div { background: var(--soft); border: 1px solid var(--line); border-radius: 8px; padding: .5rem .9rem; min-width: 7rem }
.facts b { display: block; font-size: 1.4rem; line-height: 1.3; font-variant-numeric: tabular-nums } .facts span { color: var(--dim); font-size: .85rem }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px }
table { border-collapse: collapse; width: 100% } th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top } tr:last-child td { border-bottom: 0 }
th { background: var(--soft); font-size: .85rem; white-space: nowrap } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
table.who th:first-child, table.who td:first-child { position: sticky; left: 0; background: var(--page); max-width: 14rem; overflow-wrap: anywhere } table.who th:first-child { background: var(--soft) }
table.lost td:first-child { width: 9rem } table.lost td:first-child span { font-variant-numeric: tabular-nums } table.lost .track { margin-top: .15rem } small { display: block; color: var(--dim); overflow-wrap: anywhere }
.track { height: .7rem; background: var(--soft); border-radius: 4px; min-width: 4rem } .track i { display: block; height: 100%; min-width: 2px; background: var(--bar); border-radius: 4px }
.histogram { display: grid; grid-template-columns: auto 1fr auto; gap: .25rem .8rem; align-items: center; max-width: 40rem } .histogram span { font-variant-numeric: tabular-nums; white-space: nowrap }
.case { border: 1px solid var(--line); border-left: 4px solid var(--dim); border-radius: 8px; padding: .5rem .8rem; margin: .5rem 0 } .case.passed { border-left-color: var(--good) } .case.failed { border-left-color: var(--bad) }
.case .head { display: flex; gap: .8rem; justify-content: space-between; align-items: baseline } .case .head b { font-weight: 600 } .case .points { white-space: nowrap; font-variant-numeric: tabular-nums }
.case .outcome { font-size: .85rem; margin-right: .6rem } .case.passed, .case.dim { padding: .15rem .8rem; margin: .25rem 0 } .case.passed b, .case.dim b { font-weight: 400 }
@media (max-width: 36rem) { .case .head { display: block } .case .points { display: block } }
pre { background: var(--soft); border-radius: 6px; padding: .6rem .8rem; margin: .5rem 0 .2rem; font: .85rem/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
@media print { body { max-width: none } .case { break-inside: avoid } }
</style>
)";

std::string page_head(const std::string& title) {
    return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>" + title + "</title>\n" + style + "</head><body>\n";
}

std::string fact(const std::string& value, const std::string& words, const char* look = "") {
    return fmt::format("<div><b class=\"{}\">{}</b><span>{}</span></div>\n", look, value, words);
}

std::string anchor(std::string title) {
    std::replace(title.begin(), title.end(), ' ', '-');
    return xml(title, true);
}

std::string column_of(const json& lab) { return lab.value("lab", "") + " " + lab.value("track", ""); }

std::vector<ClassSummary::Lost> ranked(const std::map<std::pair<std::string, std::string>, int>& counted) {
    std::vector<ClassSummary::Lost> all;
    for (const auto& [name, count] : counted)
        all.push_back({name.first, name.second, count});
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
        if (a.submissions != b.submissions)
            return a.submissions > b.submissions;
        return a.lab != b.lab ? a.lab < b.lab : ::strverscmp(a.name.c_str(), b.name.c_str()) < 0;  // 1.5 before 1.11
    });
    return all;
}

double percent(const ClassSummary::Row& row) { return row.max_points ? 100.0 * row.points / row.max_points : 0; }

std::string facts_of(const ClassSummary& summary) {
    std::vector<double> all;
    int refused = 0, full = 0;
    for (const ClassSummary::Row& row : summary.rows()) {
        refused += !row.refused.empty();
        if (row.refused.empty()) {
            all.push_back(percent(row));
            full += row.max_points > 0 && row.points == row.max_points;
        }
    }
    std::sort(all.begin(), all.end());
    std::string text = "<div class=\"facts\">\n" + fact(std::to_string(summary.rows().size()), "submissions");
    if (!all.empty()) {
        double sum = 0;
        for (const double each : all)
            sum += each;
        const std::size_t half = all.size() / 2;
        text += fact(fmt::format("{:.0f} %", sum / static_cast<double>(all.size())), "mean") + fact(fmt::format("{:.0f} %", all.size() % 2 ? all[half] : (all[half - 1] + all[half]) / 2), "median");
    }
    text += fact(std::to_string(full), "full marks", "good");
    if (refused)
        text += fact(std::to_string(refused), "refused", "bad");
    if (summary.to_look_at())
        text += fact(std::to_string(summary.to_look_at()), "to be looked at: the judge failed", "warn");
    return text + "</div>\n";
}

std::string histogram_of(const ClassSummary& summary) {
    int tenths[10] = {}, most = 1;
    for (const ClassSummary::Row& row : summary.rows())
        if (row.refused.empty())
            most = std::max(most, ++tenths[std::min(9, static_cast<int>(percent(row) / 10))]);
    std::string text = "<h2>Points</h2>\n<div class=\"histogram\">\n";
    for (int tenth = 9; tenth >= 0; --tenth)
        text += fmt::format("<span class=\"dim\">{}–{} %</span><div class=\"track\">{}</div><span>{}</span>\n", tenth * 10, tenth == 9 ? 100 : tenth * 10 + 9,
                            tenths[tenth] ? fmt::format("<i style=\"width:{:.1f}%\"></i>", 100.0 * tenths[tenth] / most) : "", tenths[tenth]);
    return text + "</div>\n";
}

std::string table_of_lost(const std::vector<ClassSummary::Lost>& lost, const char* what, std::size_t most, std::size_t submissions, const MistakeTitle& title) {
    std::string text = fmt::format("<div class=\"scroll\"><table class=\"lost\"><tr><th>submissions</th><th>{}</th></tr>\n", what);
    for (std::size_t i = 0; i < std::min(lost.size(), most); ++i) {
        const std::string words = title ? title(lost[i].lab, lost[i].name) : std::string();
        text += fmt::format("<tr><td><span>{}</span><div class=\"track\"><i style=\"width:{:.1f}%\"></i></div></td><td>{}<small>{}{}</small></td></tr>\n", lost[i].submissions,
                            100.0 * lost[i].submissions / static_cast<double>(submissions), xml(words.empty() ? lost[i].name : words), xml(lost[i].lab), words.empty() ? "" : ": " + xml(lost[i].name));
    }
    return text + "</table></div>\n";
}

std::string cell_of(const ClassSummary::Cell* cell) {
    if (!cell || cell->status == "not handed in")
        return "<td class=\"n dim\">–</td>";
    if (cell->status != "judged")
        return fmt::format("<td class=\"{}\">{}</td>", cell->status == "judge error" ? "warn" : "bad", xml(cell->status));
    return fmt::format("<td class=\"n{}\">{}</td>", cell->points == cell->max_points ? " good" : cell->points == 0 ? " bad" : "", cell->points);
}

std::string table_of_students(const ClassSummary& summary) {
    const std::vector<std::string> columns = summary.columns();
    std::string text = "<h2>Who</h2>\n<div class=\"scroll\"><table class=\"who\"><tr><th>student</th><th class=\"n\">points</th>";
    for (const std::string& column : columns)
        text += fmt::format("<th class=\"n\">{}</th>", xml(column));
    text += "</tr>\n";
    for (const ClassSummary::Row& row : summary.rows()) {
        text += fmt::format("<tr><td><a href=\"students/{}.html\">{}</a></td><td class=\"n\">{}/{}</td>", xml(row.key, true), xml(visible(row.student)), row.points, row.max_points);
        if (!row.refused.empty())
            text += fmt::format("<td class=\"bad\" colspan=\"{}\">refused: {}</td>", std::max<std::size_t>(1, columns.size()), xml(visible(row.refused)));
        else
            for (const std::string& column : columns) {
                const auto cell = row.labs.find(column);
                text += cell_of(cell == row.labs.end() ? nullptr : &cell->second);
            }
        text += "</tr>\n";
    }
    return text + "</table></div>\n";
}

}  // namespace

void ClassSummary::add(std::size_t at, const ClassResult& result) {
    Row row{result.value("student", ""), result.value("key", ""), "", points_of(result), max_points_of(result), needs_a_look(result), {}};
    if (const json problems = result.value("problems", json::array()); !problems.empty())
        row.refused = problems[0].get<std::string>();
    for (const json& lab : result.value("labs", json::array()))
        row.labs[column_of(lab)] = {lab.value("points", 0), lab.value("max_points", 0), lab.value("status", "")};
    std::set<std::pair<std::string, std::string>> mistakes, cases;
    for (const Item& item : items_of(result))
        if (item.outcome == "failed") {
            cases.emplace(item.lab + " " + item.track, item.name);
            for (const std::string& name : names_in(item.mistake))
                mistakes.emplace(item.lab + " " + item.track, name);
        }
    const std::lock_guard lock(mutex_);
    for (const auto& each : mistakes)
        ++mistakes_[each];
    for (const auto& each : cases)
        ++cases_[each];
    isolation_ = result.value("isolation", "");
    course_ = result.value("course", "");
    rows_[at] = std::move(row);
}

std::vector<std::string> ClassSummary::columns() const {
    std::set<std::string> names;
    for (const Row& row : rows_)
        for (const auto& [name, cell] : row.labs)
            names.insert(name);
    return {names.begin(), names.end()};
}

std::vector<ClassSummary::Lost> ClassSummary::mistakes() const { return ranked(mistakes_); }
std::vector<ClassSummary::Lost> ClassSummary::cases() const { return ranked(cases_); }

int ClassSummary::to_look_at() const {
    return static_cast<int>(std::count_if(rows_.begin(), rows_.end(), [](const Row& row) { return row.look; }));
}

std::string csv_field(const std::string& text) {
    // A spreadsheet takes a text that begins so for a formula.
    std::string safe = !text.empty() && std::string("=+-@\t\r").find(text[0]) != std::string::npos ? "'" + text : text;
    if (safe.find_first_of(",\"\r\n") == std::string::npos)
        return safe;
    std::string quoted = "\"";
    for (const char c : safe)
        quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return quoted + "\"";
}

std::string class_csv(const ClassSummary& summary) {
    const std::vector<std::string> columns = summary.columns();
    std::string text = "student,points,max points,status";
    for (const std::string& column : columns)
        text += "," + csv_field(column);
    text += "\r\n";
    for (const ClassSummary::Row& row : summary.rows()) {
        text += fmt::format("{},{},{},{}", csv_field(row.student), row.points, row.max_points, csv_field(row.look ? "needs a look" : row.refused.empty() ? "graded" : "refused: " + row.refused));
        for (const std::string& column : columns) {
            const auto cell = row.labs.find(column);
            text += "," + (cell != row.labs.end() && cell->second.status != "judge error" ? std::to_string(cell->second.points) : std::string());
        }
        text += "\r\n";
    }
    return text;
}

std::string class_html(const ClassSummary& summary, const MistakeTitle& title) {
    std::string text = page_head("IPC Labs: the class") + "<h1>IPC Labs: the class</h1>\n";
    text += fmt::format("<p class=\"dim\">Course {}, graded with isolation <em>{}</em>. The same as a table: <a href=\"class.csv\">class.csv</a>.</p>\n", xml(summary.course()), xml(summary.isolation()));
    text += facts_of(summary) + histogram_of(summary) + "<h2>Common mistakes</h2>\n";
    const std::vector<ClassSummary::Lost> mistakes = summary.mistakes(), cases = summary.cases();
    if (mistakes.empty())
        text += "<p>None that has a name.</p>\n";
    else
        text += "<p>What to explain in the next lecture: how many submissions show the signs of it. A symptom that fits several mistakes counts for each.</p>\n" + table_of_lost(mistakes, "mistake", 20, summary.rows().size(), title);
    if (!cases.empty())
        text += "<h2>Cases that most submissions fail</h2>\n" + table_of_lost(cases, "case", 10, summary.rows().size(), nullptr);
    return text + table_of_students(summary) + "</body></html>\n";
}

namespace {

std::string card_of(const Item& item) {
    const char* kind = item.outcome == "passed" ? "passed" : item.outcome == "not attempted" || item.outcome == "not handed in" ? "dim" : item.outcome == "judge error" ? "warn" : "failed";
    const char* look = item.outcome == "passed" ? "good" : kind == std::string("failed") ? "bad" : kind;
    return fmt::format("<div class=\"case {}\"><div class=\"head\"><b>{}</b><span class=\"points\"><span class=\"outcome {}\">{}</span> {}/{}</span></div>{}</div>\n", kind, xml(item.name), look,
                       xml(item.outcome), item.points, item.max_points, item.words.empty() ? "" : "<pre>" + xml(item.words) + "</pre>");
}

// What there is at one look, and the way to it.
std::string overview_of(const ClassResult& result) {
    std::string text = "<div class=\"scroll\"><table><tr><th>lab</th><th>status</th><th class=\"n\">points</th></tr>\n";
    for (const json& lab : result.value("labs", json::array())) {
        const std::string status = lab.value("status", ""), column = column_of(lab);
        text += fmt::format("<tr><td><a href=\"#{}\">{}</a></td><td class=\"{}\">{}</td><td class=\"n\">{}</td></tr>\n", anchor(column), xml(column),
                            status == "judged" ? "" : status == "not handed in" ? "dim" : status == "judge error" ? "warn" : "bad", xml(status),
                            status == "judge error" ? "–" : fmt::format("{}/{}", lab.value("points", 0), lab.value("max_points", 0)));
    }
    return text + "</table></div>\n";
}

}  // namespace

std::string student_html(const ClassResult& result) {
    const std::string student = xml(visible(result.value("student", "")));
    const int points = points_of(result), most = max_points_of(result);
    std::string text = page_head("IPC Labs: " + student) + fmt::format("<h1>{}</h1>\n<p class=\"dim\">Graded {}; course {}, isolation {}</p>\n", student, xml(result.value("graded_at", "")),
                                                                       xml(result.value("course", "")), xml(result.value("isolation", "")));
    text += "<div class=\"facts\">\n" + fact(fmt::format("{} of {}", points, most), "points", most && points == most ? "good" : "") + "</div>\n" + overview_of(result);
    std::string heading;
    for (const Item& item : items_of(result)) {
        const std::string now = item.lab.empty() ? "The submission" : item.lab + " " + item.track;
        if (now != heading)
            text += fmt::format("<h2 id=\"{}\">{}</h2>\n", anchor(now), xml(heading = now));
        text += card_of(item);
    }
    return text + "</body></html>\n";
}

}  // namespace course
