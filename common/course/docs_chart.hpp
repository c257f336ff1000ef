#pragma once

/// @file
/// The handouts' charts, written as Mermaid so that GitHub shows them, as pictures of our own: SVG that takes
/// its colours from the page, light or dark, and needs no network.

#include <string>
#include <string_view>

namespace course::site {

/// `chart` (the inside of a fenced mermaid block) as a <figure> with an inline SVG and its text for those who
/// cannot see it. Sequence charts are laid out here; flowcharts and state diagrams by Graphviz.
/// @param number  tells this page's charts apart
/// @throws Failure (usage) naming the line that cannot be drawn
std::string figure_of(std::string_view chart, int number);

std::string sequence_svg(std::string_view chart, std::string& words);
std::string graph_svg(std::string_view chart, std::string& words);

/// Graphviz' picture of `dot`, stripped to what may stand inside a page.
/// @throws Failure (machine)
std::string svg_by_graphviz(const std::string& dot);

/// An estimate of how wide `text` is in the charts' font, in pixels: a little generous, since fonts differ.
double text_width(std::string_view text);

}  // namespace course::site
