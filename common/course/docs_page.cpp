#include "docs_page.hpp"

#include "docs_chart.hpp"
#include "docs_text.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "process.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <regex>

namespace fs = std::filesystem;

namespace course::site {
namespace {

std::string unescaped(std::string_view html) {
    std::string text(html);
    for (const auto& [entity, meaning] :
         {std::pair{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&amp;", "&"}})
        text = replaced(std::move(text), entity, meaning);
    return text;
}

// Fenced mermaid blocks become figures, which the renderer passes on untouched; other comments are notes to
// tools.
std::string with_figures(const Page& page) {
    std::string result, chart;
    bool in_chart = false, in_comment = false;
    std::string fence;
    int charts = 0;
    for (const std::string& line : lines_of(page.markdown)) {
        const std::string start = trimmed(line);
        if (in_chart) {
            if (start == "```") {
                try {
                    result += figure_of(chart, ++charts) + "\n";
                } catch (const Failure& failure) {
                    throw Failure(
                        failure.code(),
                        fmt::format("{}: {}", page.source.empty() ? page.id : page.source, failure.what()));
                }
                in_chart = false;
                chart.clear();
            } else {
                chart += line + "\n";
            }
            continue;
        }
        if (fence.empty() && start == "```mermaid") {
            in_chart = true;
            continue;
        }
        if (fence.empty() && starts_with(start, "<!--"))
            in_comment = true;
        if (in_comment) {
            in_comment = start.find("-->") == std::string::npos;
            continue;
        }
        if (starts_with(start, "```"))
            fence = fence.empty() ? start : start == "```" ? "" : fence;
        result += line + "\n";
    }
    return result;
}

std::string rendered(const std::string& markdown, const fs::path& file) {
    write_file(file, markdown);
    const Outcome outcome =
        run({{"cmark-gfm", "--unsafe", "-e", "table", "-e", "strikethrough", "-t", "html", file.string()},
             {},
             std::chrono::seconds(30),
             {}});
    if (outcome.code != 0)
        throw Failure(exit_code::machine, fmt::format("cmark-gfm could not render {}: {}", file.string(),
                                                      trimmed(outcome.errors)));
    return outcome.output;
}

// Turns the renderer's HTML into Doxygen's input.
class Converter {
public:
    Converter(Page& page, const Resolve& resolve) : page_(page), resolve_(resolve) {}
    std::string convert(const std::string& html);

private:
    void heading(int level, const std::string& html);
    void code_block(const std::string& language, const std::string& html);
    std::string link(const std::string& tag);
    void flush();

    Page& page_;
    const Resolve& resolve_;
    std::string out_, html_;
    int depth_ = 0;  // of lists, quotations and tables
    bool link_dropped_ = false;
    std::map<std::string, int> slugs_;
};

void Converter::flush() {
    if (!trimmed(html_).empty())
        out_ += "\\htmlonly[block]\n" + raw_html(trimmed(html_)) + "\n\\endhtmlonly\n\n";
    html_.clear();
}

void Converter::heading(int level, const std::string& html) {
    std::string text = html_text(html), anchor;
    static const std::regex explicit_anchor(R"( *\{#([A-Za-z0-9_-]+)\})");
    std::smatch part;
    if (std::regex_search(text, part, explicit_anchor)) {
        anchor = part[1];
        text = part.prefix();
    } else {
        anchor = slug_of(text);
        if (const int seen = slugs_[anchor]++; seen > 0)
            anchor += "-" + std::to_string(seen);
    }
    page_.headings.push_back({level, text, anchor});
    // Doxygen wants anchors that no other page has; the short one is the one that links and judges use.
    html_ += fmt::format("<span class=\"spot\" id=\"{}\"></span>", anchor);
    flush();
    const char* kind = level == 2 ? "section" : level == 3 ? "subsection" : "subsubsection";
    out_ += fmt::format("\\{} {}__{} {}\n\n", kind, page_.id, anchor, doxygen_escaped(text));
}

void Converter::code_block(const std::string& language, const std::string& html) {
    const std::string text = unescaped(html);
    const bool cpp = language == "cpp" || language == "c++" || language == "c";
    if (cpp && depth_ == 0) {
        flush();
        out_ += "\\code{.cpp}\n" + text + "\\endcode\n\n";
    } else if (language == "diff") {
        html_ += "<pre class=\"text diff\" tabindex=\"0\">";
        for (const std::string& line : lines_of(text))
            html_ += fmt::format("<span class=\"{}\">{}</span>\n",
                                 starts_with(line, "+")   ? "added"
                                 : starts_with(line, "-") ? "removed"
                                                          : "same",
                                 html_escaped(line));
        html_ += "</pre>\n";
    } else {
        html_ += transcript_html(text);
    }
}

std::string Converter::link(const std::string& tag) {
    static const std::regex address("href=\"([^\"]*)\"");
    std::smatch part;
    if (!std::regex_search(tag, part, address))
        return tag;
    const std::string target = unescaped(part[1].str());
    const std::string resolved = resolve_(page_, target);
    link_dropped_ = resolved.empty();
    if (link_dropped_)
        return "<span class=\"file\">";
    return fmt::format("<a href=\"{}\">", html_escaped(resolved));
}

std::string Converter::convert(const std::string& html) {
    std::size_t at = 0;
    while (at < html.size()) {
        const std::size_t open = html.find('<', at);
        html_ += html.substr(at, open - at);
        if (open == std::string::npos)
            break;
        const std::size_t close = html.find('>', open);
        const std::string tag = html.substr(open, close + 1 - open);
        at = close + 1;
        const auto inside = [&](const std::string& end) {
            const std::size_t stop = html.find(end, at);
            const std::string text = html.substr(at, stop - at);
            at = stop + end.size();
            return text;
        };
        static const std::regex heading_tag("<h([2-6])>"),
            pre_code("<pre><code(?: class=\"language-([^\"]*)\")?>");
        std::smatch part;
        if (depth_ == 0 && std::regex_match(tag, part, heading_tag)) {
            heading(std::stoi(part[1]), inside("</h" + part[1].str() + ">"));
        } else if (tag == "<pre>") {
            const std::size_t end_of_code = html.find('>', at);
            const std::string both = tag + html.substr(at, end_of_code + 1 - at);
            if (std::regex_match(both, part, pre_code)) {
                at = end_of_code + 1;
                code_block(part[1], inside("</code></pre>"));
            } else {
                html_ += tag;
            }
        } else if (starts_with(tag, "<figure")) {
            html_ += tag + inside("</figure>") + "</figure>";
        } else if (starts_with(tag, "<a ")) {
            html_ += link(tag);
        } else if (tag == "</a>") {
            html_ += link_dropped_ ? "</span>" : tag;
            link_dropped_ = false;
        } else if (tag == "<th>" && html.compare(at, 5, "</th>") == 0) {
            at += 5;
            html_ += "<td></td>";  // a corner, not the title of a column
        } else if (tag == "<table>") {
            ++depth_;
            html_ += "<div class=\"table\" tabindex=\"0\"><table class=\"markdownTable\">";
        } else if (tag == "</table>") {
            --depth_;
            html_ += "</table></div>";
        } else if (starts_with(tag, "<img ")) {
            static const std::regex source("src=\"([^\"]*)\"");
            std::smatch src;
            if (std::regex_search(tag, src, source)) {
                // A phone shows a part of it, and all of it by itself.
                const std::string file = html_escaped(resolve_(page_, unescaped(src[1].str())));
                html_ += fmt::format("<a class=\"picture\" href=\"{}\">{}</a>", file,
                                     replaced(tag, src[1].str(), file));
            } else {
                html_ += tag;
            }
        } else {
            static const std::regex nesting("<(/?)(ul|ol|blockquote|dl|details)[ >].*");
            if (std::regex_match(tag, part, nesting))
                depth_ += part[1].length() ? -1 : 1;
            html_ += tag;
        }
    }
    flush();
    return out_;
}

}  // namespace

void take_title(Page& page) {
    static const std::regex title(
        R"(^(?:\s*<!--[^>]*-->\s*)*# +(.+?)(?: *\{#([A-Za-z0-9_-]+)\})? *(?:\n|$))");
    std::smatch part;
    if (!std::regex_search(page.markdown, part, title))
        throw Failure(
            exit_code::usage,
            fmt::format("{} does not begin with a title ('# …'), and a page needs one", page.source));
    page.title = replaced(part[1].str(), "`", "");
    if (page.id.empty())
        page.id = part[2].str();
    page.markdown = part.suffix();
}

std::string doxygen_page(Page& page, const Resolve& resolve, const fs::path& work) {
    page.headings.clear();
    Converter converter(page, resolve);
    const std::string body = converter.convert(rendered(with_figures(page), work / (page.id + ".md")));
    std::string text = fmt::format("# {} {{#{}}}\n\n", doxygen_escaped(page.title),
                                   page.id == "index" ? "mainpage" : page.id);
    // A short page is read as a whole, and its tables need the width.
    if (page.headings.size() > 6)
        text += fmt::format("\\tableofcontents{{html:{}}}\n\n", page.source.empty() ? 1 : 2);
    text += body;
    if (!page.children.empty()) {
        // Doxygen's tree of pages is made of these links; people have better ones in the text.
        text += "\\htmlonly[block]\n<div hidden>\n\\endhtmlonly\n\n";
        for (const std::string& child : page.children)
            text += "\\subpage " + child + "\n";
        text += "\n\\htmlonly[block]\n</div>\n\\endhtmlonly\n";
    }
    return text;
}

std::vector<std::string> links_in(std::string_view markdown) {
    std::vector<std::string> links;
    static const std::regex link(R"(\]\(([^)\s]+)\))");
    const std::string text(markdown);
    for (std::sregex_iterator found(text.begin(), text.end(), link), end; found != end; ++found)
        if (std::find(links.begin(), links.end(), (*found)[1].str()) == links.end())
            links.push_back((*found)[1]);
    return links;
}

std::string transcript_html(std::string_view text) {
    std::string html = "<pre class=\"text\" tabindex=\"0\">";
    bool continued = false;
    bool commands = false;
    for (const std::string& line : lines_of(text))
        commands |= starts_with(line, "$ ");
    for (const std::string& line : lines_of(text)) {
        if (commands && starts_with(line, "$ ")) {
            html += "<span class=\"prompt\">$ </span><span class=\"command\">" +
                    html_escaped(line.substr(2)) + "</span>\n";
            continued = ends_with(line, "\\");
        } else if (continued) {
            html += "<span class=\"command\">" + html_escaped(line) + "</span>\n";
            continued = ends_with(line, "\\");
        } else {
            html += html_escaped(line) + "\n";
        }
    }
    return html + "</pre>\n";
}

}  // namespace course::site
