// `./course test`: builds everything, runs the unit tests, and checks each lab on each track. Each check is
// one of the N in the closing `N passed, N failed`.

#include "build.hpp"
#include "commands.hpp"
#include "ctest_output.hpp"
#include "docs_gates.hpp"
#include "failure.hpp"
#include "lab_gates.hpp"
#include "load.hpp"
#include "process.hpp"
#include "wine.hpp"
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <fmt/format.h>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
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
    /// @param checked  what is going to be judged, in this order
    Building(const TestRun& test_run, const std::vector<std::pair<Lab, Track>>& checked)
        : run_(test_run), checked_(checked), subjects_(checked.size()) {
        for (std::promise<void>& each : programs_)
            programs_built_.push_back(each.get_future().share());
        thread_ = std::jthread([this] { build_all(); });
    }

    /// The programs, judges and solutions of every lab on the track.
    void wait_for_programs(Track track) { programs_built_[static_cast<std::size_t>(track)].get(); }
    /// The mistakes and alternatives of one lab on one track, and its solution with sanitizers.
    /// @return false if there was no time left to build the mistakes and alternatives
    bool wait_for_subjects(std::size_t i) { return subjects_[i].get_future().get(); }
    bool is_over() const { return over_; }

private:
    void build_all() {
        // Judges go first: they are short of time, and the compiler is not.
        ::setpriority(PRIO_PROCESS, 0, 10);  // on Linux: of this thread, and of what it starts
        try {
            for (const Track track : {Track::posix, Track::win32}) {
                build_programs(track);
                programs_[static_cast<std::size_t>(track)].set_value();
            }
            build_sanitized();
            for (std::size_t i = 0; i < checked_.size(); ++i) {
                const auto& [lab, track] = checked_[i];
                const bool wanted = has_solution(run_.repository, lab, track) && !run_.is_over(0.9);
                if (wanted)
                    build_preset(run_, preset_of(track), "mistakes and alternatives of " + lab.name,
                                 {"subjects-" + lab.number});
                subjects_[i].set_value(wanted);
            }
        } catch (...) {
            for (std::promise<void>& each : programs_)
                give_up(each);
            for (std::promise<bool>& each : subjects_)
                give_up(each);
        }
        over_ = true;
    }

    template <class Value>
    static void give_up(std::promise<Value>& promise) {
        try {
            promise.set_exception(std::current_exception());
        } catch (const std::future_error&) {
            // It was kept already.
        }
    }

    void build_programs(Track track) {
        std::vector<std::string> targets;
        for (const auto& [lab, its_track] : checked_) {
            if (its_track != track)
                continue;
            if (!run_.options.labs.empty())
                targets.insert(targets.end(), {"lab-" + lab.number, "judge-" + lab.number, "puppet"});
            else if (targets.empty())
                targets.push_back("all");
            if (has_solution(run_.repository, lab, track))
                targets.push_back("solution-" + lab.number);
        }
        build_preset(run_, preset_of(track), "the course and its solutions", targets);
    }

    void build_sanitized() {
        if (!run_.solutions || run_.options.quick)
            return;
        std::vector<std::string> asan, tsan;
        for (const auto& [lab, track] : checked_) {
            // The judges stay as they are: they are other processes, and it is the subject that is looked into.
            if (track != Track::posix || !has_solution(run_.repository, lab, track))
                continue;
            if (run_.options.mistakes == 0)
                asan.push_back("solution-" + lab.number);
            const std::vector<std::string> threaded = threaded_targets(run_.repository, lab);
            tsan.insert(tsan.end(), threaded.begin(), threaded.end());
        }
        build_preset(run_, "linux-asan", "the solutions", asan);
        build_preset(run_, "linux-tsan", "what has threads", tsan);
    }

    const TestRun& run_;
    const std::vector<std::pair<Lab, Track>>& checked_;
    std::array<std::promise<void>, 2> programs_;
    std::vector<std::shared_future<void>> programs_built_;
    std::vector<std::promise<bool>> subjects_;
    std::atomic<bool> over_ = false;
    std::jthread thread_;  // last: it uses the rest
};

/// Keeps every processor busy: the compiler does as long as it runs, loops do after it.
class Load {
public:
    explicit Load(const Building& building) : building_(building) {}
    void make_sure() {
        const std::lock_guard lock(mutex_);
        if (!loops_ && building_.is_over())
            loops_.emplace();
    }

private:
    const Building& building_;
    std::mutex mutex_;
    std::optional<BusyProcessors> loops_;
};

// The tests of the project's own code. The solutions' are left to the gates, which look closer.
void run_unit_tests(const TestRun& test_run, Track track, const std::vector<std::string>& which) {
    const std::string preset = preset_of(track);
    Command command{{"ctest", "--test-dir", build_of(preset), "-L", "^project$", "-E", "^solution-",
                     "--output-on-failure", "-j", std::to_string(processors())},
                    test_run.repository.root,
                    std::chrono::minutes(10),
                    {}};
    command.arguments.insert(command.arguments.end(), which.begin(), which.end());
    const Outcome outcome = run(command);
    const TestLooks looks = looks_in(outcome.output);
    for (const auto& [name, each] : looks.of) {
        for (std::size_t i = 0; i + 1 < each.size(); ++i)
            test_run.report.note(fmt::format("repeat  {}: unit test {}: {}\n{}", preset, name, each[i].result, each[i].words));
        if (each.back().result.find("Skipped") != std::string::npos)
            test_run.report.skipped(preset, "unit test " + name, "it says why when run by hand");
        else
            test_run.report.result(each.back().result == "Passed", preset, fmt::format("unit test {} ({} s)", name, each.back().seconds), each.back().words);
    }
    if (looks.of.empty() && track == Track::posix)
        test_run.report.failed(preset, "unit tests", "ctest ran none:\n" + looks.others + outcome.errors);
}

void run_unit_tests(const TestRun& test_run, Track track) {
    test_run.report.note(fmt::format("unit tests for {} …", preset_of(track)));
    std::vector<std::string> others{"-LE", "^handouts$"};
    // Over the whole course one odd verdict is said, and looked at once more, here as everywhere.
    if (test_run.options.labs.empty())
        others.insert(others.end(), {"--repeat", "until-pass:2"});
    run_unit_tests(test_run, track, others);
    // What handouts show in two terminals happens by the clock (`sleep 1; kill -9 $!`): on a busy machine once more.
    if (track == Track::posix)
        run_unit_tests(test_run, track, {"-L", "^handouts$", "--repeat", "until-pass:2"});
}

}  // namespace

int test(const Repository& repository, const TestOptions& asked) {
    TestOptions options = asked;
    // Over the whole course a few do; a lab in work is named, and gets all of them.
    if (options.quick || options.labs.empty())
        options.repeats = std::min(options.repeats, options.labs.empty() ? 3 : 5);
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
    const TestRun test_run{repository, options, report, repository.has_solutions(), wine, start};
    std::vector<std::pair<Lab, Track>> checked;
    for (const Lab& lab : labs)
        for (const Track track : tracks)
            checked.emplace_back(lab, track);
    std::vector<SummaryRow> rows(checked.size());
    const auto repeat = [&](std::size_t i, Load& load) {
        if (!test_run.solutions || options.mistakes > 0)
            return;
        if (test_run.is_over(0.8)) {
            report.skipped(fmt::format("{} {}", checked[i].first.name, name_of(checked[i].second)), "repeats",
                           fmt::format("{} minutes are nearly over: ./course test --lab {}", options.minutes,
                                       checked[i].first.number));
            return;
        }
        load.make_sure();
        rows[i].repeats = check_repeats(test_run, checked[i].first, checked[i].second);
    };
    // Over the whole course while the next labs are compiled; a lab in work has the machine for itself, and full load.
    const bool repeats_at_the_end = !options.labs.empty();
    {
        Building building(test_run, checked);
        std::vector<std::function<void()>> work;
        if (options.labs.empty() && options.mistakes == 0)
            for (const Track track : tracks)
                work.push_back([&, track] {
                    building.wait_for_programs(track);
                    run_unit_tests(test_run, track);
                    if (track == tracks.front())
                        check_docs(test_run);
                });
        Load load(building);
        for (std::size_t i = 0; i < checked.size(); ++i)
            work.push_back([&, i] {
                const bool subjects = building.wait_for_subjects(i);
                rows[i] = check_lab(test_run, checked[i].first, checked[i].second, subjects);
                if (!repeats_at_the_end)
                    repeat(i, load);
            });
        at_once(processors() + 1, work.size(), [&](std::size_t i) { work[i](); });
        if (repeats_at_the_end) {
            report.note(fmt::format("judging each solution {} times on busy processors …", options.repeats));
            for (std::size_t i = 0; i < checked.size(); ++i)
                repeat(i, load);
        }
    }
    for (const SummaryRow& row : rows)
        report.add(row);
    report.print_summary(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return report.failed_count() == 0 && report.passed_count() > 0 ? exit_code::full_marks
                                                                   : exit_code::points_missing;
}

}  // namespace course
