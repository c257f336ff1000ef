#include "grade.hpp"

#include "build.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "progress.hpp"
#include "terminal.hpp"
#include "update.hpp"
#include "verdict_text.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {

GradeTask task_for(const Repository& repository, const GradeOptions& options) {
    GradeTask task;
    task.lab = repository.lab_named(options.lab);
    task.track = track_named(options.track);
    const std::string preset = preset_of(task.track);
    const std::string program = "lab-" + task.lab.number;
    Judging& judging = task.judging;
    judging.lab = task.lab;
    judging.track = task.track;
    judging.cases = options.cases;
    judging.seed = options.seed;
    judging.reference = options.solution;
    if (options.solution) {
        judging.source = fmt::format("solutions/{}/{}.cpp", task.lab.name, name_of(task.track));
        if (!fs::exists(repository / judging.source))
            throw Failure(exit_code::usage,
                          fmt::format("{} is not there: this copy of the course comes without solutions",
                                      judging.source));
        task.target = "solution-" + task.lab.number;
        judging.subject = program_of(preset, "solution/" + program);
    } else {
        judging.source = source_of(task.lab, task.track);
        if (!fs::exists(repository / judging.source))
            throw Failure(exit_code::usage,
                          fmt::format("{} is not there; './course reset {}{}' brings the starter back",
                                      judging.source, task.lab.number,
                                      task.track == Track::posix ? "" : " --track win32"));
        task.target = program;
        judging.subject = program_of(preset, program);
    }
    return task;
}

void build_for(const Repository& repository, const GradeTask& task) {
    const auto failed = build(repository, preset_of(task.track), judging_targets(task.lab, task.target));
    if (!failed)
        return;
    const std::vector<std::string> targets = failed_targets(*failed);
    const auto has = [&](const std::string& name) {
        return std::find(targets.begin(), targets.end(), name) != targets.end();
    };
    if (has(task.target))
        throw DoesNotCompile(first_errors(*failed, repository.root));
    throw Failure(exit_code::judge_error,
                  fmt::format("{} does not build; that is the course's fault and not your file's:\n{}",
                              targets.empty() ? "the judge" : joined(targets),
                              first_errors(*failed, repository.root)));
}

int code_for(const Verdict& verdict) {
    if (verdict.count(CaseOutcome::judge_error) > 0)
        return exit_code::judge_error;
    return verdict.full_marks() ? exit_code::full_marks : exit_code::points_missing;
}

void remember(const Repository& repository, const GradeTask& task, const Verdict& verdict,
              const std::string& source) {
    if (task.judging.reference || !task.judging.cases.empty() || verdict.count(CaseOutcome::judge_error) > 0)
        return;
    const CaseVerdict* next = next_case(verdict);
    Progress(repository)
        .record(task.lab, task.track,
                {verdict.points, verdict.max_points, 0, utc_now("%Y-%m-%dT%H:%M:%SZ"), content_hash(source),
                 next ? next->name : ""});
}

int build_lab(const Repository& repository, const GradeOptions& options) {
    const GradeTask task = task_for(repository, options);
    try {
        build_for(repository, task);
    } catch (const DoesNotCompile& error) {
        // In full and as the compiler says it: editors look for it.
        fmt::print(stderr, "{}\n", error.what());
        return exit_code::does_not_compile;
    }
    fmt::print("built: {}\n", task.judging.subject);
    return exit_code::full_marks;
}

int grade(const Repository& repository, const GradeOptions& options) {
    const GradeTask task = task_for(repository, options);
    const bool to_stdout = options.json == "-";
    // A verdict of an earlier run must not be taken for this one's.
    if (!options.json.empty() && !to_stdout && fs::is_regular_file(options.json))
        fs::remove(options.json);
    const std::string source = read_file(repository / task.judging.source).value_or("");
    try {
        const PassingLine line(fmt::format("building {} …", task.target));
        build_for(repository, task);
    } catch (const DoesNotCompile& error) {
        fmt::print(stderr, "{} does not compile:\n\n{}\nNothing was judged.\n", task.judging.source,
                   error.what());
        return exit_code::does_not_compile;
    }
    Judged judged;
    {
        const PassingLine line(fmt::format("judging {} …", task.lab.name));
        judged = judge_again_if_it_fails(repository, task.judging, [](const std::string& words) {
            fmt::print(stderr, "course: the judge failed and is asked again: {}\n", words);
        });
    }
    if (to_stdout)
        fmt::print("{}\n", judged.json);
    else if (!options.json.empty())
        write_file(options.json, judged.json + "\n");
    if (!to_stdout) {
        const Style style = style_for(STDOUT_FILENO);
        fmt::print("{}{}", verdict_text(repository, task.lab, task.track, judged.verdict, style),
                   summary_text(repository, task.lab, task.track, judged.verdict, options.solution ? "" : source, style));
    }
    // Whoever has the solutions works on the course itself.
    if (!to_stdout && !repository.has_solutions())
        if (const std::vector<std::string> edited = edited_files(repository, task.lab); !edited.empty())
            fmt::print("\n{}\n", wrapped(fmt::format("Note: this verdict rests on files of the course that were edited here: {}. Yours is graded with the "
                                                     "original ones; './course update' brings them back.", visible(joined(edited))), terminal_width(), 0));
    if (!to_stdout && judged.verdict.full_marks() && !options.solution && options.cases.empty())
        fmt::print("\n{}\n", wrapped(fmt::format("Well done. Next: {}the next lab ('./course' shows it), or this one on the other track: ./course grade {} --track {}",
                                                 repository.has_solutions() ? fmt::format("compare with solutions/{}, ", task.lab.name) : "", task.lab.number,
                                                 task.track == Track::posix ? "win32" : "posix"), terminal_width(), 0));
    remember(repository, task, judged.verdict, source);
    return code_for(judged.verdict);
}

}  // namespace course
