#pragma once

/// @file
/// Small things that the makers of the site's pages share: text, lines, HTML.

#include <string>
#include <string_view>
#include <vector>

namespace course::site {

std::vector<std::string> lines_of(std::string_view text);
std::string trimmed(std::string_view text);
std::string replaced(std::string text, std::string_view from, std::string_view to);
bool starts_with(std::string_view text, std::string_view beginning);
bool ends_with(std::string_view text, std::string_view end);

/// `text` as it may stand in HTML, also inside an attribute.
std::string html_escaped(std::string_view text);
/// The text of a piece of HTML: no tags, entities resolved.
std::string html_text(std::string_view html);
/// HTML as it may stand between Doxygen's \htmlonly and \endhtmlonly: nothing in it that Doxygen would obey.
std::string raw_html(std::string_view html);
/// Plain text as it may stand in Doxygen's own text (a title).
std::string doxygen_escaped(std::string_view text);

/// A heading's anchor, as GitHub derives it: small letters, no punctuation, '-' for a space.
std::string slug_of(std::string_view heading);

/// Code points, which is near enough to columns.
std::size_t characters(std::string_view text);

}  // namespace course::site
