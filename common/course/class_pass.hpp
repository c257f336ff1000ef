#pragma once

/// @file
/// Going through a class: all at once, or in parts that several machines share.

#include "commands.hpp"
#include <set>

namespace course {

/// What one pass over the submissions does and leaves. As it is made, it does everything on this machine.
struct ClassPass {
    bool is_built = false;           ///< judges and recipes are there: nothing is configured or built
    bool grade = true;               ///< otherwise what would be graded is only named in `ungraded`
    bool keep_judge_errors = false;  ///< a result that an instructor has to look at counts as graded
    bool report = true;              ///< tables, pages and formats over all
    std::set<std::string> only;      ///< keys of the submissions; empty: all
    unsigned place = 0;              ///< tells graders apart that work for the same results on one machine
    std::string isolation;           ///< told: the level that was used
    std::set<std::string> ungraded;  ///< told: keys

    /// Others work on other parts of the same results meanwhile.
    bool is_part() const { return grade && !report; }
};

/// @returns the exit code of `class grade`
int grade_pass(const Repository& repository, const ClassOptions& options, ClassPass& pass);

/// Has the submissions graded by the tasks of a Slurm array, and reports as grade_pass() does.
/// @throws Failure (machine) where there is no Slurm, or a part came to nothing
int grade_by_slurm(const Repository& repository, const ClassOptions& options);

}  // namespace course
