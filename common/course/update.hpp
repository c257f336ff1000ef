#pragma once

/// @file
/// Bringing a new version of the course into a student's copy.

#include "labs.hpp"
#include <filesystem>
#include <string>
#include <vector>

namespace course {

/// labs/NN-name/posix.cpp and win32.cpp: what belongs to the student.
bool is_students_file(const std::filesystem::path& path);

struct UpdateReport {
    std::vector<std::string> updated, removed;
    std::vector<std::string> kept;            ///< had been edited by the student and were kept aside
    std::vector<std::string> newer_starters;  ///< student's files whose starter has changed
};

/// Makes `root` like `fresh`, all but the student's files; a student's file that is still the shipped starter becomes
/// the new one.
/// @param base  the version that `root` was made from, if it is known: what differs from it was edited here
UpdateReport update_from(const std::filesystem::path& root, const std::filesystem::path& fresh, const std::filesystem::path& base);

/// What a verdict over `lab` rests on besides the student's file, and was edited in this copy: its contract, the given
/// part, its judge, the harness. Empty where git cannot tell.
std::vector<std::string> edited_files(const Repository& repository, const Lab& lab);

}  // namespace course
