#include "lab_gates.hpp"

#include "build.hpp"
#include "compile_command.hpp"
#include "docs_catalogue.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "judge_client.hpp"
#include "load.hpp"
#include "mistake.hpp"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fmt/format.h>
#include <functional>
#include <mutex>
#include <sstream>

namespace fs = std::filesystem;

namespace course {
namespace {

constexpr std::size_t least_mistakes = 10;
constexpr std::size_t least_alternatives = 2;
constexpr int lab_points = 100;
// So often a mistake is looked at before it is called missed: some show only now and then, on a busy machine less often.
constexpr int looks_at_a_mistake = 3;

// Judges of one solution at once while the processors are kept busy. Under Wine each has a server of its own.
unsigned repeats_at_once(Track track) { return track == Track::win32 ? processors() + 1 : 1; }

// What a judge said of the cases that do not look as wanted, for the maintainer who has to find out.
std::string words_of(const Verdict& verdict, const std::function<bool(const CaseVerdict&)>& wanted) {
    std::string words =
        fmt::format("{}/{} points, seed {}\n", verdict.points, verdict.max_points, verdict.seed);
    for (const CaseVerdict& each : verdict.cases) {
        if (wanted(each))
            continue;
        words += fmt::format("{} {}: {}\n", words_for(each.outcome), each.name, each.title);
        for (const std::string& text : {each.message, each.waiting.empty() ? "" : "waiting: " + each.waiting,
                                        each.mistake.empty() ? "" : "mistake: " + each.mistake})
            if (!text.empty())
                words += text + "\n";
    }
    return words;
}

bool is_passed(const CaseVerdict& each) {
    return each.outcome == CaseOutcome::passed || each.outcome == CaseOutcome::unavailable_here;
}

// The headings' anchors, explicit ({#end-of-file}) or as they are derived from the heading's words.
std::vector<std::string> anchors_in(const std::string& handout) {
    std::vector<std::string> anchors;
    std::istringstream lines(handout);
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind("#", 0) != 0)
            continue;
        const std::size_t open = line.find("{#");
        if (open != std::string::npos) {
            anchors.push_back(line.substr(open + 2, line.find('}', open) - open - 2));
            continue;
        }
        std::string slug;
        for (const char c : line.substr(std::min(line.find_first_not_of("# "), line.size()))) {
            if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_')
                slug += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            else if (c == ' ')
                slug += '-';
        }
        anchors.push_back(slug);
    }
    return anchors;
}

/// The gates of one lab on one track.
class LabGates {
public:
    LabGates(const TestRun& test_run, Lab lab, Track track)
        : run_(test_run), lab_(std::move(lab)), track_(track), preset_(preset_of(track)),
          where_(fmt::format("{} {}", lab_.name, name_of(track))) {
        row_.lab = lab_.name;
        row_.track = name_of(track_);
    }

    SummaryRow check(bool subjects) {
        if (run_.options.mistakes > 0) {
            check_mistakes();
            return row_;
        }
        check_cases();
        check_starter();
        if (!run_.solutions) {
            run_.report.skipped(where_, "solution, mistakes, alternatives, cheats, repeats",
                                "solutions/ is not part of this copy");
            return row_;
        }
        check_solution();
        if (!subjects) {
            run_.report.skipped(where_, "mistakes, alternatives, cheats",
                                fmt::format("{} minutes were over: ./course test --lab {}", run_.options.minutes, lab_.number));
            return row_;
        }
        check_mistakes();
        check_alternatives();
        check_cheats();
        return row_;
    }

    // How often of how often the solution earned full marks.
    std::string check_repeats() {
        const int times = repeats();
        const std::string check =
            fmt::format("the solution's verdict is the same {} times of {} with every processor busy", times, times);
        Judging solution = judging(program_of(preset_, "solution/lab-" + lab_.number));
        solution.reference = true;
        if (!built(solution.subject, check))
            return row_.repeats;
        attempt(check, [&] {
            const auto start = std::chrono::steady_clock::now();
            int same = 0, asked = 0;
            bool all_same = false;
            std::string words;
            std::mutex mutex;
            for (int round = 0; round < (looks_twice() ? 2 : 1) && !all_same; ++round) {
                if (round > 0)
                    run_.report.note(fmt::format("repeat  {}: {} of {} verdicts are the same; {}", where_, same,
                                                 asked, words));
                const int before = same;
                at_once(repeats_at_once(track_), static_cast<std::size_t>(times), [&](std::size_t) {
                    const Verdict verdict = verdict_on(solution);
                    const std::lock_guard lock(mutex);
                    if (verdict.full_marks())
                        ++same;
                    else
                        words += words_of(verdict, is_passed);
                });
                asked += times;
                all_same = same - before == times;
            }
            row_.repeats = fmt::format("{}/{}", same, asked);
            const double seconds =
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
            return run_.report.result(all_same, where_, fmt::format("{} ({:.0f} s)", check, seconds), words);
        });
        return row_.repeats;
    }

private:
    Judging judging(const std::string& subject) const {
        Judging judging;
        judging.lab = lab_;
        judging.track = track_;
        judging.subject = subject;
        judging.source = source_of(lab_, track_);
        return judging;
    }

    // A judge that fails is a failed check, and the other checks go on.
    bool attempt(const std::string& check, const std::function<bool()>& work) {
        try {
            return work();
        } catch (const Interrupted&) {
            throw;
        } catch (const std::exception& error) {
            run_.report.failed(where_, check, error.what());
            return false;
        }
    }

    Verdict verdict_on(Judging judging) {
        const auto note = [&](const std::string& words) {
            run_.report.note(fmt::format("repeat  {}: {}", where_, words));
        };
        if (track_ == Track::posix)
            return judge_again_if_it_fails(run_.repository, judging, note).verdict;
        const WineFolders::Lease lease(run_.wine);
        judging.wine = lease.folder().string();
        return judge_again_if_it_fails(run_.repository, judging, note).verdict;
    }

    // Over the whole course nothing is called unsound for one odd verdict among thousands: it is said, and looked at once
    // more. Whoever works at a lab names it, and every verdict counts.
    bool looks_twice() const { return run_.options.labs.empty(); }

    // Under Wine as many as there are folders for: no judge waits for another one then.
    int repeats() const {
        return looks_twice() && track_ == Track::win32
                   ? std::min(run_.options.repeats, static_cast<int>(repeats_at_once(track_)))
                   : run_.options.repeats;
    }

    bool sanitized() const { return track_ == Track::posix && !run_.options.quick; }

    bool built(const std::string& subject, const std::string& check) {
        return fs::exists(run_.repository / subject) ||
               run_.report.result(false, where_, check,
                                  fmt::format("{} was not built; see the build's errors above", subject));
    }

    bool earns_full_marks(const Judging& judging, const std::string& check, std::string* points = nullptr) {
        return built(judging.subject, check) && attempt(check, [&] {
                   Verdict verdict = verdict_on(judging);
                   if (!verdict.full_marks() && looks_twice()) {
                       run_.report.note(fmt::format("repeat  {}: {}: {}", where_, check, words_of(verdict, is_passed)));
                       verdict = verdict_on(judging);
                   }
                   if (points)
                       *points = fmt::format("{}/{}", verdict.points, verdict.max_points);
                   return run_.report.result(verdict.full_marks(), where_,
                                             fmt::format("{} ({:.1f} s)", check, verdict.seconds),
                                             words_of(verdict, is_passed));
               });
    }

    // The site reads the judge's source, so that it can be built without a compiler.
    std::string differences_on_the_site(const Verdict& judges) {
        std::vector<site::Case> listed = site::cases_of(run_.repository, lab_);
        std::erase_if(listed, [&](const site::Case& each) { return !(track_ == Track::posix ? each.posix : each.win32); });
        std::string wrong;
        for (const CaseVerdict& each : judges.cases) {
            const auto found = std::find_if(listed.begin(), listed.end(), [&](const site::Case& other) { return other.name == each.name; });
            if (found == listed.end())
                wrong += fmt::format("{} is not in the site's table of cases\n", each.name);
            else if (const int points = track_ == Track::posix ? found->points_posix : found->points_win32;
                     points != each.max_points || found->title != each.title || found->section != each.section)
                wrong += fmt::format("{} is listed on the site as '{}', {} points, section {}\n", each.name, found->title, points, found->section);
        }
        if (listed.size() > judges.cases.size())
            wrong += fmt::format("the site lists {} cases, and the judge has {}\n", listed.size(), judges.cases.size());
        return wrong;
    }

    void check_cases() {
        const std::string check =
            "the cases make 100 points, with hints, with handout sections that exist, and as the site lists them";
        attempt(check, [&] {
            const Verdict cases = list_cases(run_.repository, lab_, track_);
            const std::vector<std::string> anchors =
                anchors_in(read_file(run_.repository / handout_of(lab_)).value_or(""));
            int points = 0;
            std::string wrong;
            for (const CaseVerdict& each : cases.cases) {
                points += each.max_points;
                if (each.hints.empty())
                    wrong += fmt::format("{} has no hint\n", each.name);
                if (std::find(anchors.begin(), anchors.end(), each.section) == anchors.end())
                    wrong += fmt::format("{} sends to {}#{}, which is not there\n", each.name,
                                         handout_of(lab_), each.section);
            }
            if (points != lab_points)
                wrong += fmt::format("the points make {}\n", points);
            wrong += differences_on_the_site(cases);
            return run_.report.result(wrong.empty(), where_, check, wrong);
        });
    }

    void check_starter() {
        const Repository& repository = run_.repository;
        const std::string source = source_of(lab_, track_), shipped = starter_of(lab_, track_);
        run_.report.result(
            read_file(repository / source) == read_file(repository / shipped), where_,
            "the starter is the shipped one",
            fmt::format("{} and {} differ. A changed starter: cp {} {}. A lab in work: ./course reset {}",
                        source, shipped, source, shipped, lab_.number));
        attempt("the starter compiles without a warning", [&] {
            const Outcome outcome =
                run(compile_command(repository, preset_, "lab-" + lab_.number, source, "-Werror"));
            return run_.report.result(outcome.code == 0, where_, "the starter compiles without a warning",
                                      first_errors(outcome.errors, repository.root));
        });
        const std::string check = "the starter earns 0, every case not attempted";
        const std::string subject = program_of(preset_, "lab-" + lab_.number);
        if (built(subject, check))
            attempt(check, [&] {
                const Verdict verdict = verdict_on(judging(subject));
                const int counted =
                    static_cast<int>(verdict.cases.size()) - verdict.count(CaseOutcome::unavailable_here);
                row_.starter = fmt::format("{}/{}", verdict.points, verdict.max_points);
                return run_.report.result(verdict.points == 0 && counted > 0 &&
                                              verdict.count(CaseOutcome::not_attempted) == counted,
                                          where_, fmt::format("{} ({:.1f} s)", check, verdict.seconds),
                                          words_of(verdict, [](const CaseVerdict& each) {
                                              return each.outcome == CaseOutcome::not_attempted ||
                                                     each.outcome == CaseOutcome::unavailable_here;
                                          }));
            });
    }

    void check_solution() {
        Judging solution = judging(program_of(preset_, "solution/lab-" + lab_.number));
        solution.reference = true;
        solution.source = fmt::format("solutions/{}/{}.cpp", lab_.name, name_of(track_));
        earns_full_marks(solution, "the solution earns full marks", &row_.solution);
        if (!sanitized())
            return;
        solution.subject = program_of("linux-asan", "solution/lab-" + lab_.number);
        earns_full_marks(solution, "the solution earns full marks under ASan+UBSan", &row_.asan);
        if (!has_threads(run_.repository, solution.source))
            return;
        solution.subject = program_of("linux-tsan", "solution/lab-" + lab_.number);
        earns_full_marks(solution, "the solution earns full marks under TSan", &row_.tsan);
    }

    // What is missing in the verdict over a mistake; empty if it is caught as its header says.
    std::string missing_of(const Mistake& mistake, const Verdict& verdict) const {
        std::string missing;
        for (const std::string& name : mistake.cases) {
            const CaseVerdict* each = verdict.find(name);
            if (!each || each->outcome != CaseOutcome::failed) {
                missing += fmt::format("case {} did not fail\n", name);
                continue;
            }
            const std::vector<std::string> named = names_in(each->mistake);
            if (std::find(named.begin(), named.end(), mistake.name) == named.end())
                missing += fmt::format("case {} failed without naming {}\n", name, mistake.name);
            if (each->message.find(mistake.says) == std::string::npos &&
                each->waiting.find(mistake.says) == std::string::npos)
                missing += fmt::format("case {} failed without saying '{}'\n", name, mistake.says);
        }
        return missing;
    }

    bool is_caught(const Mistake& mistake) {
        const std::string preset = mistake.sanitizer == "thread" ? "linux-tsan" : preset_;
        const std::string check =
            fmt::format("mistake {} is caught by {}", mistake.name, joined(mistake.cases));
        Judging wrong = judging(
            program_of(preset, fmt::format("mistakes/{}/{}/lab-{}", lab_.number, mistake.name, lab_.number)));
        wrong.cases = mistake.cases;
        wrong.jobs = 1;
        return built(wrong.subject, check) && attempt(check, [&] {
                   const bool caught = run_.options.mistakes > 0 ? is_caught_every_time(mistake, wrong) : is_caught_once(mistake, wrong, check);
                   // For each mistake there are twenty cases that are not about it. Over the whole course that would be hours.
                   return ((looks_twice() && run_.options.mistakes == 0) || has_verdicts(mistake, wrong)) && caught;
               });
    }

    // A student with this mistake gets a verdict in every case, and no error of the judge.
    bool has_verdicts(const Mistake& mistake, Judging wrong) {
        wrong.cases.clear();
        wrong.jobs = 0;  // as many as there are processors: where every case waits for its deadline, one after the other takes too long
        const auto is_fine = [](const CaseVerdict& each) { return each.outcome != CaseOutcome::judge_error; };
        const Verdict verdict = verdict_on(wrong);
        return run_.report.result(verdict.count(CaseOutcome::judge_error) == 0, where_,
                                  fmt::format("mistake {} gets a verdict in every case ({:.1f} s)", mistake.name, verdict.seconds), words_of(verdict, is_fine));
    }

    // What a look at a mistake did not show is said at once; empty if it showed everything.
    std::string look_at(const Mistake& mistake, const Judging& wrong, Verdict& verdict) {
        verdict = verdict_on(wrong);
        const std::string missing = missing_of(mistake, verdict);
        if (!missing.empty())
            run_.report.note(fmt::format("repeat  {}: mistake {} at seed {}: {}", where_, mistake.name, verdict.seed, missing));
        return missing.empty() ? "" : missing + words_of(verdict, [](const CaseVerdict&) { return false; });
    }

    bool is_caught_once(const Mistake& mistake, const Judging& wrong, const std::string& check) {
        Verdict verdict;
        std::string missing = look_at(mistake, wrong, verdict);
        for (int look = 1; look < looks_at_a_mistake && !missing.empty(); ++look)
            missing = look_at(mistake, wrong, verdict);
        return run_.report.result(missing.empty(), where_, fmt::format("{} ({:.1f} s)", check, verdict.seconds), missing);
    }

    bool is_caught_every_time(const Mistake& mistake, const Judging& wrong) {
        int caught = 0;
        std::string words;
        for (int look = 0; look < run_.options.mistakes; ++look) {
            Verdict verdict;
            const std::string missing = look_at(mistake, wrong, verdict);
            caught += missing.empty();
            words += missing;
        }
        return run_.report.result(caught == run_.options.mistakes, where_,
                                  fmt::format("mistake {} is caught {} times of {}", mistake.name, caught, run_.options.mistakes), words);
    }

    void check_mistakes() {
        attempt("the mistakes' headers", [&] {
            const std::vector<Mistake> mistakes = mistakes_of(run_.repository, lab_, track_);
            run_.report.result(mistakes.size() >= least_mistakes, where_,
                               fmt::format("there are at least {} mistakes", least_mistakes),
                               fmt::format("there are {} in tests/{}/mistakes/{}", mistakes.size(), lab_.name,
                                           name_of(track_)));
            std::atomic<int> caught = 0;
            // Most of them wait for a deadline: more of them than processors.
            at_once(2 * processors(), mistakes.size(),
                    [&](std::size_t i) { caught += is_caught(mistakes[i]); });
            row_.mistakes = fmt::format("{}/{}", caught.load(), mistakes.size());
            return true;
        });
    }

    void check_alternatives() {
        const std::vector<std::string> names = sources_in(run_.repository, lab_, "alternatives", track_);
        run_.report.result(names.size() >= least_alternatives, where_,
                           fmt::format("there are at least {} alternatives", least_alternatives),
                           fmt::format("there are {} in tests/{}/alternatives/{}", names.size(), lab_.name,
                                       name_of(track_)));
        int accepted = 0;
        for (const std::string& name : names) {
            const std::string program =
                fmt::format("alternatives/{}/{}/lab-{}", lab_.number, name, lab_.number);
            accepted += earns_full_marks(judging(program_of(preset_, program)),
                                         fmt::format("alternative {} earns full marks", name));
        }
        row_.alternatives = fmt::format("{}/{}", accepted, names.size());
    }

    void check_cheats() {
        const std::vector<std::string> names = sources_in(run_.repository, lab_, "cheats", track_);
        if (names.empty())
            return;
        int caught = 0;
        for (const std::string& name : names) {
            const std::string check = fmt::format("cheat {} earns 0", name);
            const Judging cheat = judging(
                program_of(preset_, fmt::format("cheats/{}/{}/lab-{}", lab_.number, name, lab_.number)));
            caught +=
                built(cheat.subject, check) && attempt(check, [&] {
                    Verdict verdict;
                    try {
                        verdict = judge(run_.repository, cheat).verdict;
                    } catch (const Failure& failure) {
                        // Who kills the judge gets no verdict, and so no points; a student is told of a judge error.
                        if (failure.code() != exit_code::judge_error)
                            throw;
                        return run_.report.result(true, where_, check + ", for there is no verdict", "");
                    }
                    return run_.report.result(verdict.points == 0 && verdict.max_points > 0 &&
                                                  verdict.count(CaseOutcome::judge_error) == 0,
                                              where_, fmt::format("{} ({:.1f} s)", check, verdict.seconds),
                                              words_of(verdict, [](const CaseVerdict& each) {
                                                  return each.outcome != CaseOutcome::passed &&
                                                         each.outcome != CaseOutcome::judge_error;
                                              }));
                });
        }
        row_.cheats = fmt::format("{}/{}", caught, names.size());
    }

    const TestRun& run_;
    Lab lab_;
    Track track_;
    std::string preset_, where_;
    SummaryRow row_;
};

}  // namespace

SummaryRow check_lab(const TestRun& run, const Lab& lab, Track track, bool subjects) {
    return LabGates(run, lab, track).check(subjects);
}

std::string check_repeats(const TestRun& run, const Lab& lab, Track track) {
    return LabGates(run, lab, track).check_repeats();
}

std::vector<std::string> sources_in(const Repository& repository, const Lab& lab, const std::string& kind,
                                    Track track) {
    std::vector<std::string> names;
    std::error_code error;
    for (const fs::directory_entry& entry :
         fs::directory_iterator(repository / "tests" / lab.name / kind / std::string(name_of(track)), error))
        if (entry.path().extension() == ".cpp")
            names.push_back(entry.path().stem().string());
    std::sort(names.begin(), names.end());
    return names;
}

bool has_threads(const Repository& repository, const std::string& source) {
    const std::string text = read_file(repository / source).value_or("");
    for (const char* header : {"<thread>", "<pthread.h>", "<future>"})
        if (text.find(fmt::format("#include {}", header)) != std::string::npos)
            return true;
    return false;
}

std::vector<std::string> threaded_targets(const Repository& repository, const Lab& lab) {
    std::vector<std::string> targets;
    if (has_threads(repository, fmt::format("solutions/{}/posix.cpp", lab.name)))
        targets.push_back("solution-" + lab.number);
    try {
        for (const Mistake& mistake : mistakes_of(repository, lab, Track::posix))
            if (mistake.sanitizer == "thread")
                targets.push_back(fmt::format("mistake-{}-{}", lab.number, mistake.name));
    } catch (const Failure&) {
        // A header that cannot be read is reported where the mistakes are checked.
    }
    return targets;
}

}  // namespace course
