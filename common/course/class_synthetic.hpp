#pragma once

/// @file
/// A class that hands in what the repository has: solutions, starters, mistakes, alternatives, cheats, broken files. What
/// each of them deserves is known beforehand, so a grader can be measured and proved by it.

#include "class_results.hpp"
#include "labs.hpp"
#include <filesystem>
#include <string>
#include <vector>

namespace course {

/// What a file deserves.
struct Deserved {
    enum class Points { none, some_missing, all };
    std::string lab, track;
    std::string what;    ///< "solution", "mistake write-end-kept", …: for messages
    std::string status;  ///< as in ClassResult
    Points points = Points::none;
    bool not_attempted = false;      ///< every case says so
    std::vector<std::string> cases;  ///< each of them must fail …
    std::string mistake;             ///< … and be called so
    bool attacks = false;            ///< it is made to take the grader's time
};

struct SyntheticStudent {
    std::string student;  ///< as reports name them
    std::string refused;  ///< a part of the reason; empty if it is taken
    std::vector<Deserved> files;
};

struct SyntheticOptions {
    std::size_t submissions = 200;
    std::vector<Lab> labs;
    std::vector<Track> tracks;
    unsigned seed = 1;  ///< the same class for the same seed
};

/// Writes a class into `folder`, which must be empty: folders, zips and tars, named as learning platforms name them.
/// @throws Failure (usage) where the repository has no solutions
std::vector<SyntheticStudent> make_class(const Repository& repository, const std::filesystem::path& folder, const SyntheticOptions& options);

/// What is wrong with a result, a line each; empty if it is as deserved.
std::string wrong_with(const ClassResult& result, const SyntheticStudent& deserved);

/// A result without what differs from run to run: times, process numbers, names of temporary files, and what processes were
/// doing at a moment.
std::string lasting_part(const ClassResult& result);

}  // namespace course
