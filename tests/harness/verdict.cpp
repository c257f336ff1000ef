#include "verdict.hpp"

#include <algorithm>
#include <cstdio>
#include <sstream>

namespace judge {

using nlohmann::json;

namespace {

bool counts(const CaseResult& result) { return result.outcome != "unavailable here"; }
int earned(const CaseInfo& info, const CaseResult& result) { return result.outcome == "passed" ? info.points : 0; }

json described(const CaseInfo& info) {
    return {{"name", info.name}, {"exercise", info.exercise}, {"title", info.title}, {"max_points", info.points}, {"section", info.section}};
}

}  // namespace

int Verdict::points() const {
    int sum = 0;
    for (const auto& [info, result] : cases)
        sum += earned(info, result);
    return sum;
}

int Verdict::max_points() const {
    int sum = 0;
    for (const auto& [info, result] : cases)
        sum += counts(result) ? info.points : 0;
    return sum;
}

bool Verdict::judge_error() const {
    return std::any_of(cases.begin(), cases.end(), [](const auto& entry) { return entry.second.outcome == "judge error"; });
}

bool Verdict::full_marks() const {
    const bool some = std::any_of(cases.begin(), cases.end(), [](const auto& entry) { return entry.second.outcome == "passed"; });
    return some && points() == max_points();
}

std::string rerun_of(const Verdict& verdict, const CaseInfo& info) {
    std::string command = verdict.rerun;
    if (const auto at = command.find("{case}"); at != std::string::npos)
        command.replace(at, 6, info.name);
    return command;
}

json to_json(const Verdict& verdict) {
    json cases = json::array();
    for (const auto& [info, result] : verdict.cases) {
        json entry = described(info);
        entry["outcome"] = result.outcome;
        entry["points"] = earned(info, result);
        entry["mistake"] = result.mistake;
        entry["message"] = result.message;
        entry["waiting"] = result.waiting;
        entry["rerun"] = rerun_of(verdict, info);
        entry["seconds"] = result.seconds;
        cases.push_back(entry);
    }
    return {{"schema", "ipc-labs/verdict/v1"}, {"lab", verdict.lab},   {"track", verdict.track},
            {"subject", verdict.subject},      {"source", verdict.source}, {"seed", verdict.seed},
            {"confinement", verdict.confinement}, {"seconds", verdict.seconds}, {"points", verdict.points()},
            {"max_points", verdict.max_points()}, {"interrupted", verdict.interrupted}, {"cases", cases}};
}

json list_json(const std::string& lab, const std::string& track) {
    json cases = json::array();
    for (const CaseInfo& info : all_cases()) {
        json entry = described(info);
        entry["hints"] = info.hints;
        cases.push_back(entry);
    }
    return {{"schema", "ipc-labs/cases/v1"}, {"lab", lab}, {"track", track}, {"cases", cases}};
}

namespace {

struct Paint {
    bool on;
    std::string operator()(const char* code, const std::string& text) const {
        return on ? "\x1b[" + std::string(code) + "m" + text + "\x1b[0m" : text;
    }
};

void indented(std::ostringstream& out, const std::string& key, const std::string& text) {
    std::istringstream lines(text);
    std::string label = key;
    for (std::string line; std::getline(lines, line); label.clear()) {
        out << "        " << label << std::string(label.size() < 11 ? 11 - label.size() : 1, ' ')
            << (line.starts_with("  ") && label.empty() ? line.substr(2) : line) << '\n';
    }
}

}  // namespace

std::string to_text(const Verdict& verdict, bool color) {
    const Paint paint{color};
    std::ostringstream out;
    out << verdict.lab << ", " << verdict.track << ": " << (verdict.source.empty() ? verdict.subject : verdict.source) << "\n";
    std::string exercise;
    for (const auto& [info, result] : verdict.cases) {
        if (info.exercise != exercise)
            out << "\n  " << (exercise = info.exercise) << '\n';
        const bool good = result.outcome == "passed";
        const char* mark = good ? "+" : result.outcome == "failed" ? "x" : result.outcome == "not attempted" ? "." : "?";
        std::string title = info.name + "  " + info.title;
        out << "    " << paint(good ? "32" : result.outcome == "failed" ? "31" : "33", mark) << ' ' << title
            << std::string(title.size() < 84 ? 84 - title.size() : 1, ' ') << earned(info, result) << '/' << info.points << '\n';
        if (good)
            continue;
        if (result.outcome != "failed")
            indented(out, "", result.outcome);
        std::istringstream lines(result.message);
        for (std::string line; std::getline(lines, line);) {
            const auto colon = line.starts_with("  ") ? std::string::npos : line.find(": ");
            if (colon == std::string::npos)
                indented(out, "", line);
            else
                indented(out, line.substr(0, colon), line.substr(colon + 2));
        }
        indented(out, "waiting", result.waiting);
        if (result.outcome == "failed") {
            indented(out, "mistake", result.mistake);
            indented(out, "read", info.section.empty() ? "" : "labs/" + verdict.lab + "/README.md#" + info.section);
            indented(out, "again", rerun_of(verdict, info));
        }
    }
    out << "\n  " << verdict.points() << '/' << verdict.max_points() << " points, seed " << verdict.seed << '\n';
    return out.str();
}

}  // namespace judge
