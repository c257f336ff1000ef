#pragma once

/// @file
/// Calling a judge: the command of docs/judge-protocol.md, and the one line that it answers.

#include "labs.hpp"
#include "process.hpp"
#include "verdict.hpp"
#include <functional>

namespace course {

/// What is to be judged, and how.
struct Judging {
    Lab lab;
    Track track = Track::posix;
    std::string subject;             ///< the program, from the repository's root
    std::string source;              ///< the file to name in messages
    std::vector<std::string> cases;  ///< empty: all
    std::string seed;                ///< empty: a fresh one
    bool reference = false;          ///< the solution is judged: the command that judges again says so
    int jobs = 0;                    ///< cases at once; 0: as the judge sees fit
    std::string wine;                ///< win32: the Wine folder to judge in; empty: wine_folder()
};

struct Judged {
    Verdict verdict;
    std::string json;  ///< the verdict's line, as the judge wrote it
    int code = 0;      ///< the judge's exit code
};

/// Names of the targets that judge one lab.
std::vector<std::string> judging_targets(const Lab& lab, const std::string& subject_target);

/// The command that asks for the verdict.
Command judge_command(const Repository& repository, const Judging& judging);

/// Judges. The judge and everything that it has started have ended when this returns or throws.
/// @throws Failure (usage) for an unknown case, Failure (judge error), Interrupted
Judged judge(const Repository& repository, const Judging& judging);

/// The same; but a judge that fails says nothing of its subject, and is asked again, up to twice. Wine's server has been
/// seen to die under load, and whoever waits for it then waits for ever: it is started anew.
/// @param note  is told of each failure, in a line
Judged judge_again_if_it_fails(const Repository& repository, const Judging& judging,
                               const std::function<void(const std::string&)>& note);

/// The lab's cases without outcomes, with their hints. The judge must be built.
Verdict list_cases(const Repository& repository, const Lab& lab, Track track);

}  // namespace course
