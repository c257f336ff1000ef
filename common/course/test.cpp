// `./course test`: builds everything, runs the unit tests, and checks each lab on each track. Each check is
// one of the N in the closing `N passed, N failed`.

#include "build.hpp"
#include "commands.hpp"
#include "docs_gates.hpp"
#include "failure.hpp"
#include "lab_gates.hpp"
#include "load.hpp"
#include "process.hpp"
#include "wine.hpp"
#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <regex>
#include <sstream>

namespace course {
namespace {

bool has_solution(const Repository& repository, const Lab& lab, Track track) {
    return std::filesystem::exists(repository / "solutions" / lab.name /
                                   fmt::format("{}.cpp", name_of(track)));
}

// Builds as much as can be built: what is missing then fails the checks that need it, and not the others.
void build_preset(const TestRun& test_run, const std::string& preset,
                  const std::vector<std::string>& targets) {
    if (targets.empty())
        return;
    const auto start = std::chrono::steady_clock::now();
    test_run.report.note(fmt::format("building for {} …", preset));
    const auto failed = build(test_run.repository, preset, targets, true);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    test_run.report.result(!failed, preset, fmt::format("everything builds ({:.0f} s)", seconds),
                           failed ? first_errors(*failed, test_run.repository.root, 12) : "");
}

void build_everything(const TestRun& test_run, const std::vector<Lab>& labs,
                      const std::vector<Track>& tracks) {
    const bool everything = test_run.options.labs.empty();
    for (const Track track : tracks) {
        std::vector<std::string> targets;
        if (everything)
            targets.push_back("all");
        for (const Lab& lab : labs) {
            if (!everything)
                targets.insert(targets.end(), {"lab-" + lab.number, "judge-" + lab.number, "puppet"});
            if (has_solution(test_run.repository, lab, track))
                targets.insert(targets.end(), {"solution-" + lab.number, "subjects-" + lab.number});
        }
        build_preset(test_run, preset_of(track), targets);
    }
    const bool posix = std::find(tracks.begin(), tracks.end(), Track::posix) != tracks.end();
    if (!test_run.solutions || test_run.options.quick || !posix)
        return;
    std::vector<std::string> asan, tsan;
    for (const Lab& lab : labs) {
        // The judges stay as they are: they are other processes, and it is the subject that is looked into.
        if (has_solution(test_run.repository, lab, Track::posix))
            asan.push_back("solution-" + lab.number);
        const std::vector<std::string> threaded = threaded_targets(test_run.repository, lab);
        tsan.insert(tsan.end(), threaded.begin(), threaded.end());
    }
    build_preset(test_run, "linux-asan", asan);
    build_preset(test_run, "linux-tsan", tsan);
}

// The tests of the project's own code. The solutions' are left to the gates, which look closer.
void run_unit_tests(const TestRun& test_run, Track track) {
    const std::string preset = preset_of(track);
    test_run.report.note(fmt::format("unit tests for {} …", preset));
    const Outcome outcome = run({{"ctest", "--test-dir", build_of(preset), "-L", "^project$", "-E",
                                  "^solution-", "--output-on-failure", "-j", std::to_string(processors())},
                                 test_run.repository.root,
                                 std::chrono::minutes(10),
                                 {}});
    const std::regex ended(R"(^ *\d+/\d+ Test +#\d+: (\S+) \.+ *(\S.*?) +([0-9.]+) sec.*)");
    std::istringstream lines(outcome.output);
    int found = 0;
    std::string words;
    for (std::string line; std::getline(lines, line);) {
        std::smatch parts;
        if (!std::regex_match(line, parts, ended)) {
            words += line + "\n";
            continue;
        }
        ++found;
        if (parts[2].str().find("Skipped") != std::string::npos) {
            test_run.report.skipped(preset, "unit test " + parts[1].str(), "it says why when run by hand");
            continue;
        }
        test_run.report.result(parts[2] == "Passed", preset,
                               fmt::format("unit test {} ({} s)", parts[1].str(), parts[3].str()),
                               outcome.output);
    }
    if (found == 0 && track == Track::posix)
        test_run.report.failed(preset, "unit tests", "ctest ran none:\n" + words + outcome.errors);
}

}  // namespace

int test(const Repository& repository, const TestOptions& asked) {
    TestOptions options = asked;
    // Over the whole course a few do; a lab in work is named, and gets all of them.
    if (options.quick || options.labs.empty())
        options.repeats = std::min(options.repeats, 5);
    std::vector<Lab> labs;
    for (const std::string& name : options.labs)
        labs.push_back(repository.lab_named(name));
    if (labs.empty())
        labs = repository.labs();
    std::vector<Track> tracks;
    for (const std::string& name : options.tracks)
        tracks.push_back(track_named(name));
    if (tracks.empty())
        tracks = {Track::posix, Track::win32};

    const auto start = std::chrono::steady_clock::now();
    const bool win32 = std::find(tracks.begin(), tracks.end(), Track::win32) != tracks.end();
    WineFolders wine(win32 ? processors() + 1 : 0);
    Report report;
    const TestRun test_run{repository, options, report, repository.has_solutions(), wine};
    build_everything(test_run, labs, tracks);
    if (options.labs.empty())
        for (const Track track : tracks)
            run_unit_tests(test_run, track);
    if (options.labs.empty())
        check_docs(test_run);
    std::vector<std::pair<Lab, Track>> checked;
    std::vector<SummaryRow> rows;
    for (const Lab& lab : labs)
        for (const Track track : tracks) {
            checked.emplace_back(lab, track);
            rows.push_back(check_lab(test_run, lab, track));
        }
    if (test_run.solutions) {
        report.note(fmt::format("judging each solution {} times on busy processors …", options.repeats));
        const BusyProcessors busy;
        const auto repeat = [&](std::size_t i) {
            rows[i].repeats = check_repeats(test_run, checked[i].first, checked[i].second);
        };
        // On Linux several labs at once; of the win32 track several judges of one lab.
        at_once(processors() + 1, checked.size(), [&](std::size_t i) {
            if (checked[i].second == Track::posix)
                repeat(i);
        });
        for (std::size_t i = 0; i < checked.size(); ++i)
            if (checked[i].second == Track::win32)
                repeat(i);
    }
    for (const SummaryRow& row : rows)
        report.add(row);
    report.print_summary(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return report.failed_count() == 0 && report.passed_count() > 0 ? exit_code::full_marks
                                                                   : exit_code::points_missing;
}

}  // namespace course
