#include "class_results.hpp"

#include "class_items.hpp"
#include "failure.hpp"
#include "labs.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>

using nlohmann::json;

namespace course {
namespace {

std::string words_of(const json& each) {
    std::string words = each.value("message", "");
    if (const std::string waiting = each.value("waiting", ""); !waiting.empty())
        words += (words.empty() ? "" : "\n") + ("waiting: " + waiting);
    for (const json& mistake : each.value("mistakes", json::array()))
        words += (words.empty() ? "" : "\n") + ("mistake: " + mistake.get<std::string>());
    for (const char* where : {"read", "rerun"})
        if (const std::string command = each.value(where, ""); !command.empty() && each.value("outcome", "") == "failed")
            words += (words.empty() ? "" : "\n") + ((where == std::string("rerun") ? "again: " : "read: ") + command);
    return visible(words);
}

std::string words_for_status(const json& lab) {
    const std::string status = lab.value("status", "");
    if (status == "does not compile")
        return "The file does not compile:\n" + visible(lab.value("compiler", ""));
    if (status == "judge error")
        return "The judge failed. That is the course's fault; an instructor looks at it, and no points were taken for it.";
    if (status == "ended its judge")
        return "The program ended its judge by a signal, both times that it was judged.";
    if (status == "not handed in")
        return "Nothing was handed in for this lab.";
    return status;
}

std::string title_of(const Item& item) { return item.lab.empty() ? item.name : fmt::format("{} {} {}", item.lab, item.track, item.name); }

// Gradescope shows output as it is; a student's own bytes were made visible before.
json gradescope(const ClassResult& result) {
    json tests = json::array();
    for (const Item& item : items_of(result)) {
        json test = {{"name", title_of(item)}, {"output", item.words}, {"output_format", "text"}};
        // Without a score it is no zero.
        if (item.outcome != "judge error")
            test.update({{"score", item.points}, {"max_score", item.max_points}, {"status", item.outcome == "passed" ? "passed" : "failed"}});
        tests.push_back(std::move(test));
    }
    return {{"tests", tests}, {"output_format", "text"}, {"visibility", "visible"}, {"output", fmt::format("Judged by IPC Labs {}; isolation: {}.", result.value("course", ""), result.value("isolation", ""))},
            {"extra_data", {{"course", result.value("course", "")}, {"isolation", result.value("isolation", "")}}}, {"execution_time", static_cast<int>(result.value("seconds", 0.0) + 0.5)}};
}

// Classroom 50's runner says by variables what it grades, and refuses empty ones; elsewhere a name must do.
std::string told_by_runner(const char* variable, const std::string& otherwise) {
    const char* value = std::getenv(variable);
    return value && *value ? value : otherwise;
}

// Integer scores, and no top-level keys but these: schemas/result-v1.schema.json of Classroom 50.
json classroom50(const ClassResult& result) {
    json tests = json::array();
    int points = 0, most = 0;
    for (const Item& item : items_of(result)) {
        if (item.outcome == "judge error")
            continue;
        tests.push_back({{"test-name", title_of(item)}, {"passed", item.outcome == "passed"}, {"score", item.points}, {"max-score", item.max_points}});
        points += item.points;
        most += item.max_points;
    }
    const std::string commit = told_by_runner("COMMIT_URL", "local");
    return {{"schema", "classroom50/result/v1"}, {"classroom", told_by_runner("CLASSROOM", "local")}, {"assignment", told_by_runner("ASSIGNMENT", "ipc-labs")}, {"assignment_type", told_by_runner("MODE", "individual")},
            {"owner", result.value("student", "")}, {"submission", told_by_runner("SUBMISSION_TAG", "submit/" + result.value("key", ""))}, {"commit", commit},
            {"release", told_by_runner("RELEASE_URL", "local")}, {"review", told_by_runner("REVIEW_URL", commit)}, {"datetime", result.value("graded_at", "")},
            {"score", points}, {"max-score", most}, {"tests", tests}};
}

// Autolab reads the last line of standard output.
std::string autolab(const ClassResult& result) {
    json scores = json::object();
    std::string words;
    for (const Item& item : items_of(result)) {
        words += fmt::format("{}: {} {}/{}\n{}", title_of(item), item.outcome, item.points, item.max_points, item.words.empty() ? "" : item.words + "\n");
        if (!item.lab.empty() && item.outcome != "judge error")
            scores[item.lab + " " + item.track] = scores.value(item.lab + " " + item.track, 0) + item.points;
    }
    return words + json{{"scores", scores}}.dump() + "\n";
}

// What is not gradable counts as no attempt.
json prairielearn(const ClassResult& result) {
    json tests = json::array();
    for (const Item& item : items_of(result))
        tests.push_back({{"name", title_of(item)}, {"points", item.points}, {"max_points", item.max_points}, {"message", item.outcome}, {"output", item.words}});
    const int most = max_points_of(result);
    if (needs_a_look(result))
        return {{"gradable", false}, {"message", "The judge failed: that is the course's fault. An instructor looks at it."}, {"tests", tests}};
    return {{"gradable", true}, {"score", most ? static_cast<double>(points_of(result)) / most : 0.0}, {"tests", tests}};
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
    // Without a grade it is no zero.
    if (needs_a_look(result))
        return text;
    const int most = max_points_of(result);
    return text + fmt::format("Grade :=>> {:.2f}\n", most ? 100.0 * points_of(result) / most : 0.0);
}

}  // namespace

std::vector<Item> items_of(const ClassResult& result) {
    std::vector<Item> items;
    for (const json& lab : result.value("labs", json::array())) {
        const std::string where = lab.value("lab", ""), track = lab.value("track", "");
        if (lab.value("status", "") != "judged" || !lab.contains("verdict")) {
            items.push_back({where, track, "whole lab", lab.value("status", ""), words_for_status(lab), 0, lab.value("max_points", 100), lab.value("seconds", 0.0), ""});
            continue;
        }
        for (const json& each : lab["verdict"].value("cases", json::array())) {
            const std::string outcome = each.value("outcome", "");
            if (outcome == "unavailable here")
                continue;
            items.push_back({where, track, each.value("name", "") + " " + visible(each.value("title", "")), outcome, outcome == "passed" ? "" : words_of(each),
                             each.value("points", 0), each.value("max_points", 0), each.value("seconds", 0.0), each.value("mistake", "")});
        }
    }
    for (const json& problem : result.value("problems", json::array()))
        items.push_back({"", "", "submission", "refused", "The submission was refused: " + visible(problem.get<std::string>()), 0, 0, 0, ""});
    return items;
}

std::string xml(const std::string& text, bool attribute) {
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

}  // namespace course
