#pragma once

/// @file
/// A page of the site: GitHub's Markdown in, Doxygen's page out.
///
/// The Markdown itself is rendered by cmark-gfm, GitHub's own renderer, so that a page reads here as it does
/// there. Doxygen gets the title, the sections and the C++, the rest as it is.

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace course::site {

struct Heading {
    int level = 2;
    std::string text, anchor;
};

struct Page {
    std::string id;     ///< its file is ID.html; "index" is the main page
    std::string title;  ///< what the search finds: its key word first
    std::string
        source;  ///< "labs/01-anonymous-pipes/README.md", to which its links are relative; empty if generated
    std::string markdown;
    std::vector<Heading> headings;  ///< filled by doxygen_page()
    std::vector<std::string> children;
};

/// Takes the title off the Markdown, with an explicit anchor if it has one.
/// @throws Failure (usage) if it does not begin with one
void take_title(Page& page);

/// What a link of a page leads to on the site: "lab-01-anonymous-pipes.html#end-of-file"; empty if the site
/// has no such thing, and the words are shown without a link.
using Resolve = std::function<std::string(const Page& from, const std::string& target)>;

/// The page as Doxygen reads it (a .md file). `work` is a folder for what the renderer is given.
/// @throws Failure (machine) if cmark-gfm cannot be run
std::string doxygen_page(Page& page, const Resolve& resolve, const std::filesystem::path& work);

/// The links in a page's Markdown, in their order, each once: "judging.md", "#end-of-file".
std::vector<std::string> links_in(std::string_view markdown);

/// A block of commands and what they print, commands set off from the answers.
std::string transcript_html(std::string_view text);

}  // namespace course::site
