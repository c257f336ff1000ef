#pragma once

/// @file
/// What makes a lab sound, on one track: its cases, starter, solution, mistakes, alternatives, cheats and
/// repeats.

#include "commands.hpp"
#include "report.hpp"
#include "wine.hpp"
#include <chrono>

namespace course {

/// What all checks of one `./course test` share.
struct TestRun {
    const Repository& repository;
    const TestOptions& options;
    Report& report;
    bool solutions;     ///< whether solutions/ is part of this copy
    WineFolders& wine;  ///< where judges of the win32 track work
    std::chrono::steady_clock::time_point begun;

    /// Whether so much of the time for the whole course is over that what is only begun now would not end within it.
    bool is_over(double part) const {
        return options.labs.empty() && options.mistakes == 0 &&
               std::chrono::steady_clock::now() - begun > std::chrono::minutes(options.minutes) * part;
    }
};

/// Checks one lab on one track, all but the repeats, and reports as it goes.
/// @param subjects  whether its mistakes and alternatives were built; else they are reported as skipped
SummaryRow check_lab(const TestRun& run, const Lab& lab, Track track, bool subjects);

/// Judges the solution again and again, while the caller keeps the processors busy. @return "20/20"
std::string check_repeats(const TestRun& run, const Lab& lab, Track track);

/// The names of the lab's `kind` ("alternatives", "cheats") of a track.
std::vector<std::string> sources_in(const Repository& repository, const Lab& lab, const std::string& kind,
                                    Track track);

/// Whether a source starts threads, so that TSan has something to look at: it sees nothing between processes.
bool has_threads(const Repository& repository, const std::string& source);

/// The lab's posix sources that have threads, as targets: "solution-01", "alternative-01-two-threads", and
/// the mistakes that only TSan shows.
std::vector<std::string> threaded_targets(const Repository& repository, const Lab& lab);

}  // namespace course
