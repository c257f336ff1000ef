// Flowcharts and state diagrams: translated for Graphviz, which lays them out.

#include "docs_chart.hpp"

#include "docs_text.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "process.hpp"
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <regex>
#include <unistd.h>
#include <vector>

namespace course::site {
namespace {

struct Node {
    std::string id, text, shape = "box";
};

struct Edge {
    std::string from, to, text;
    bool dashed = false;
};

std::string quoted(const std::string& text) {
    std::string result = replaced(replaced(text, "\\", "\\\\"), "\"", "\\\"");
    static const std::regex line_break("<br ?/?>");
    return "\"" + std::regex_replace(result, line_break, "\\n") + "\"";
}

// Long texts are broken so that a node is no wider than a phone.
std::string broken(const std::string& text, std::size_t width) {
    std::string result;
    std::size_t column = 0;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        if (column > 0 && column + 1 + characters(word) > width) {
            result += "<br/>";
            column = 0;
        } else if (column > 0) {
            result += ' ';
            ++column;
        }
        result += word;
        column += characters(word);
    }
    return result;
}

class Graph {
public:
    explicit Graph(std::string_view chart) {
        for (const std::string& line : lines_of(chart))
            read(trimmed(line));
    }
    std::string dot() const;
    std::string words() const;

private:
    void read(const std::string& line);
    void read_flow(std::string line);
    void read_state(const std::string& line);
    Node& node(const std::string& id);
    std::string node_at(std::string& line);

    bool states_ = false, sideways_ = false;
    std::vector<Node> nodes_;
    std::vector<Edge> edges_;
};

Node& Graph::node(const std::string& id) {
    const auto known = std::find_if(nodes_.begin(), nodes_.end(), [&](const Node& n) { return n.id == id; });
    return known != nodes_.end() ? *known : nodes_.emplace_back(Node{id, id, "box"});
}

void Graph::read(const std::string& line) {
    static const std::regex head(R"((flowchart|graph|stateDiagram-v2|stateDiagram)\s*(TD|TB|LR|RL|BT)?;?)");
    std::smatch part;
    if (line.empty() || starts_with(line, "%%") || starts_with(line, "classDef") ||
        starts_with(line, "class "))
        return;
    if (std::regex_match(line, part, head)) {
        states_ = starts_with(part[1].str(), "state");
        sideways_ = part[2] == "LR" || part[2] == "RL";
    } else if (starts_with(line, "direction ")) {
        sideways_ = ends_with(line, "LR");
    } else if (states_) {
        read_state(line);
    } else {
        read_flow(line);
    }
}

// A node at the beginning of `line`, which is taken off it: A, A[text], A(text), A{text}, A([text]),
// A((text)).
std::string Graph::node_at(std::string& line) {
    static const std::regex form(
        R"(^\s*([A-Za-z0-9_]+)(?:(\[\[|\(\[|\(\(|\[|\(|\{)\"?([^\])}]*?)\"?(?:\]\]|\]\)|\)\)|\]|\)|\}))?)");
    // A text with brackets of its own must be quoted, as Mermaid wants it.
    static const std::regex quoted_form(
        R"(^\s*([A-Za-z0-9_]+)(\[\[|\(\[|\(\(|\[|\(|\{)\"([^\"]*)\"(?:\]\]|\]\)|\)\)|\]|\)|\}))");
    std::smatch part;
    if (!std::regex_search(line, part, quoted_form) && !std::regex_search(line, part, form))
        throw Failure(exit_code::usage,
                      fmt::format("a flowchart has a line that the site cannot draw: {}", line));
    Node& found = node(part[1]);
    if (part[2].matched) {
        found.text = part[3];
        found.shape = part[2] == "{" ? "diamond" : part[2] == "[" || part[2] == "[[" ? "box" : "round";
    }
    const std::string id = found.id;
    line = part.suffix();
    return id;
}

void Graph::read_flow(std::string line) {
    static const std::regex link(
        R"(^\s*(?:(-->|---|-\.->|==>)(?:\|\"?([^|]*?)\"?\|)?|--\s*([^->|]+?)\s*-->|-\.\s*([^->|]+?)\s*\.->))");
    std::string from = node_at(line);
    while (!trimmed(line).empty() && trimmed(line) != ";") {
        std::smatch part;
        if (!std::regex_search(line, part, link))
            throw Failure(exit_code::usage,
                          fmt::format("a flowchart has a line that the site cannot draw: …{}", line));
        const std::string text = part[2].matched ? part[2] : part[3].matched ? part[3] : part[4];
        const bool dashed = part[1] == "-.->" || part[4].matched;
        line = part.suffix();
        const std::string to = node_at(line);
        edges_.push_back({from, to, text, dashed});
        from = to;
    }
}

void Graph::read_state(const std::string& line) {
    static const std::regex step(R"((\[\*\]|[A-Za-z0-9_]+)\s*-->\s*(\[\*\]|[A-Za-z0-9_]+)\s*(?::\s*(.*))?)");
    static const std::regex named(R"(state \"([^\"]*)\" as ([A-Za-z0-9_]+))");
    static const std::regex described(R"(([A-Za-z0-9_]+)\s*:\s*(.*))");
    std::smatch part;
    if (std::regex_match(line, part, step)) {
        const auto end = [&](const std::string& id, const char* role) {
            if (id != "[*]")
                return node(id).id;
            Node& dot = node(role);
            dot.shape = role;
            return dot.id;
        };
        const std::string from = end(part[1], "begin"), to = end(part[2], "final");
        edges_.push_back({from, to, part[3], false});
    } else if (std::regex_match(line, part, named)) {
        node(part[2]).text = part[1];
    } else if (std::regex_match(line, part, described)) {
        node(part[1]).text = part[2];
    } else {
        throw Failure(exit_code::usage,
                      fmt::format("a state diagram has a line that the site cannot draw: {}", line));
    }
}

std::string Graph::dot() const {
    std::string dot = "digraph {\n  graph [bgcolor=transparent, pad=0.1, nodesep=0.35, ranksep=0.4";
    dot += sideways_ ? ", rankdir=LR]\n" : "]\n";
    dot += "  node [fontname=\"Helvetica\", fontsize=10, height=0.35, margin=\"0.15,0.06\"]\n"
           "  edge [fontname=\"Helvetica\", fontsize=10, arrowsize=0.7]\n";
    for (const Node& each : nodes_) {
        std::string look = "shape=box, style=rounded";
        if (each.shape == "diamond")
            look = "shape=hexagon, margin=\"0.02,0.06\"";
        else if (each.shape == "box" && !states_)
            look = "shape=box";
        else if (each.shape == "begin")
            look = "shape=circle, width=0.16, height=0.16, fixedsize=true, class=\"begin\"";
        else if (each.shape == "final")
            look = "shape=doublecircle, width=0.12, height=0.12, fixedsize=true, class=\"final\"";
        const bool point = each.shape == "begin" || each.shape == "final";
        dot += fmt::format("  {} [label={}, {}]\n", quoted(each.id),
                           point ? "\"\"" : quoted(broken(each.text, sideways_ ? 20 : 30)), look);
    }
    for (const Edge& each : edges_)
        dot +=
            fmt::format("  {} -> {} [label={}{}]\n", quoted(each.from), quoted(each.to),
                        quoted(each.text.empty() ? "" : " " + broken(each.text, sideways_ ? 18 : 26) + " "),
                        each.dashed ? ", style=dashed" : "");
    return dot + "}\n";
}

std::string Graph::words() const {
    const auto name = [&](const std::string& id) -> std::string {
        for (const Node& each : nodes_)
            if (each.id == id)
                return each.shape == "begin"   ? "the beginning"
                       : each.shape == "final" ? "the end"
                                               : each.text;
        return id;
    };
    std::string text = states_ ? "State diagram. " : "Flowchart. ";
    static const std::regex line_break("<br ?/?>");
    for (const Edge& each : edges_)
        text += fmt::format("From {} to {}{}. ", name(each.from), name(each.to),
                            each.text.empty() ? "" : ": " + each.text);
    return trimmed(std::regex_replace(text, line_break, " "));
}

}  // namespace

std::string graph_svg(std::string_view chart, std::string& words) {
    const Graph graph(chart);
    words = graph.words();
    return replaced(svg_by_graphviz(graph.dot()), "<svg ",
                    "<svg role=\"img\" aria-label=\"" + html_escaped(words) + "\" ");
}

std::string svg_by_graphviz(const std::string& dot) {
    const auto file = std::filesystem::temp_directory_path() / fmt::format("course-{}.dot", ::getpid());
    write_file(file, dot);
    const Outcome outcome = run({{"dot", "-Tsvg", file.string()}, {}, std::chrono::seconds(30), {}});
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
    const std::size_t begin = outcome.output.find("<svg");
    if (outcome.code != 0 || begin == std::string::npos)
        throw Failure(exit_code::machine,
                      fmt::format("Graphviz' dot could not draw a chart: {}", trimmed(outcome.errors)));
    std::string svg = outcome.output.substr(begin);
    // Two charts on a page must not have the same ids, and the nodes' titles would only show our short names.
    for (const char* pattern :
         {R"(<!--[^>]*-->\n?)", R"(<title>[^<]*</title>\n?)", R"( id="[^"]*")", R"( xmlns(:xlink)?="[^"]*")",
          R"( font-family="[^"]*")", R"( stroke="black")", R"( fill="black")", R"( fill="none")"})
        svg = std::regex_replace(svg, std::regex(pattern), "");
    // Points are pixels here: the page's text is larger than Graphviz'.
    static const std::regex size(R"(width="(\d+)pt" height="(\d+)pt")");
    std::smatch part;
    if (std::regex_search(svg, part, size)) {
        const double wide = std::stod(part[1]) * 1.3, high = std::stod(part[2]) * 1.3;
        svg = std::string(part.prefix()) +
              fmt::format("style=\"--width:{0:.0f}px\" width=\"{0:.0f}\" height=\"{1:.0f}\"", wide, high) +
              std::string(part.suffix());
    }
    return trimmed(svg);
}

std::string figure_of(std::string_view chart, int number) {
    std::string words;
    const bool sequence = trimmed(chart).rfind("sequenceDiagram", 0) == 0;
    const std::string svg = sequence ? sequence_svg(chart, words) : graph_svg(chart, words);
    return fmt::format("<figure class=\"chart {}\" tabindex=\"0\" aria-label=\"Chart {}\">{}</figure>",
                       sequence ? "sequence" : "graph", number, svg);
}

}  // namespace course::site
