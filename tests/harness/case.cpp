#define DOCTEST_CONFIG_IMPLEMENT
#include "judge.hpp"

#include "stage_state.hpp"
#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace judge {
namespace {

// Decorators run one after the other while a test is registered; file and line tell which test they are talking about.
std::map<std::pair<std::string, unsigned>, CaseInfo>& registry() {
    static std::map<std::pair<std::string, unsigned>, CaseInfo> infos;
    return infos;
}

CaseInfo& info_of(const doctest::detail::TestCase& test) { return registry()[{test.m_file.c_str(), test.m_line}]; }

CaseInfo& described(const doctest::detail::TestCase& test) {
    CaseInfo& info = info_of(test);
    const std::string text = test.m_name;
    const auto space = text.find(' ');
    info.name = text.substr(0, space);
    info.title = space == std::string::npos ? "" : text.substr(space + 1);
    info.exercise = test.m_test_suite ? test.m_test_suite : "";
    return info;
}

int number_behind_dot(const std::string& name) {
    const auto dot = name.find('.');
    return dot == std::string::npos ? 0 : std::atoi(name.c_str() + dot + 1);
}

}  // namespace

void points::fill(doctest::detail::TestCase& test) const { described(test).points = count_; }
void section::fill(doctest::detail::TestCase& test) const { described(test).section = anchor_; }
void hints::fill(doctest::detail::TestCase& test) const { described(test).hints.assign(texts_, texts_ + 3); }
void windows_only::fill(doctest::detail::TestCase& test) const {
    described(test).windows_only = true;
    described(test).why = why_;
}

const std::vector<CaseInfo>& all_cases() {
    static const std::vector<CaseInfo> sorted = [] {
        std::vector<CaseInfo> cases;
        for (const auto& [place, info] : registry())
            cases.push_back(info);
        std::sort(cases.begin(), cases.end(),
                  [](const CaseInfo& a, const CaseInfo& b) { return number_behind_dot(a.name) < number_behind_dot(b.name); });
        // What only one system has comes last, by its number, and goes back to exercises that were over.
        std::set<std::string> before, after;
        std::string current;
        for (CaseInfo& info : cases) {
            if (std::exchange(current, info.exercise) != info.exercise && !before.insert(info.exercise).second)
                after.insert(info.exercise);
            if (after.contains(info.exercise))
                info.exercise += ", continued";
        }
        return cases;
    }();
    return sorted;
}

CaseOptions& case_options() {
    static CaseOptions options;
    return options;
}

CaseResult& last_result() {
    static CaseResult result{"judge error", "note: the case did not come to its end", "", "", 0};
    return result;
}

void play(void (*story)(Stage&)) {
    CaseResult result{"passed", "", "", "", 0};
    const auto begin = std::chrono::steady_clock::now();
    try {
        Stage::State state(case_options());
        Stage stage(state);
        story(stage);
        state.finish(stage);
    } catch (const CaseOver& over) {
        result = over.result;
    } catch (const std::exception& error) {
        result = {"judge error", std::string("note: the judge itself failed: ") + error.what(), "", "", 0};
    }
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    last_result() = result;
    if (result.outcome != "passed")
        FAIL_CHECK(result.outcome, ": ", result.message);
}

CaseResult run_case(const std::string& name) {
    doctest::Context context;
    context.setOption("no-run", false);
    context.setOption("no-version", true);
    context.setOption("out", "");
    context.setOption("no-path-filenames", true);
    const std::string filter = name + " *";  // the blank: 1.1 is not 1.10
    context.addFilter("test-case", filter.c_str());
    std::ostringstream silent;
    context.setCout(&silent);
    context.run();
    return last_result();
}

nlohmann::json to_json(const CaseResult& result) {
    return {{"outcome", result.outcome},
            {"message", result.message},
            {"waiting", result.waiting},
            {"mistake", result.mistake},
            {"seconds", result.seconds}};
}

CaseResult result_from(const nlohmann::json& json) {
    return {json.at("outcome"), json.at("message"), json.at("waiting"), json.at("mistake"), json.at("seconds")};
}

}  // namespace judge
