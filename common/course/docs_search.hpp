#pragma once

/// @file
/// What the site's search finds. docs/theme/search.js ranks and shows it.

#include "docs_page.hpp"
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace course::site {

/// What the search can lead to: a page, a section, a term, a function.
struct SearchEntry {
    std::string title, target;  ///< "FIFO", "lab-02-named-pipes.html"
    std::string scope;          ///< shown behind the title: "Named pipes (lab 02)"
    double weight = 1;          ///< a handout's section comes before a function of the same name
    std::map<std::string, int> words;  ///< in its text, with how often, all in small letters
};

/// A page and its sections, each with the words of its text.
/// @param weight  of the sections; the page itself counts half as much again
std::vector<SearchEntry> entries_of(const Page& page, double weight);

/// The terms of the glossary's tables, in both languages.
std::vector<SearchEntry> glossary_entries(const Page& glossary);

/// The functions and types of the reference.
/// @param targets  by full name, as targets_of() gives them
std::vector<SearchEntry> reference_entries(const std::map<std::string, std::string>& targets);

void write_search_index(const std::filesystem::path& folder, const std::vector<SearchEntry>& entries);

}  // namespace course::site
