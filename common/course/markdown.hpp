#pragma once

/// @file
/// The Markdown of the handouts, for a terminal.

#include "terminal.hpp"
#include <optional>
#include <string>
#include <vector>

namespace course {

/// The anchors of all headings, explicit ({#end-of-file}) or as GitHub derives them from the heading's words.
std::vector<std::string> markdown_anchors(const std::string& source);

/// The section with that anchor: its heading, and all up to the next heading of the same or a higher level.
std::optional<std::string> markdown_section(const std::string& source, const std::string& anchor);

/// Headings, paragraphs, lists, quotations and code as they read best in `width` columns.
std::string markdown_text(const std::string& source, std::size_t width, const Style& style);

}  // namespace course
