// The `course` tool: what ./course calls when the machine is ready. One verb, one file; this one reads the
// command line.

#include "commands.hpp"
#include "failure.hpp"
#include "interrupt.hpp"
#include "process.hpp"
#include <cerrno>
#include <CLI/CLI.hpp>
#include <cstring>
#include <fmt/format.h>
#include <functional>

using namespace course;

namespace {

constexpr const char* exit_codes = R"(Exit codes:
  0    full marks, or done
  1    judged, points are missing; or a check failed
  2    wrong usage: unknown lab, case, track or option
  3    the file does not compile
  4    this machine is not ready: tool missing, disk full, cannot write
  5    the judge failed, not the student
  130  interrupted
docs/exit-codes.md says more.)";

// An answer that did not arrive is no success: `./course grade 01 > /full/disk/file`.
int flushed(int code) {
    errno = 0;
    if (std::fflush(stdout) == 0 && !std::ferror(stdout))
        return code;
    if (errno == EPIPE)
        return code;
    fmt::print(stderr, "course: cannot write the answer to standard output: {}\n", std::strerror(errno));
    return exit_code::machine;
}

void add_grading_options(CLI::App& verb, GradeOptions& options) {
    verb.add_option("lab", options.lab, "the lab: 01, 1 or 01-anonymous-pipes")->required();
    verb.add_option("--track", options.track, "posix or win32")->capture_default_str();
    verb.add_option("--case", options.cases, "judge only this case (1.2); may be given again")
        ->take_all()
        ->allow_extra_args(false);
    verb.add_flag("--solution", options.solution, "judge the reference instead of your file");
    verb.add_option("--json", options.json,
                    "write the verdict to this file as well (-: to standard output instead of the text)");
    verb.add_option("--seed", options.seed,
                    "draw the random payloads from this seed, as an earlier verdict printed it");
}

int run(int argc, char** argv) {
    CLI::App app{
        "IPC Labs: graded labs on inter-process communication. Without a command: the course at a glance."};
    app.name("./course");
    app.footer(exit_codes);
    app.require_subcommand(0, 1);
    app.set_help_flag("-h,--help", "print this and end");
    std::function<int(const Repository&)> action = glance;
    const auto verb = [&](CLI::App& parent, const char* name, const char* words,
                          std::function<int(const Repository&)> does) {
        CLI::App* sub = parent.add_subcommand(name, words);
        sub->footer(exit_codes);
        // 'bench loop' calls back for loop and then for bench: the inner one is meant.
        sub->callback([&action, sub, does = std::move(does)] {
            if (sub->get_subcommands().empty())
                action = does;
        });
        return sub;
    };

    GradeOptions grading;
    add_grading_options(
        *verb(app, "grade", "build and judge a lab", [&](const Repository& r) { return grade(r, grading); }),
        grading);
    add_grading_options(*verb(app, "watch", "judge a lab at every save",
                              [&](const Repository& r) { return watch(r, grading); }),
                        grading);

    GradeOptions building;
    CLI::App* sub = verb(app, "build", "build a lab program, to run it by hand", [&](const Repository& r) { return build_lab(r, building); });
    sub->add_option("lab", building.lab, "the lab: 01, 1 or 01-anonymous-pipes")->required();
    sub->add_option("--track", building.track, "posix or win32")->capture_default_str();
    sub->add_flag("--solution", building.solution, "the reference instead of your program");

    std::vector<std::string> hint_words;
    std::string track;
    bool all_hints = false;
    sub =
        verb(app, "hint", "the next hint to a case, from gentle to nearly telling", [&](const Repository& r) {
            return hint(r, hint_words.size() == 2 ? hint_words[0] : "", hint_words.back(), track, all_hints);
        });
    sub->add_option("case", hint_words, "the case: 1.2, or '01 1.2' to name the lab as well")
        ->required()
        ->expected(1, 2);
    sub->add_option("--track", track, "posix or win32 (default: the one graded last)");
    sub->add_flag("--all", all_hints, "all hints at once");

    std::string handout_lab, handout_section;
    bool no_pager = false;
    sub = verb(app, "handout", "a lab's handout, in the terminal",
               [&](const Repository& r) { return handout(r, handout_lab, handout_section, no_pager); });
    sub->add_option("lab", handout_lab, "the lab: 01, 1 or 01-anonymous-pipes")->required();
    sub->add_option("section", handout_section, "only this section, as a verdict names it (end-of-file)");
    sub->add_flag("--no-pager", no_pager, "all at once, not page by page");

    TraceOptions tracing;
    sub = verb(app, "trace", "run lab programs and draw who called what and who waited for whom",
               [&](const Repository& r) { return trace(r, tracing); });
    sub->add_option("lab", tracing.lab, "the lab: 02, 2 or 02-named-pipes")->required();
    sub->add_option("program", tracing.words,
                    "behind --: a verb with its arguments; '+' and another one: read my_pipe + write my_pipe hello")
        ->required();
    sub->add_option("--track", tracing.track, "posix or win32")->capture_default_str();
    sub->add_flag("--solution", tracing.solution, "trace the reference instead of your program");
    sub->add_option("--patience", tracing.patience, "seconds without a call after which whoever still waits is ended")
        ->capture_default_str()
        ->check(CLI::Range(0.2, 600.0));
    sub->add_option("--svg", tracing.svg, "draw the chart into this file as well");

    DebugOptions debugging;
    sub = verb(app, "debug", "gdb on your program as a case of the judge runs it",
               [&](const Repository& r) { return debug(r, debugging); });
    sub->add_option("lab", debugging.lab, "the lab: 01, 1 or 01-anonymous-pipes")->required();
    sub->add_option("--case", debugging.case_name, "the case (default: the first that fails)");
    sub->add_option("--track", debugging.track, "posix or win32")->capture_default_str();
    sub->add_flag("--solution", debugging.solution, "the reference instead of your program");
    sub->add_option("--program", debugging.program, "which of the lab programs that the case starts")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000));
    sub->add_option("--seed", debugging.seed, "the seed of the verdict that is to be looked into");
    sub->add_option("--ex", debugging.commands, "a command for gdb, without a person; may be given again")
        ->take_all()
        ->allow_extra_args(false);

    CLI::App* of_class = app.add_subcommand("class", "for instructors");
    of_class->require_subcommand(1);
    ClassOptions grading_class;
    sub = verb(*of_class, "grade", "grade a folder of submissions, each in a sandbox",
               [&](const Repository& r) { return class_grade(r, grading_class); });
    sub->add_option("submissions", grading_class.submissions, "a folder with a folder, zip or tar for each student")->required();
    sub->add_option("--out", grading_class.out, "where the results go; unchanged submissions in it are not graded again")->required();
    sub->add_option("--lab", grading_class.labs, "only this lab; may be given again")->take_all()->allow_extra_args(false);
    sub->add_option("--track", grading_class.tracks, "posix (default) or win32; may be given again, for both")->take_all()->allow_extra_args(false);
    sub->add_option("--format", grading_class.formats, "results also as gradescope, classroom50, autolab, prairielearn, junit or vpl; may be given again")
        ->take_all()
        ->allow_extra_args(false);
    sub->add_option("--isolation", grading_class.isolation, "namespaces, user or none (default: the strongest to be had)");
    sub->add_option("--require", grading_class.require, "fail unless the isolation is at least this");
    sub->add_option("--jobs", grading_class.jobs, "submissions graded at once (default: one more than processors)")->check(CLI::Range(1, 256));
    sub->add_option("--seed", grading_class.seed, "the same random payloads for everybody");
    sub->add_flag("--again", grading_class.again, "grade also what has not changed");
    sub->add_option("--engine", grading_class.engine, "local: on this machine; slurm: on a cluster, as an array of jobs")
        ->capture_default_str()
        ->check(CLI::IsMember({"local", "slurm"}));
    sub->add_option("--slurm-option", grading_class.slurm_options, "for sbatch, as it is (--slurm-option=--partition=teaching); may be given again")
        ->take_all()
        ->allow_extra_args(false);
    sub->add_option("--pack", grading_class.pack, "submissions that one task of Slurm grades (default: 10, more for a large class)")->check(CLI::Range(1, 10000));

    std::string plan;
    unsigned task = 0;
    // What the tasks of --engine slurm run; nobody types it.
    sub = verb(*of_class, "task", "grade one part of a plan", [&](const Repository& r) { return class_task(r, plan, task); });
    sub->group("");
    sub->add_option("plan", plan)->required();
    sub->add_option("task", task)->required();

    BundleOptions bundling;
    sub = verb(*of_class, "bundle", "pack what goes out: to students, to Gradescope, into a container",
               [&](const Repository& r) { return class_bundle(r, bundling); });
    sub->add_option("--out", bundling.out, "the folder for the archives")->required();
    sub->add_option("--lab", bundling.labs, "Gradescope's assignment has this lab; may be given again (default: all)")->take_all()->allow_extra_args(false);

    SimilarityOptions comparing;
    sub = verb(*of_class, "similarity", "which submissions are like each other, by Dolos",
               [&](const Repository& r) { return class_similarity(r, comparing); });
    sub->add_option("submissions", comparing.submissions, "a folder with a folder, zip or tar for each student")->required();
    sub->add_option("--lab", comparing.lab, "the lab: 01, 1 or 01-anonymous-pipes")->required();
    sub->add_option("--out", comparing.out, "where the input for Dolos and its answer go")->required();
    sub->add_option("--track", comparing.track, "posix or win32")->capture_default_str();
    sub->add_option("--dolos", comparing.dolos, "where 'npm install @dodona/dolos-lib' was run (default: npm's global folder)");

    std::string update_source;
    sub = verb(app, "update", "bring in a new version of the course; your own files are not touched",
               [&](const Repository& r) { return update(r, update_source); });
    sub->add_option("source", update_source, "a folder with the new version, or a git remote (default: origin)");

    std::string reset_lab, reset_track = "posix";
    sub = verb(app, "reset", "give a starter back as it was shipped; your file is kept aside",
               [&](const Repository& r) { return reset(r, reset_lab, reset_track); });
    sub->add_option("lab", reset_lab, "the lab: 01, 1 or 01-anonymous-pipes")->required();
    sub->add_option("--track", reset_track, "posix or win32")->capture_default_str();

    bool install = false;
    sub = verb(app, "doctor", "is this machine ready, what is missing, for which track",
               [&](const Repository& r) { return doctor(r, track); });
    sub->add_option("--track", track, "look at one track only");
    sub->add_flag("--install", install, "install what is missing for both tracks first (apt-get)");

    TestOptions testing;
    sub = verb(app, "test", "every check of the project itself",
               [&](const Repository& r) { return test(r, testing); });
    sub->add_option("--lab", testing.labs, "only this lab; may be given again")
        ->take_all()
        ->allow_extra_args(false);
    sub->add_option("--track", testing.tracks, "only this track; may be given again")
        ->take_all()
        ->allow_extra_args(false);
    sub->add_flag("--quick", testing.quick, "for development: 5 repeats, no sanitizers");
    sub->add_option("--mistakes", testing.mistakes, "only the mistakes, each judged so often: is every one caught every time?")
        ->check(CLI::Range(1, 1000));
    sub->add_option("--minutes", testing.minutes, "over the whole course: what is not begun by then is left out, and said")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000));

    DocsOptions documenting;
    sub = verb(app, "docs", "build the site: handouts, contracts, mistakes",
               [&](const Repository& r) { return build_docs(r, documenting); });
    sub->add_flag("--instructor", documenting.instructor, "the instructor's edition, with the solutions");
    sub->add_flag("--open", documenting.open, "show it in a browser");

    BenchMechanismsOptions measuring;
    CLI::App* bench = verb(app, "bench", "measure every mechanism on this machine",
                           [&](const Repository& r) { return bench_mechanisms(r, measuring); });
    bench->require_subcommand(0, 1);
    bench->add_option("lab", measuring.lab, "one lab's own comparison instead (05, 07)");
    bench->add_option("--track", measuring.track, "posix or win32 (under Wine: its figures, not Windows')")->capture_default_str();
    bench->add_option("--mechanism", measuring.mechanisms, "only this mechanism; may be given again")
        ->take_all()
        ->allow_extra_args(false);
    bench->add_flag("--mine", measuring.mine, "your files instead of the reference solutions");
    bench->add_option("--time", measuring.seconds, "about so many seconds of measuring (default: 60 to 120)")
        ->check(CLI::Range(1.0, 36000.0));
    bench->add_option("--rounds", measuring.rounds, "rounds in which all take their turn")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000));
    bench->add_option("--rate", measuring.rate, "messages a second in the open loop")
        ->capture_default_str()
        ->check(CLI::Range(1.0, 1e6));
    bench->add_flag("--smoke", measuring.smoke, "see in a few seconds that it runs; the figures mean nothing");
    bench->add_option("--json", measuring.json, "write all figures to this file as well");
    bench->add_option("--html", measuring.html, "write a report to this file as well");
    bench->add_option("--svg", measuring.svg, "write the report's chart to this file as well");
    BenchOptions benching;
    sub = verb(*bench, "loop", "from save to verdict, beside the compile time alone",
               [&](const Repository& r) { return bench_loop(r, benching); });
    sub->add_option("--lab", benching.lab, "the lab whose solution is edited")->capture_default_str();
    sub->add_option("--track", benching.tracks, "only this track; may be given again")
        ->take_all()
        ->allow_extra_args(false);
    sub->add_option("--edits", benching.edits, "how many edits are measured")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000));
    sub->add_option("--json", benching.json, "write the figures to this file as well");

    BenchClassOptions grading_many;
    sub = verb(*bench, "class", "grade a synthetic class, killed half-way: is every verdict right, and what does it take",
               [&](const Repository& r) { return bench_class(r, grading_many); });
    sub->add_option("--submissions", grading_many.submissions, "how many")->capture_default_str()->check(CLI::Range(2, 100000));
    sub->add_option("--lab", grading_many.labs, "only this lab; may be given again")->take_all()->allow_extra_args(false);
    sub->add_option("--track", grading_many.tracks, "posix (default) or win32; may be given again")->take_all()->allow_extra_args(false);
    sub->add_option("--class-seed", grading_many.seed, "another class")->capture_default_str();
    sub->add_option("--jobs", grading_many.jobs, "submissions graded at once (default: as class grade does)")->check(CLI::Range(1, 256));
    sub->add_option("--require", grading_many.require, "fail unless the isolation is at least this");
    sub->add_option("--folder", grading_many.folder, "where it works (default: build/bench-class)");
    sub->add_flag("--once", grading_many.once, "without the undisturbed run that the other one is compared with");
    sub->add_flag("--keep", grading_many.keep, "leave submissions and results there");

    if (argc > 1 && std::string_view(argv[1]) == "trace")
        if (const std::string words = misplaced_trace_words({argv + 2, argv + argc}); !words.empty())
            throw Failure(exit_code::usage, words);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const bool asked_for_help = error.get_exit_code() == 0;
        std::vector<std::string> verbs;
        for (const CLI::App* each : app.get_subcommands({}))
            verbs.push_back(each->get_name());
        if (!asked_for_help && argc > 1 && argv[1][0] != '-' &&
            std::find(verbs.begin(), verbs.end(), argv[1]) == verbs.end())
            throw Failure(exit_code::usage, fmt::format("there is no command '{}'; the commands are {}",
                                                        argv[1], joined(verbs)));
        app.exit(error);
        return asked_for_help ? exit_code::full_marks : exit_code::usage;
    }
    return action(find_repository());
}

}  // namespace

int main(int argc, char** argv) {
    watch_for_interrupts();
    adopt_orphans();
    try {
        return flushed(run(argc, argv));
    } catch (const Failure& error) {
        std::fflush(stdout);
        fmt::print(stderr, "course: {}\n", error.what());
        return error.code();
    } catch (const std::exception& error) {
        // What nobody foresaw (a file system that refuses, memory) is the machine's.
        std::fflush(stdout);
        fmt::print(stderr, "course: {}\n", error.what());
        return exit_code::machine;
    }
}
