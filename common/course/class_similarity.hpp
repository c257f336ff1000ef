#pragma once

/// @file
/// Which submissions are like each other: the input for Dolos, and its answer with the students' names.

#include "class_intake.hpp"
#include <string>
#include <vector>

namespace course {

/// A submission's file in the folder that Dolos reads.
struct ComparedFile {
    std::string file;     ///< KEY.cpp
    std::string student;
    std::string content;
};

/// Two files that have something in common.
struct SimilarPair {
    std::string left, right;  ///< students
    double similarity = 0;    ///< the share of both files that is common, starter aside
    int longest = 0;          ///< of the longest common piece, in fingerprints
    std::string left_lines, right_lines;  ///< where it is: "12-80"
};

/// Dolos's list of what to compare (info.csv): each file with its student, and the starter as what everybody has.
std::string dolos_dataset(const std::vector<ComparedFile>& files, const std::string& starter);

/// What dolos.mjs prints, with students for files.
/// @throws Failure (machine) if it is something else
std::vector<SimilarPair> similar_pairs(const std::string& answer, const std::vector<ComparedFile>& files);

/// A line a pair, for a spreadsheet.
std::string similarity_csv(const std::vector<SimilarPair>& pairs);

}  // namespace course
