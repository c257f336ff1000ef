#pragma once

/// @file
/// What there is to grade: the repository, its labs, its tracks, and where their files lie.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace course {

enum class Track { posix, win32 };

std::string_view name_of(Track track);
/// @throws Failure (usage) listing the tracks
Track track_named(std::string_view text);

struct Lab {
    std::string number;  ///< "01"
    std::string name;    ///< "01-anonymous-pipes"
};

/// The repository. Its paths are relative to `root`, because that is how they are shown and where everything
/// is run.
struct Repository {
    std::filesystem::path root;

    std::vector<Lab> labs() const;
    /// "01", "1", "01-anonymous-pipes" or "labs/01-anonymous-pipes/".
    /// @throws Failure (usage) listing the labs
    Lab lab_named(std::string_view text) const;
    bool has_solutions() const;
    std::filesystem::path operator/(const std::filesystem::path& path) const { return root / path; }
};

/// Looks upwards from the running program, or takes COURSE_ROOT.
/// @throws Failure (machine)
Repository find_repository();

/// The student's file, the shipped one, the handout.
std::string source_of(const Lab& lab, Track track);
std::string starter_of(const Lab& lab, Track track);
std::string handout_of(const Lab& lab);

/// The CMake preset that a track is built by on this system.
std::string preset_of(Track track);
std::string build_of(const std::string& preset);
/// `bin/NAME` of a preset, with .exe where it has one.
std::string program_of(const std::string& preset, const std::string& name);

/// ", " between them.
std::string joined(const std::vector<std::string>& words, std::string_view between = ", ");

}  // namespace course
