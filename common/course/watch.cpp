#include "failure.hpp"
#include "files.hpp"
#include "grade.hpp"
#include "interrupt.hpp"
#include "saves.hpp"
#include "terminal.hpp"
#include "verdict_text.hpp"
#include <chrono>
#include <fmt/format.h>
#include <unistd.h>

namespace course {
namespace {

using clock = std::chrono::steady_clock;

// Judges the file as it is. What keeps one round from a verdict is said, and the next save tries again.
void judge_once(const Repository& repository, const GradeTask& task, const GradeOptions& options,
                clock::time_point saved) {
    const Style style = style_for(STDOUT_FILENO);
    const std::string source = read_file(repository / task.judging.source).value_or("");
    std::string text;
    try {
        build_for(repository, task);
        const Judged judged = judge(repository, task.judging);
        if (!options.json.empty() && options.json != "-")
            write_file(options.json, judged.json + "\n");
        text = options.json == "-"
                   ? judged.json + "\n"
                   : verdict_text_short(repository, task.lab, task.track, judged.verdict, style) +
                         summary_text(task.lab, task.track, judged.verdict, options.solution ? "" : source,
                                      style);
        remember(repository, task, judged.verdict, source);
    } catch (const DoesNotCompile& error) {
        text = fmt::format("{} does not compile:\n\n{}", task.judging.source, error.what());
    } catch (const Interrupted&) {
        throw;
    } catch (const Failure& error) {
        text = fmt::format("{}\n", error.what());
    }
    const double seconds = std::chrono::duration<double>(clock::now() - saved).count();
    if (::isatty(STDOUT_FILENO))
        fmt::print("\x1b[H\x1b[2J\x1b[3J");
    fmt::print("{}\n{}{:.2f} s from save to verdict. Waiting for the next save of {}; Ctrl-C ends.{}\n", text,
               style.dim, seconds, task.judging.source, style.off);
    std::fflush(stdout);
}

}  // namespace

int watch(const Repository& repository, const GradeOptions& options) {
    const GradeTask task = task_for(repository, options);
    // Before the first round, so that a save during it is not missed.
    Saves saves(repository / task.judging.source);
    judge_once(repository, task, options, clock::now());
    for (;;) {
        const clock::time_point saved = saves.wait();
        judge_once(repository, task, options, saved);
    }
}

}  // namespace course
