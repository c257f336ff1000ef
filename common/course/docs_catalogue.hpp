#pragma once

/// @file
/// What the site says of each lab beyond its handout, read from the files that the judges are made of: the
/// cases, and the catalogue of mistakes.

#include "docs_page.hpp"
#include "labs.hpp"
#include <map>
#include <string>
#include <vector>

namespace course::site {

struct Case {
    std::string name;      ///< "1.2"
    std::string title;     ///< "capture ends when the last write end is closed"
    std::string exercise;  ///< "Exercise 1: capture"
    std::string section;   ///< the anchor in the handout
    int points_posix = 0, points_win32 = 0;
    bool posix = false, win32 = false, windows_only = false;
};

/// The lab's cases as its judges' sources list them, in order.
/// @throws Failure (usage) for a judge in which no case is found
std::vector<Case> cases_of(const Repository& repository, const Lab& lab);

/// A table of the cases for the handout's end, as Markdown.
std::string case_table(const std::vector<Case>& cases);

/// The lab's catalogue of mistakes, grouped by the handout's sections.
/// @param handout  whose headings name the groups
/// @param patches  show the patches too: what solution and mistake look like
Page mistakes_page(const Repository& repository, const Lab& lab, const Page& handout,
                   const std::vector<Case>& cases, bool patches);

/// How many mistakes of a track are on file.
std::size_t mistakes_on_file(const Repository& repository, const Lab& lab, Track track);

}  // namespace course::site
