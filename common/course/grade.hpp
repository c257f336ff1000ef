#pragma once

/// @file
/// Build, judge, tell: what `grade` does once and `watch` at every save.

#include "commands.hpp"
#include "judge_client.hpp"
#include <optional>

namespace course {

/// What a command line of `grade` or `watch` means.
struct GradeTask {
    Lab lab;
    Track track = Track::posix;
    std::string target;  ///< lab-01 or solution-01
    Judging judging;
};

/// @throws Failure (usage)
GradeTask task_for(const Repository& repository, const GradeOptions& options);

/// The student's file does not compile: the compiler's first errors.
class DoesNotCompile : public std::exception {
public:
    explicit DoesNotCompile(std::string errors) : errors_(std::move(errors)) {}
    const char* what() const noexcept override { return errors_.c_str(); }

private:
    std::string errors_;
};

/// Builds the subject and its judge.
/// @throws DoesNotCompile, Failure
void build_for(const Repository& repository, const GradeTask& task);

/// Exit code for a verdict.
int code_for(const Verdict& verdict);

/// Remembers a verdict over the whole of the student's own file.
/// @param source  the file as it was when it was built
void remember(const Repository& repository, const GradeTask& task, const Verdict& verdict,
              const std::string& source);

}  // namespace course
