#pragma once

/// @file
/// The site, from its sources to its finished pages.

#include "docs_page.hpp"
#include "labs.hpp"
#include <filesystem>
#include <string>
#include <vector>

namespace course::site {

enum class Edition { student, instructor };

std::string_view name_of(Edition edition);

/// What became of building an edition.
struct Site {
    std::filesystem::path folder;       ///< where index.html is
    std::vector<std::string> warnings;  ///< Doxygen's; a site with any is not finished
    std::size_t pages = 0;              ///< HTML files
    double seconds = 0;
};

/// Writes the pages into build/docs/EDITION, runs Doxygen over them, the contracts and the library, and
/// finishes what it wrote.
/// @throws Failure (machine) if a tool is missing or a folder cannot be written
/// @throws Failure (usage) if a page's source is wrong: no title, a chart that cannot be drawn, a link into
/// nothing
Site build_site(const Repository& repository, Edition edition);

}  // namespace course::site
