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
#include <array>
#include <chrono>
#include <fmt/format.h>
#include <future>
#include <regex>
#include <sstream>
#include <sys/resource.h>
#include <thread>

namespace course {
namespace {

bool has_solution(const Repository& repository, const Lab& lab, Track track) {
    return std::filesystem::exists(repository / "solutions" / lab.name /
                                   fmt::format("{}.cpp", name_of(track)));
}

// Builds as much as can be built: what is missing then fails the checks that need it, and not the others.
void build_preset(const TestRun& test_run, const std::string& preset, const std::string& what,
                  const std::vector<std::string>& targets) {
    if (targets.empty())
        return;
    const auto start = std::chrono::steady_clock::now();
    const auto failed = build(test_run.repository, preset, targets, true);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    test_run.report.result(!failed, preset, fmt::format("{} can be built ({:.0f} s)", what, seconds),
                           failed ? first_errors(*failed, test_run.repository.root, 12) : "");
}

// Compiling takes most of the time, and judging mostly waits: so each lab is judged as soon as its subjects are
// there, while the next ones are compiled. Whoever judges waits here for what it needs.
class Building {
public:
    Building(const TestRun& test_run, std::vector<Lab> labs, std::vector<Track> tracks)
        : run_(test_run), labs_(std::move(labs)), tracks_(std::move(tracks)),
          subjects_(labs_.size() * tracks_.size()), thread_([this] { build_all(); }) {}

    // Programs, judges and solutions of every lab on the track.
    void wait_for_programs(Track track) { programs_[static_cast<std::size_t>(track)].get_future().get(); }
    // The mistakes and alternatives of one lab, and its solution with sanitizers.
    void wait_for_subjects(std::size_t lab, std::size_t track) {
        subjects_[lab * tracks_.size() + track].get_future().get();
    }

private:
    void build_all() {
        // Judges go first: they are short of time, and the compiler is not.
        ::setpriority(PRIO_PROCESS, 0, 10);  // on Linux: of this thread, and of what it starts
        try {
            for (const Track track : tracks_) {
                build_programs(track);
                programs_[static_cast<std::size_t>(track)].set_value();
            }
            build_sanitized();
            for (std::size_t lab = 0; lab < labs_.size(); ++lab)
                for (std::size_t track = 0; track < tracks_.size(); ++track) {
                    if (has_solution(run_.repository, labs_[lab], tracks_[track]))
                        build_preset(run_, preset_of(tracks_[track]), "mistakes and alternatives of " + labs_[lab].name,
                                     {"subjects-" + labs_[lab].number});
                    subjects_[lab * tracks_.size() + track].set_value();
                }
        } catch (...) {
            // Who has its promise already does not need this.
            const auto give_up = [](std::promise<void>& promise) {
                try {
                    promise.set_exception(std::current_exception());
                } catch (const std::future_error&) {
                }
            };
            for (std::promise<void>& each : programs_)
                give_up(each);
            for (std::promise<void>& each : subjects_)
                give_up(each);
        }
    }

    void build_programs(Track track) {
        std::vector<std::string> targets;
        if (run_.options.labs.empty())
            targets.push_back("all");
        for (const Lab& lab : labs_) {
            if (!run_.options.labs.empty())
                targets.insert(targets.end(), {"lab-" + lab.number, "judge-" + lab.number, "puppet"});
            if (has_solution(run_.repository, lab, track))
                targets.push_back("solution-" + lab.number);
        }
        build_preset(run_, preset_of(track), "the course and its solutions", targets);
    }

    void build_sanitized() {
        if (!run_.solutions || run_.options.quick || tracks_.front() != Track::posix)
            return;
        std::vector<std::string> asan, tsan;
        for (const Lab& lab : labs_) {
            // The judges stay as they are: they are other processes, and it is the subject that is looked into.
            if (has_solution(run_.repository, lab, Track::posix))
                asan.push_back("solution-" + lab.number);
            const std::vector<std::string> threaded = threaded_targets(run_.repository, lab);
            tsan.insert(tsan.end(), threaded.begin(), threaded.end());
        }
        build_preset(run_, "linux-asan", "the solutions", asan);
        build_preset(run_, "linux-tsan", "what has threads", tsan);
    }

    const TestRun& run_;
    std::vector<Lab> labs_;
    std::vector<Track> tracks_;
    std::array<std::promise<void>, 2> programs_;
    std::vector<std::promise<void>> subjects_;
    std::jthread thread_;
};

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
    std::vector<std::pair<Lab, Track>> checked;
    for (const Lab& lab : labs)
        for (const Track track : tracks)
            checked.emplace_back(lab, track);
    std::vector<SummaryRow> rows(checked.size());
    {
        Building building(test_run, labs, tracks);
        at_once(static_cast<unsigned>(tracks.size()), tracks.size(), [&](std::size_t track) {
            building.wait_for_programs(tracks[track]);
            if (options.labs.empty())
                run_unit_tests(test_run, tracks[track]);
            if (options.labs.empty() && track == 0)
                check_docs(test_run);
            for (std::size_t lab = 0; lab < labs.size(); ++lab) {
                building.wait_for_subjects(lab, track);
                rows[lab * tracks.size() + track] = check_lab(test_run, labs[lab], tracks[track]);
            }
        });
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
