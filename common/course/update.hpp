#pragma once

/// @file
/// Bringing a new version of the course into a student's copy.

#include "labs.hpp"
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace course {

/// labs/NN-name/posix.cpp and win32.cpp: what belongs to the student.
bool is_students_file(const std::filesystem::path& path);

/// The course's files as they were shipped to this copy, by the hashes of their contents: what differs was edited here.
class Shipped {
public:
    /// Every file below `folder` was shipped as it is there.
    void add(const std::filesystem::path& folder);
    /// The same from a list that save() has written; a missing one adds nothing.
    void load(const std::filesystem::path& list);
    void save(const std::filesystem::path& list) const;

    bool knows(const std::filesystem::path& file) const { return hashes_.count(file.string()) > 0; }
    bool has(const std::filesystem::path& file, const std::string& content) const;
    std::vector<std::string> files() const;

private:
    std::map<std::string, std::set<std::string>> hashes_;
};

struct UpdateReport {
    std::vector<std::string> updated, removed;
    std::vector<std::string> kept;            ///< had been edited by the student and were kept aside
    std::vector<std::string> replaced;        ///< perhaps edited: nobody knows how they were shipped. In `replaced_in`
    std::filesystem::path replaced_in;
    std::vector<std::string> newer_starters;  ///< student's files whose starter has changed
};

/// Makes `root` like `fresh`, all but the student's files; a student's file that is still the shipped starter becomes
/// the new one.
/// @param base  the version that `root` was made from, if it is known. What an earlier update has brought is known besides.
UpdateReport update_from(const std::filesystem::path& root, const std::filesystem::path& fresh, const std::filesystem::path& base);

/// What a verdict over `lab` rests on besides the student's file, and was edited in this copy: its contract, the given
/// part, its judge, the harness. Empty where neither git nor an earlier update can tell.
std::vector<std::string> edited_files(const Repository& repository, const Lab& lab);

}  // namespace course
