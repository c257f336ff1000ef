#pragma once

/// @file
/// The verbs of `./course`. Each returns its exit code and throws Failure for what keeps it from its work.

#include "labs.hpp"
#include <string>
#include <vector>

namespace course {

struct GradeOptions {
    std::string lab;
    std::string track = "posix";
    std::vector<std::string> cases;
    bool solution = false;
    std::string json;  ///< where to write the verdict; "-": standard output instead of the text
    std::string seed;
};

struct TestOptions {
    std::vector<std::string> labs;    ///< empty: all
    std::vector<std::string> tracks;  ///< empty: both
    bool quick = false;               ///< 5 repeats, no sanitizers
    int repeats = 20;
    int mistakes = 0;  ///< if positive: nothing but the mistakes, each judged so often
    int minutes = 17;  ///< over the whole course: what then is still to be built or repeated is left out, and said
};

/// What is wrong with the words of a `./course trace` command line, before CLI11 takes the -- out of it; empty if nothing is.
std::string misplaced_trace_words(const std::vector<std::string>& words);

struct BenchOptions {
    std::string lab = "01";
    std::vector<std::string> tracks;  ///< empty: both
    int edits = 10;
    std::string json;
};

struct BenchMechanismsOptions {
    std::string lab;                      ///< empty: every mechanism
    std::string track = "posix";
    std::vector<std::string> mechanisms;  ///< only these; empty: all
    bool mine = false;                    ///< from the student's files instead of the solutions
    bool smoke = false;                   ///< a second or two, to see that it runs; the figures mean nothing
    double seconds = 0;                   ///< of measuring in all; 0: as long as this benchmark usually takes
    int rounds = 5;
    double rate = 5000;                   ///< of the open loop, messages a second
    std::string json, html, svg;          ///< files to write as well
};

struct BenchClassOptions {
    std::size_t submissions = 200;
    std::vector<std::string> labs;    ///< empty: all
    std::vector<std::string> tracks;  ///< empty: posix
    unsigned seed = 1;                ///< of the class that is made
    unsigned jobs = 0;
    std::string require, folder;
    bool once = false;  ///< without the undisturbed run that the disturbed one is compared with
    bool keep = false;  ///< the folder with submissions and results stays
};

struct TraceOptions {
    std::string lab;
    std::string track = "posix";
    std::vector<std::string> words;  ///< the programs' arguments, "+" between programs
    bool solution = false;
    double patience = 2;  ///< seconds without a call after which whoever is left is ended
    std::string svg;      ///< a file to draw into as well
};

struct DocsOptions {
    bool instructor = false;  ///< with solutions and the instructors' pages
    bool open = false;        ///< show it in a browser
};

struct DebugOptions {
    std::string lab;
    std::string track = "posix";
    std::string case_name;  ///< empty: the first that fails
    bool solution = false;
    int program = 1;  ///< which of the lab programs that the case starts
    std::string seed;
    std::vector<std::string> commands;  ///< for gdb, instead of a person
};

struct ClassOptions {
    std::string submissions, out;
    std::vector<std::string> labs;     ///< empty: all
    std::vector<std::string> tracks;   ///< empty: posix
    std::vector<std::string> formats;  ///< besides CSV and HTML
    std::string isolation;             ///< the level to use; empty: the strongest
    std::string require;               ///< the weakest level that will do
    std::string seed;
    unsigned jobs = 0;   ///< 0: one a processor
    bool again = false;  ///< grade also what has not changed
    std::string engine = "local";            ///< or "slurm"
    std::vector<std::string> slurm_options;  ///< for sbatch, as they are
    unsigned pack = 0;                       ///< submissions that a task of Slurm grades; 0: as it sees fit
};

struct BundleOptions {
    std::string out;
    std::vector<std::string> labs;  ///< that Gradescope grades; empty: all
};

struct SimilarityOptions {
    std::string submissions, out, lab;
    std::string track = "posix";
    std::string dolos;  ///< the folder where Dolos was installed by npm; empty: looked for
};

int glance(const Repository& repository);
int grade(const Repository& repository, const GradeOptions& options);
int build_lab(const Repository& repository, const GradeOptions& options);
int watch(const Repository& repository, const GradeOptions& options);
int hint(const Repository& repository, const std::string& lab, const std::string& case_name,
         const std::string& track, bool all);
int handout(const Repository& repository, const std::string& lab, const std::string& section, bool plain = false);
int debug(const Repository& repository, const DebugOptions& options);
int class_grade(const Repository& repository, const ClassOptions& options);
int class_task(const Repository& repository, const std::string& plan, unsigned task);
int class_bundle(const Repository& repository, const BundleOptions& options);
int class_similarity(const Repository& repository, const SimilarityOptions& options);
int update(const Repository& repository, const std::string& source);
int trace(const Repository& repository, const TraceOptions& options);
int reset(const Repository& repository, const std::string& lab, const std::string& track);
int doctor(const Repository& repository, const std::string& track);
int test(const Repository& repository, const TestOptions& options);
int build_docs(const Repository& repository, const DocsOptions& options);
int bench_loop(const Repository& repository, const BenchOptions& options);
int bench_class(const Repository& repository, const BenchClassOptions& options);
int bench_mechanisms(const Repository& repository, const BenchMechanismsOptions& options);

}  // namespace course
