#pragma once

/// @file
/// What makes a lab sound, on one track: its cases, starter, solution, mistakes, alternatives, cheats and
/// repeats.

#include "commands.hpp"
#include "report.hpp"
#include "wine.hpp"

namespace course {

/// What all checks of one `./course test` share.
struct TestRun {
    const Repository& repository;
    const TestOptions& options;
    Report& report;
    bool solutions;     ///< whether solutions/ is part of this copy
    WineFolders& wine;  ///< where judges of the win32 track work
};

/// Checks one lab on one track, all but the repeats, and reports as it goes.
SummaryRow check_lab(const TestRun& run, const Lab& lab, Track track);

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
