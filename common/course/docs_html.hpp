#pragma once

/// @file
/// What is done to Doxygen's HTML, and what is checked in it.

#include "docs_page.hpp"
#include "labs.hpp"
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace course::site {

/// Doxygen's files (as seen from `root`) and symbols by the tag file that it wrote: "common/ipc/error.hpp" →
/// "error_8hpp.html", "anonymous_pipes::capture" → "namespaceanonymous__pipes.html#a1b2".
std::map<std::string, std::string> targets_of(const std::filesystem::path& tag_file,
                                              const std::filesystem::path& root);

/// Sets headings in order, resolves links to files, and links the contract's functions where handouts name
/// them.
/// @param namespaces  a page's file → the namespace whose functions it means
void finish_pages(const std::filesystem::path& folder, const std::map<std::string, std::string>& targets,
                  const std::map<std::string, std::string>& namespaces);

/// The tree of pages at the side. Doxygen's own has no place for pages below the main page, and leads to
/// places on headers' pages that do not exist; so we write it.
struct TreeNode {
    std::string title, target;
    std::vector<TreeNode> children;
};
/// The contracts and what else is documented: a namespace, with its headers and classes below it.
TreeNode reference_tree(const std::map<std::string, std::string>& targets);
void write_tree(const std::filesystem::path& folder, const TreeNode& root);
/// The same as a menu, which a phone shows instead of the tree.
void write_menu(const std::filesystem::path& folder, const TreeNode& root);

/// Takes away Doxygen's lists of files, classes, members and folders, and its search: readers come by the tree, the
/// menu and our own search.
void remove_indexes(const std::filesystem::path& folder);

/// Every link and picture of every page that leads to no file or no anchor, as "page.html: link"; also in the
/// scripts of the search and the menus.
std::vector<std::string> broken_links(const std::filesystem::path& folder);

/// Every page whose headings skip a level or which has not exactly one of the first, and pictures without a
/// text.
std::vector<std::string> reading_problems(const std::filesystem::path& folder);

/// Lines that only the solutions, the mistakes' patches or the instructors' pages have, and a page shows all
/// the same.
/// @return "page.html: the text, from FILE"
std::vector<std::string> leaks(const Repository& repository, const std::filesystem::path& folder);

}  // namespace course::site
