#pragma once

/// @file
/// Taking in what students handed in: only the files that a student may edit, out of a folder, a zip or a tar each.
/// Nothing is unpacked; names inside an archive are never used as paths.

#include "labs.hpp"
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace course {

/// Bounds on one student's submission; what exceeds them is refused with a reason.
struct IntakeLimits {
    std::size_t entries = 5000;          ///< files and folders
    std::size_t source_bytes = 512 * 1024;  ///< of one taken file
    std::size_t total_bytes = 64 << 20;  ///< unpacked, taken or not
};

/// What one student handed in.
struct Submission {
    std::string student;                ///< as reports name them
    std::string key;                    ///< the same as a file name: letters, digits, '.', '-', '_'
    std::filesystem::path source;       ///< the folder or archive
};

struct TakenFile {
    Lab lab;
    Track track = Track::posix;
    std::string content;
};

struct Intake {
    std::vector<TakenFile> files;        ///< by lab and track
    std::vector<std::string> problems;   ///< in words for the student; if not empty, nothing was taken
};

/// The student's name in the names that learning platforms give to downloads: Moodle (`Name_123_assignsubmission_file`),
/// Canvas (`name_LATE_123_456_file.zip`), Blackboard (`Lab_name_attempt_2026-…`), Gradescope (`submission_123`); else the
/// name without its extension.
std::string student_in(const std::string& file_name);

/// The submissions in a folder, by student. Hidden files are left out.
/// @throws Failure (usage) if there is none
std::vector<Submission> submissions_in(const std::filesystem::path& folder);

/// Takes `NN-name/posix.cpp` and `NN-name/win32.cpp` of the labs wanted, at whatever depth. With one lab wanted, a file
/// posix.cpp or win32.cpp that lies elsewhere will do.
Intake take_in(const Submission& submission, const std::vector<Lab>& labs, const IntakeLimits& limits = {});

}  // namespace course
