#pragma once

/// @file
/// A result as lines, whatever the format: shared by what renders it.

#include "class_results.hpp"

namespace course {

/// One line: a case, or what stands for a whole lab or submission.
struct Item {
    std::string lab, track, name, outcome, words;
    int points = 0, max_points = 0;
    double seconds = 0;
    std::string mistake;  ///< its name, if the judge has given one
};

/// Cases that are unavailable here are left out: they count neither for nor against.
std::vector<Item> items_of(const ClassResult& result);

/// For XML and HTML: what has a meaning there is escaped, what may not stand there is '?'.
std::string xml(const std::string& text, bool attribute = false);

}  // namespace course
