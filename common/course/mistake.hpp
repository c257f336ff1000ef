#pragma once

/// @file
/// The catalogue of mistakes: patches on the solution with a header that says who must catch them, and how.

#include "labs.hpp"
#include <string>
#include <vector>

namespace course {

struct Mistake {
    std::string name;  ///< the file's name, "write-end-kept"
    std::string title;
    std::vector<std::string> cases;  ///< each of them must fail
    std::string says;                ///< what message or waiting must contain
    std::string section;
    std::string sanitizer;  ///< "thread": it shows only in that build
};

/// Reads a patch's header.
/// @throws Failure (judge error) naming the missing or contradictory key
Mistake parse_mistake(const std::string& name, const std::string& patch);

/// All of a lab's track, by name.
std::vector<Mistake> mistakes_of(const Repository& repository, const Lab& lab, Track track);

/// Its title, or an empty string where the catalogue is not there.
std::string mistake_title(const Repository& repository, const Lab& lab, Track track, const std::string& name);

/// The section of the handout that it is about, or an empty string where the catalogue is not there.
std::string mistake_section(const Repository& repository, const Lab& lab, Track track, const std::string& name);

}  // namespace course
