#pragma once

/// @file
/// Building just what a command needs, and saying briefly what went wrong.

#include "labs.hpp"
#include <optional>
#include <string>
#include <vector>

namespace course {

/// Why a build folder cannot be used as it is (made elsewhere, by another CMake, for a compiler that is
/// gone), as a clause for a sentence; nothing if it can.
/// @param cache    its CMakeCache.txt
/// @param cmake_version  the version that is to build in it; empty: whichever
std::optional<std::string> build_folder_problem(const std::string& cache, const std::filesystem::path& root,
                                                const std::string& cmake_version);

/// The CMakeCache.txt's value of `key`, or an empty string.
std::string cache_value(const std::string& cache, std::string_view key);

/// Configures the preset if that was not done yet, or if its folder is of no use; then it is made anew, which
/// is said.
/// @throws Failure (machine)
void configure(const Repository& repository, const std::string& preset);

/// Runs ninja for `targets` and returns what it said if one of them failed, nothing if all are built.
/// The machine's own faults (disk full, no compiler) are told apart.
/// @param keep_going  build what can be built although something else failed
/// @throws Failure (machine)
std::optional<std::string> build(const Repository& repository, const std::string& preset,
                                 const std::vector<std::string>& targets, bool keep_going = false);

/// The compiler's and the linker's first errors in a build's output: each with its file and line as seen from
/// the repository, and the quoted source line.
std::string first_errors(const std::string& output, const std::filesystem::path& root, std::size_t most = 3);

/// The targets whose edges failed, as ninja's FAILED lines name them ("lab-01"); "" for what is no target's.
std::vector<std::string> failed_targets(const std::string& output);

}  // namespace course
