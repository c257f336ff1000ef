#include "verdict.hpp"

#include "failure.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sstream>

using nlohmann::json;

namespace course {
namespace {

constexpr std::pair<CaseOutcome, std::string_view> outcomes[] = {
    {CaseOutcome::passed, "passed"},
    {CaseOutcome::failed, "failed"},
    {CaseOutcome::not_attempted, "not attempted"},
    {CaseOutcome::unavailable_here, "unavailable here"},
    {CaseOutcome::judge_error, "judge error"}};

CaseOutcome outcome_named(const std::string& words) {
    for (const auto& [outcome, name] : outcomes)
        if (name == words)
            return outcome;
    throw Failure(exit_code::judge_error,
                  fmt::format("the judge answered with an unknown outcome '{}'", words));
}

CaseVerdict parse_case(const json& object, bool listing) {
    CaseVerdict result;
    result.name = object.at("name").get<std::string>();
    result.exercise = object.value("exercise", "");
    result.title = object.at("title").get<std::string>();
    result.max_points = object.at("max_points").get<int>();
    result.section = object.value("section", "");
    result.hints = object.value("hints", std::vector<std::string>{});
    if (listing)
        return result;
    result.outcome = outcome_named(object.at("outcome").get<std::string>());
    result.points = object.at("points").get<int>();
    result.mistake = object.value("mistake", "");
    result.message = object.value("message", "");
    result.waiting = object.value("waiting", "");
    result.rerun = object.value("rerun", "");
    result.seconds = object.value("seconds", 0.0);
    return result;
}

}  // namespace

std::string_view words_for(CaseOutcome outcome) {
    return std::find_if(std::begin(outcomes), std::end(outcomes),
                        [&](const auto& entry) { return entry.first == outcome; })
        ->second;
}

bool Verdict::full_marks() const {
    return !cases.empty() && points == max_points && count(CaseOutcome::failed) == 0 &&
           count(CaseOutcome::not_attempted) == 0 && count(CaseOutcome::judge_error) == 0 &&
           count(CaseOutcome::passed) > 0;
}

const CaseVerdict* Verdict::find(const std::string& name) const {
    for (const CaseVerdict& each : cases)
        if (each.name == name)
            return &each;
    return nullptr;
}

int Verdict::count(CaseOutcome outcome) const {
    return static_cast<int>(std::count_if(cases.begin(), cases.end(),
                                          [&](const CaseVerdict& each) { return each.outcome == outcome; }));
}

Verdict parse_verdict(const std::string& text, bool listing) {
    try {
        const json object = json::parse(text);
        const char* schema = listing ? "ipc-labs/cases/v1" : "ipc-labs/verdict/v1";
        if (object.at("schema").get<std::string>() != schema)
            throw Failure(exit_code::judge_error,
                          fmt::format("the judge speaks {}, and this course tool only {}: build both anew",
                                      object.at("schema").dump(), schema));
        Verdict verdict;
        verdict.lab = object.at("lab").get<std::string>();
        verdict.track = object.at("track").get<std::string>();
        verdict.subject = object.value("subject", "");
        verdict.source = object.value("source", "");
        verdict.seed = object.value("seed", "");
        verdict.confinement = object.value("confinement", "");
        verdict.seconds = object.value("seconds", 0.0);
        verdict.points = listing ? 0 : object.at("points").get<int>();
        for (const json& each : object.at("cases"))
            verdict.cases.push_back(parse_case(each, listing));
        verdict.max_points = object.value("max_points", 0);
        return verdict;
    } catch (const json::exception& error) {
        throw Failure(exit_code::judge_error, fmt::format("the judge's answer cannot be understood ({}): {}",
                                                          error.what(), text.substr(0, 300)));
    }
}

std::vector<std::pair<std::string, std::string>> message_parts(const std::string& message) {
    std::vector<std::pair<std::string, std::string>> parts;
    std::istringstream lines(message);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t colon = line.find(": ");
        const bool continued = line.rfind("  ", 0) == 0;
        if (!continued && colon != std::string::npos && colon <= 12)
            parts.emplace_back(line.substr(0, colon), line.substr(colon + 2));
        else if (!continued && line.size() > 1 && line.back() == ':' && line.size() <= 13)
            parts.emplace_back(line.substr(0, line.size() - 1), "");
        else if (parts.empty())
            parts.emplace_back("note", line);
        else
            parts.back().second += "\n" + (continued ? line.substr(2) : line);
    }
    return parts;
}

std::vector<std::string> names_of(const Verdict& verdict) {
    std::vector<std::string> names;
    for (const CaseVerdict& each : verdict.cases)
        names.push_back(each.name);
    return names;
}

std::vector<std::string> names_in(const std::string& list) {
    std::vector<std::string> names;
    std::istringstream parts(list);
    for (std::string name; std::getline(parts, name, ',');) {
        const std::size_t first = name.find_first_not_of(' ');
        if (first != std::string::npos)
            names.push_back(name.substr(first, name.find_last_not_of(' ') - first + 1));
    }
    return names;
}

}  // namespace course
