#include "class_results.hpp"

#include "failure.hpp"
#include "labs.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>

using nlohmann::json;

namespace course {
namespace {

// One line of a result in whatever format: a case, or what stands for a whole lab.
struct Item {
    std::string lab, track, name, outcome, words;
    int points = 0, max_points = 0;
    double seconds = 0;
};

std::string words_of(const json& each) {
    std::string words = each.value("message", "");
    if (const std::string waiting = each.value("waiting", ""); !waiting.empty())
        words += (words.empty() ? "" : "\n") + ("waiting: " + waiting);
    if (const std::string mistake = each.value("mistake", ""); !mistake.empty())
        words += (words.empty() ? "" : "\n") + ("mistake: " + mistake);
    return visible(words);
}

std::string words_for_status(const json& lab) {
    const std::string status = lab.value("status", "");
    if (status == "does not compile")
        return "The file does not compile:\n" + visible(lab.value("compiler", ""));
    if (status == "judge error")
        return "The judge failed. That is the course's fault; an instructor looks at it, and no points were taken for it.";
    if (status == "not handed in")
        return "Nothing was handed in for this lab.";
    return status;
}

std::vector<Item> items_of(const ClassResult& result) {
    std::vector<Item> items;
    for (const json& lab : result.value("labs", json::array())) {
        const std::string where = lab.value("lab", ""), track = lab.value("track", "");
        if (lab.value("status", "") != "judged" || !lab.contains("verdict")) {
            items.push_back({where, track, "whole lab", lab.value("status", ""), words_for_status(lab), 0, lab.value("max_points", 100), lab.value("seconds", 0.0)});
            continue;
        }
        for (const json& each : lab["verdict"].value("cases", json::array())) {
            const std::string outcome = each.value("outcome", "");
            if (outcome == "unavailable here")
                continue;
            items.push_back({where, track, each.value("name", "") + " " + visible(each.value("title", "")), outcome, outcome == "passed" ? "" : words_of(each),
                             each.value("points", 0), each.value("max_points", 0), each.value("seconds", 0.0)});
        }
    }
    for (const json& problem : result.value("problems", json::array()))
        items.push_back({"", "", "submission", "refused", "The submission was refused: " + visible(problem.get<std::string>()), 0, 0, 0});
    return items;
}

std::string title_of(const Item& item) { return item.lab.empty() ? item.name : fmt::format("{} {} {}", item.lab, item.track, item.name); }

std::string xml(const std::string& text, bool attribute = false) {
    std::string all;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '<')
            all += "&lt;";
        else if (c == '>')
            all += "&gt;";
        else if (c == '&')
            all += "&amp;";
        else if (c == '"')
            all += "&quot;";
        else if (c == '\n' && attribute)
            all += "&#10;";
        else if (byte < 0x20 && c != '\n' && c != '\t')
            all += '?';  // XML 1.0 has no way to write it
        else
            all += c;
    }
    return all;
}

// Gradescope shows output as it is; a student's own bytes were made visible before.
json gradescope(const ClassResult& result) {
    json tests = json::array();
    for (const Item& item : items_of(result))
        tests.push_back({{"name", title_of(item)}, {"score", item.points}, {"max_score", item.max_points}, {"output", item.words},
                         {"output_format", "text"}, {"status", item.outcome == "passed" ? "passed" : "failed"}});
    return {{"tests", tests}, {"output_format", "text"}, {"visibility", "visible"}, {"output", fmt::format("Judged by IPC Labs {}; isolation: {}.", result.value("course", ""), result.value("isolation", ""))},
            {"extra_data", {{"course", result.value("course", "")}, {"isolation", result.value("isolation", "")}}}, {"execution_time", static_cast<int>(result.value("seconds", 0.0) + 0.5)}};
}

// Integer scores, and no top-level keys but these.
json classroom50(const ClassResult& result) {
    json tests = json::array();
    for (const Item& item : items_of(result))
        tests.push_back({{"test-name", title_of(item)}, {"passed", item.outcome == "passed"}, {"score", item.points}, {"max-score", item.max_points}});
    return {{"schema", "classroom50/result/v1"}, {"classroom", ""}, {"assignment", "ipc-labs"}, {"assignment_type", "individual"}, {"owner", result.value("student", "")},
            {"submission", result.value("key", "")}, {"commit", ""}, {"release", ""}, {"review", ""}, {"datetime", result.value("graded_at", "")},
            {"score", points_of(result)}, {"max-score", max_points_of(result)}, {"tests", tests}};
}

// Autolab reads the last line of standard output.
std::string autolab(const ClassResult& result) {
    json scores = json::object();
    std::string words;
    for (const Item& item : items_of(result)) {
        words += fmt::format("{}: {} {}/{}\n{}", title_of(item), item.outcome, item.points, item.max_points, item.words.empty() ? "" : item.words + "\n");
        if (!item.lab.empty())
            scores[item.lab + " " + item.track] = scores.value(item.lab + " " + item.track, 0) + item.points;
    }
    return words + json{{"scores", scores}}.dump() + "\n";
}

json prairielearn(const ClassResult& result) {
    json tests = json::array();
    for (const Item& item : items_of(result))
        tests.push_back({{"name", title_of(item)}, {"points", item.points}, {"max_points", item.max_points}, {"message", item.outcome}, {"output", item.words}});
    const int most = max_points_of(result);
    return {{"score", most ? static_cast<double>(points_of(result)) / most : 0.0}, {"succeeded", true}, {"tests", tests}};
}

std::string junit(const ClassResult& result) {
    const std::vector<Item> items = items_of(result);
    const auto failures = std::count_if(items.begin(), items.end(), [](const Item& item) { return item.outcome != "passed" && item.outcome != "judge error"; });
    const auto errors = std::count_if(items.begin(), items.end(), [](const Item& item) { return item.outcome == "judge error"; });
    std::string text = fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\" time=\"{:.3f}\" timestamp=\"{}\">\n",
                                   xml(result.value("student", ""), true), items.size(), failures, errors, result.value("seconds", 0.0), xml(result.value("graded_at", ""), true));
    for (const Item& item : items) {
        text += fmt::format("<testcase classname=\"{}\" name=\"{}\" time=\"{:.3f}\"", xml(item.lab.empty() ? "submission" : item.lab + "." + item.track, true), xml(item.name, true), item.seconds);
        if (item.outcome == "passed")
            text += "/>\n";
        else
            text += fmt::format("><{0} message=\"{1}\">{2}</{0}></testcase>\n", item.outcome == "judge error" ? "error" : "failure", xml(item.outcome, true), xml(item.words));
    }
    return text + "</testsuite>\n</testsuites>\n";
}

// Moodle's Virtual Programming Lab reads comments and the grade from standard output.
std::string vpl(const ClassResult& result) {
    std::string text;
    for (const Item& item : items_of(result)) {
        text += fmt::format("<|--\n-{} ({}/{})\n", title_of(item), item.points, item.max_points);
        for (std::size_t from = 0; !item.words.empty() && from <= item.words.size();) {
            const std::size_t end = std::min(item.words.find('\n', from), item.words.size());
            text += ">" + item.words.substr(from, end - from) + "\n";
            from = end + 1;
        }
        text += "--|>\n";
    }
    const int most = max_points_of(result);
    return text + fmt::format("Grade :=>> {:.2f}\n", most ? 100.0 * points_of(result) / most : 0.0);
}

constexpr const char* style = R"(<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --good: #1a7f37; --bad: #b3261e; --dim: #59636e; --line: #d1d9e0; --bar: #0969da; --page: #fff; --ink: #1f2328; --soft: #f6f8fa }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #ff7b72; --dim: #9198a1; --line: #3d444d; --bar: #4493f8; --page: #0d1117; --ink: #e6edf3; --soft: #151b23 } }
body { font: 16px/1.5 system-ui, sans-serif; background: var(--page); color: var(--ink); max-width: 75rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem } a { color: var(--bar) }
.scroll { overflow-x: auto } table { border-collapse: collapse; min-width: 30rem } th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.good { color: var(--good) } .bad { color: var(--bad) } .dim { color: var(--dim) }
pre { background: var(--soft); padding: .7rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 6px }
.bar { display: inline-block; height: .8rem; background: var(--bar); border-radius: 2px; vertical-align: middle } .label { display: inline-block; width: 7rem }
</style>
)";

std::string column_of(const json& lab) { return lab.value("lab", "") + " " + lab.value("track", ""); }

std::vector<std::string> columns_of(const std::vector<ClassResult>& results) {
    std::set<std::string> names;
    for (const ClassResult& result : results)
        for (const json& lab : result.value("labs", json::array()))
            names.insert(column_of(lab));
    return {names.begin(), names.end()};
}

const json* lab_in(const ClassResult& result, const std::string& column) {
    const auto labs = result.find("labs");
    if (labs != result.end())
        for (const json& lab : *labs)
            if (column_of(lab) == column)
                return &lab;
    return nullptr;
}

}  // namespace

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

int points_of(const ClassResult& result) {
    int sum = 0;
    for (const json& lab : result.value("labs", json::array()))
        sum += lab.value("points", 0);
    return sum;
}

int max_points_of(const ClassResult& result) {
    int sum = 0;
    for (const json& lab : result.value("labs", json::array()))
        sum += lab.value("max_points", 0);
    return sum;
}

bool needs_a_look(const ClassResult& result) {
    const json labs = result.value("labs", json::array());
    return std::any_of(labs.begin(), labs.end(), [](const json& lab) { return lab.value("status", "") == "judge error"; });
}

const std::vector<std::string>& result_formats() {
    static const std::vector<std::string> names = {"gradescope", "classroom50", "autolab", "prairielearn", "junit", "vpl"};
    return names;
}

ResultFile rendered(const std::string& format, const ClassResult& result) {
    const std::string base = format + "/" + result.value("key", "student");
    const auto dumped = [](const json& value) { return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n"; };
    if (format == "gradescope")
        return {base + ".json", dumped(gradescope(result))};
    if (format == "classroom50")
        return {base + ".json", dumped(classroom50(result))};
    if (format == "autolab")
        return {base + ".txt", autolab(result)};
    if (format == "prairielearn")
        return {base + ".json", dumped(prairielearn(result))};
    if (format == "junit")
        return {base + ".xml", junit(result)};
    if (format == "vpl")
        return {base + ".txt", vpl(result)};
    throw Failure(exit_code::usage, fmt::format("there is no format '{}'; the formats are {}", format, joined(result_formats())));
}

std::string class_csv(const std::vector<ClassResult>& results) {
    const std::vector<std::string> columns = columns_of(results);
    std::string text = "student,points,max points,status";
    for (const std::string& column : columns)
        text += "," + csv_field(column);
    text += "\r\n";
    for (const ClassResult& result : results) {
        const json problems = result.value("problems", json::array());
        text += fmt::format("{},{},{},{}", csv_field(result.value("student", "")), points_of(result), max_points_of(result),
                            csv_field(needs_a_look(result) ? "needs a look" : problems.empty() ? "graded" : "refused: " + problems[0].get<std::string>()));
        for (const std::string& column : columns) {
            const json* lab = lab_in(result, column);
            text += "," + (lab && lab->value("status", "") != "judge error" ? std::to_string(lab->value("points", 0)) : std::string());
        }
        text += "\r\n";
    }
    return text;
}

std::string class_html(const std::vector<ClassResult>& results) {
    const std::vector<std::string> columns = columns_of(results);
    std::string text = std::string("<!doctype html>\n<html lang=\"en\"><head><title>IPC Labs: the class</title>") + style + "</head><body>\n<h1>IPC Labs: the class</h1>\n";
    int look = 0, refused = 0;
    std::map<int, int> tenths;
    std::map<std::string, int> mistakes;
    for (const ClassResult& result : results) {
        look += needs_a_look(result);
        refused += !result.value("problems", json::array()).empty();
        if (const int most = max_points_of(result))
            ++tenths[std::min(9, 10 * points_of(result) / most)];
        std::set<std::string> own;
        for (const Item& item : items_of(result))
            if (const std::size_t at = item.words.rfind("mistake: "); at != std::string::npos && item.outcome == "failed")
                own.insert(item.lab + ": " + item.words.substr(at + 9));
        for (const std::string& each : own)
            ++mistakes[each];
    }
    text += fmt::format("<p>{} submissions{}{}.</p>\n", results.size(), look ? fmt::format(", <span class=\"bad\">{} to be looked at</span> (the judge failed)", look) : "",
                        refused ? fmt::format(", {} refused", refused) : "");
    text += "<h2>Points</h2>\n<div>\n";
    for (int tenth = 9; tenth >= 0; --tenth)
        text += fmt::format("<div><span class=\"label\">{}–{} %</span> <span class=\"bar\" style=\"width:{}rem\"></span> {}</div>\n", tenth * 10, tenth == 9 ? 100 : tenth * 10 + 9,
                            results.empty() ? 0 : 30.0 * tenths[tenth] / static_cast<double>(results.size()), tenths[tenth]);
    text += "</div>\n<h2>Common mistakes</h2>\n";
    std::vector<std::pair<int, std::string>> ranked;
    for (const auto& [name, count] : mistakes)
        ranked.emplace_back(-count, name);
    std::sort(ranked.begin(), ranked.end());
    if (ranked.empty())
        text += "<p>None that has a name.</p>\n";
    else {
        text += "<p>What to explain in the next lecture: how many submissions had it.</p>\n<div class=\"scroll\"><table><tr><th class=\"n\">submissions</th><th>mistake</th></tr>\n";
        for (std::size_t i = 0; i < std::min<std::size_t>(ranked.size(), 20); ++i)
            text += fmt::format("<tr><td class=\"n\">{}</td><td>{}</td></tr>\n", -ranked[i].first, xml(ranked[i].second));
        text += "</table></div>\n";
    }
    text += "<h2>Who</h2>\n<div class=\"scroll\"><table><tr><th>student</th><th class=\"n\">points</th>";
    for (const std::string& column : columns)
        text += fmt::format("<th class=\"n\">{}</th>", xml(column));
    text += "</tr>\n";
    for (const ClassResult& result : results) {
        text += fmt::format("<tr><td><a href=\"students/{}.html\">{}</a></td><td class=\"n\">{}/{}</td>", xml(result.value("key", ""), true), xml(visible(result.value("student", ""))), points_of(result), max_points_of(result));
        for (const std::string& column : columns) {
            const json* lab = lab_in(result, column);
            const std::string status = lab ? lab->value("status", "") : "not handed in";
            text += status == "judged" ? fmt::format("<td class=\"n\">{}</td>", lab->value("points", 0)) : fmt::format("<td class=\"{}\">{}</td>", status == "not handed in" ? "dim" : "bad", xml(status));
        }
        text += "</tr>\n";
    }
    return text + "</table></div>\n</body></html>\n";
}

std::string student_html(const ClassResult& result) {
    const std::string student = xml(visible(result.value("student", "")));
    std::string text = fmt::format("<!doctype html>\n<html lang=\"en\"><head><title>IPC Labs: {}</title>{}</head><body>\n<h1>{}</h1>\n<p>{} of {} points, graded {}; course {}, isolation {}.</p>\n", student, style, student,
                                   points_of(result), max_points_of(result), xml(result.value("graded_at", "")), xml(result.value("course", "")), xml(result.value("isolation", "")));
    std::string heading;
    bool table = false;
    for (const Item& item : items_of(result)) {
        const std::string now = item.lab.empty() ? "The submission" : item.lab + " " + item.track;
        if (now != heading) {
            text += fmt::format("{}<h2>{}</h2>\n<div class=\"scroll\"><table><tr><th>outcome</th><th>case</th><th class=\"n\">points</th></tr>\n", table ? "</table></div>\n" : "", xml(now));
            heading = now;
            table = true;
        }
        text += fmt::format("<tr><td class=\"{}\">{}</td><td>{}{}</td><td class=\"n\">{}/{}</td></tr>\n", item.outcome == "passed" ? "good" : item.outcome == "not attempted" ? "dim" : "bad", xml(item.outcome), xml(item.name),
                            item.words.empty() ? "" : "<pre>" + xml(item.words) + "</pre>", item.points, item.max_points);
    }
    return text + (table ? "</table></div>\n" : "") + "</body></html>\n";
}

}  // namespace course
