#include "docs_html.hpp"

#include "docs_text.hpp"
#include "failure.hpp"
#include "files.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <regex>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace fs = std::filesystem;

namespace course::site {
namespace {

std::vector<fs::path> files_with(const fs::path& folder, const std::string& extension) {
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
        if (entry.path().extension() == extension)
            files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
}

std::string text_of(const fs::path& file) {
    return read_file(file).value_or("");
}

/// The values of an attribute in a page, entities resolved.
std::vector<std::string> values_of(const std::string& html, const std::string& attribute) {
    std::vector<std::string> values;
    const std::string start = " " + attribute + "=\"";
    for (std::size_t at = html.find(start); at != std::string::npos; at = html.find(start, at + 1)) {
        const std::size_t from = at + start.size();
        values.push_back(html_text(html.substr(from, html.find('"', from) - from)));
    }
    return values;
}

// What is between `open` and `close`, each time; the function returns what takes the place of both and all
// between.
template <class Function>
std::string with_each(const std::string& html, const std::string& open, const std::string& close,
                      Function replacement) {
    std::string result;
    std::size_t at = 0;
    for (std::size_t found = html.find(open); found != std::string::npos; found = html.find(open, at)) {
        const std::size_t from = found + open.size(), to = html.find(close, from);
        if (to == std::string::npos)
            break;
        result += html.substr(at, found - at) + replacement(html.substr(from, to - from));
        at = to + close.size();
    }
    return result + html.substr(at);
}

// Doxygen's lists of members have no title at all, and begin at <h3>.
std::string with_title(std::string html) {
    const std::string contents = "<div class=\"contents\">";
    const std::size_t title = html.find("<title>"), at = html.find(contents);
    if (html.find("<div class=\"title\">") != std::string::npos || title == std::string::npos ||
        at == std::string::npos)
        return html;
    const std::size_t from = title + 7;
    const std::string words = html.substr(from, html.find(" - ", from) - from);
    for (const char* tag : {"<h", "</h"})
        html = replaced(html, std::string(tag) + "3", std::string(tag) + "2");
    return html.insert(html.find(contents),
                       "<div class=\"header\"><div class=\"headertitle\"><h1 class=\"title\">" + words +
                           "</h1></div></div>\n");
}

// Doxygen makes the title a <div> and begins the sections at <h1>: for a screen reader the page has no title
// then.
std::string with_headings_in_order(std::string html) {
    const bool sections = html.find("<div class=\"textblock\"><h1>") != std::string::npos ||
                          html.find("\n<h1><a class=\"anchor\"") != std::string::npos;
    if (sections)
        for (int level = 4; level >= 1; --level) {
            const std::string from = std::to_string(level), to = std::to_string(level + 1);
            html = replaced(html, "<h" + from + "><a class=\"anchor\"", "<h" + to + "><a class=\"anchor\"");
            html = with_each(html, "<h" + to + "><a class=\"anchor\"", "</h" + from + ">",
                             [&](const std::string& inside) {
                                 return "<h" + to + "><a class=\"anchor\"" + inside + "</h" + to + ">";
                             });
        }
    html = with_each(html, "<div class=\"toc\"><h3>", "</h3>",
                     [](const std::string&) { return "<div class=\"toc\"><h2>On this page</h2>"; });
    return with_each(html, "<div class=\"title\">", "</div>",
                     [](const std::string& title) { return "<h1 class=\"title\">" + title + "</h1>"; });
}

std::string with_links_resolved(const std::string& html, const std::map<std::string, std::string>& targets,
                                const std::string& page) {
    std::string result = html;
    for (const std::string kind : {"course-file:", "course-symbol:"})
        result = with_each(result, "href=\"" + kind, "\"", [&](const std::string& name) {
            const auto target = targets.find(name);
            if (target == targets.end())
                throw Failure(exit_code::usage,
                              fmt::format("{} links to {}, which Doxygen has no page for", page, name));
            return "href=\"" + target->second + "\"";
        });
    return result;
}

// Doxygen's summary names parts that a page may not have.
std::string with_summary_in_order(const std::string& html) {
    return with_each(html, "<div class=\"summary\">", "</div>", [&](const std::string& links) {
        std::string kept;
        with_each(links, "<a href=\"#", "</a>", [&](const std::string& link) {
            const std::string anchor = link.substr(0, link.find('"'));
            if (html.find("name=\"" + anchor + "\"") != std::string::npos ||
                html.find("id=\"" + anchor + "\"") != std::string::npos)
                kept += (kept.empty() ? "" : " &#124;\n") + ("<a href=\"#" + link + "</a>");
            return std::string();
        });
        return kept.empty() ? "" : "<div class=\"summary\">\n" + kept + "</div>";
    });
}

std::string with_symbols_linked(const std::string& html, const std::map<std::string, std::string>& targets,
                                const std::string& space) {
    return with_each(html, "<code>", "</code>", [&](const std::string& inside) {
        const std::string name = inside.substr(0, inside.find('('));
        const auto target = targets.find(space + "::" + name);
        const bool call = ends_with(inside, "()");
        if (target == targets.end() || !call)
            return "<code>" + inside + "</code>";
        return "<code><a href=\"" + target->second + "\">" + inside + "</a></code>";
    });
}

// Names and options of a few letters are not broken at the end of a line.
std::string with_short_code_whole(const std::string& html) {
    return with_each(html, "<code>", "</code>", [](const std::string& inside) {
        return (characters(html_text(inside)) <= 22 ? "<code class=\"whole\">" : "<code>") + inside +
               "</code>";
    });
}

}  // namespace

std::map<std::string, std::string> targets_of(const fs::path& tag_file, const fs::path& root) {
    std::map<std::string, std::string> targets;
    static const std::regex tag("<(\\w+)(?: [^>]*kind=\"(\\w+)\"[^>]*)?>([^<]*)");
    const std::string text = text_of(tag_file);
    std::string compound, kind, path, member;
    bool in_member = false;
    std::string anchor_file;
    std::string name;
    for (const std::string& line : lines_of(text)) {
        std::smatch part;
        if (line.find("</member>") != std::string::npos)
            in_member = false;
        if (!std::regex_search(line, part, tag))
            continue;
        const std::string element = part[1], value = html_text(part[3].str());
        if (element == "compound") {
            kind = part[2];
            compound = path = "";
        } else if (element == "member") {
            in_member = true;
            member = anchor_file = "";
        } else if (element == "name" && in_member) {
            member = value;
        } else if (element == "name") {
            compound = value;
        } else if (element == "path") {
            path = starts_with(value, root.string() + "/") ? value.substr(root.string().size() + 1) : value;
        } else if (element == "filename" && !in_member) {
            // Headers are looked up by their path, the rest by name.
            const std::string key = kind == "file" ? path + compound : compound;
            targets.emplace(key, ends_with(value, ".html") ? value : value + ".html");
        } else if (element == "anchorfile") {
            anchor_file = value;
        } else if (element == "anchor" && in_member && !anchor_file.empty() && kind != "file") {
            targets.emplace(compound + "::" + member, anchor_file + "#" + value);
        }
    }
    return targets;
}

void finish_pages(const fs::path& folder, const std::map<std::string, std::string>& targets,
                  const std::map<std::string, std::string>& namespaces) {
    for (const fs::path& file : files_with(folder, ".html")) {
        const std::string name = file.filename().string();
        std::string html =
            with_links_resolved(with_headings_in_order(with_title(text_of(file))), targets, name);
        html = with_summary_in_order(html);
        html = replaced(html, "<th class=\"markdownTableHeadNone\"></th>", "<td></td>");
        html = with_each(html, "<li class=\"navelem\"><a class=\"el\" href=\"dir_", "</li>",
                         [](const std::string&) { return ""; });
        if (const auto space = namespaces.find(name); space != namespaces.end())
            html = with_symbols_linked(html, targets, space->second);
        write_file(file, with_short_code_whole(html));
    }
}

void remove_indexes(const fs::path& folder) {
    for (const fs::path& file : files_with(folder, ".html")) {
        const std::string name = file.filename().string();
        const bool index = name == "annotated.html" || name == "classes.html" || name == "files.html" ||
                           name == "pages.html" || starts_with(name, "dir_") ||
                           starts_with(name, "namespacemembers_") || ends_with(name, "-members.html");
        if (index)
            fs::remove(file);
    }
    // The field's pictures stay: the menu's script makes it with them.
    for (const char* extension : {".html", ".js", ".css", ".png"})
        for (const fs::path& file : files_with(folder / "search", extension))
            fs::remove(file);
}

namespace {

// The namespace that a documented file or class belongs to: a lab's own, ipc, or judge.
std::string space_of(const std::string& name) {
    if (starts_with(name, "labs/")) {
        const std::size_t from = name.find('-') + 1;
        return replaced(name.substr(from, name.find('/', from) - from), "-", "_");
    }
    return starts_with(name, "common/ipc/")  ? "ipc"
           : starts_with(name, "tests/harness/") ? "judge"
                                                 : name.substr(0, name.find("::"));
}

}  // namespace

TreeNode reference_tree(const std::map<std::string, std::string>& targets) {
    std::map<std::string, TreeNode> spaces;
    const auto each_page = [&](const auto& function) {
        for (const auto& [name, target] : targets)
            if (target.find('#') == std::string::npos)
                function(name, target);
    };
    each_page([&](const std::string& name, const std::string& target) {
        if (starts_with(target, "namespace") && name.find("::") == std::string::npos)
            spaces[name] = {name, target, {}};
    });
    each_page([&](const std::string& name, const std::string& target) {
        const auto space = spaces.find(space_of(name));
        if (space != spaces.end() && name.find('/') != std::string::npos && ends_with(target, "_8hpp.html"))
            space->second.children.push_back({name.substr(name.rfind('/') + 1), target, {}});
    });
    each_page([&](const std::string& name, const std::string& target) {
        const auto space = spaces.find(space_of(name));
        if (space != spaces.end() && (starts_with(target, "class") || starts_with(target, "struct") ||
                                      (starts_with(target, "namespace") && name != space->first)))
            space->second.children.push_back({name.substr(space->first.size() + 2), target, {}});
    });
    TreeNode tree{"Reference", "namespaces.html", {{"All functions and types", "namespacemembers.html", {}}}};
    for (auto& [name, node] : spaces)
        tree.children.push_back(std::move(node));
    return tree;
}

namespace {

void tree_script(const TreeNode& node, const std::string& path, std::string& tree, std::string& index) {
    tree += fmt::format("[ \"{}\", \"{}\", ", replaced(node.title, "\"", "\\\""), node.target);
    index += fmt::format("\"{}\":[{}],\n", node.target, path);
    if (ends_with(node.target, "_8hpp.html"))
        index +=
            fmt::format("\"{}_source.html\":[{}],\n", node.target.substr(0, node.target.size() - 5), path);
    if (node.children.empty()) {
        tree += "null ]";
        return;
    }
    tree += "[\n";
    for (std::size_t i = 0; i < node.children.size(); ++i) {
        tree_script(node.children[i], path.empty() ? std::to_string(i) : path + "," + std::to_string(i), tree,
                    index);
        tree += i + 1 < node.children.size() ? ",\n" : "\n";
    }
    tree += "] ]";
}

}  // namespace

void write_tree(const fs::path& folder, const TreeNode& root) {
    std::string tree, index;
    tree_script(root, "", tree, index);
    const fs::path data = folder / "navtreedata.js";
    const std::string old = text_of(data);
    // The licence stays, and the words that the script says itself.
    const std::size_t begin = old.find("var NAVTREE ="), words = old.find("var SYNCONMSG");
    if (begin == std::string::npos || words == std::string::npos)
        throw Failure(exit_code::machine,
                      fmt::format("{} is not as Doxygen 1.9 writes it; the site is made for that version",
                                  data.string()));
    for (const fs::path& file : files_with(folder, ".js")) {
        const std::string stem = file.stem().string();
        const bool branch = fs::exists(folder / (stem + ".html")) || starts_with(stem, "dir_") ||
                            stem == "files" || stem == "annotated" || stem == "classes" || ends_with(stem, "_dup") ||
                            starts_with(stem, "navtreeindex");
        if (branch)
            fs::remove(file);
    }
    write_file(data, old.substr(0, begin) + "var NAVTREE =\n[\n" + tree +
                         "\n];\n\nvar NAVTREEINDEX =\n[\n\"\"\n];\n\n" + old.substr(words));
    write_file(folder / "navtreeindex0.js", "var NAVTREEINDEX0 =\n{\n" + index + "};\n");
}

namespace {

std::string menu_item(const std::string& title, const std::string& target, const std::vector<TreeNode>& below) {
    std::string text = fmt::format("{{text:\"{}\",url:\"{}\"", replaced(title, "\"", "\\\""), target);
    if (!below.empty()) {
        text += ",children:[";
        for (const TreeNode& each : below)
            text += (&each == &below.front() ? "" : ",") + menu_item(each.title, each.target, {});
        text += "]";
    }
    return text + "}";
}

}  // namespace

void write_menu(const fs::path& folder, const TreeNode& root) {
    std::vector<TreeNode> labs, others;
    for (const TreeNode& each : root.children)
        (starts_with(each.target, "lab-") ? labs : others).push_back(each);
    std::string menu = menu_item("Home", root.target, {}) + ",\n" + menu_item("Labs", root.target, labs);
    for (const TreeNode& each : others)
        menu += ",\n" + menu_item(each.title, each.target, each.children);
    write_file(folder / "menudata.js", "var menudata={children:[\n" + menu + "]}\n");
}

std::vector<std::string> broken_links(const fs::path& folder) {
    std::unordered_map<std::string, std::unordered_set<std::string>> anchors;
    std::vector<fs::path> pages = files_with(folder, ".html");
    std::unordered_map<std::string, std::vector<std::string>> links;
    for (const fs::path& file : pages) {
        const std::string html = text_of(file), name = file.filename().string();
        std::unordered_set<std::string>& ids = anchors[name];
        for (const char* attribute : {"id", "name"})
            for (std::string& id : values_of(html, attribute))
                ids.insert(std::move(id));
        for (const char* attribute : {"href", "src"})
            for (std::string& target : values_of(html, attribute))
                links[name].push_back(std::move(target));
    }
    // The search, the menu and the tree of pages keep their links in scripts.
    static const std::regex in_script(R"(["']([A-Za-z0-9_.-]+\.html(?:#[^"']*)?)["'])");
    for (const fs::path& file : files_with(folder, ".js")) {
        const std::string script = text_of(file);
        for (std::sregex_iterator found(script.begin(), script.end(), in_script), end; found != end; ++found)
            links[file.filename().string()].push_back((*found)[1]);
    }
    std::vector<std::string> broken;
    for (const auto& [page, targets] : links) {
        std::set<std::string> seen;
        for (const std::string& target : targets) {
            if (!seen.insert(target).second || starts_with(target, "https://") ||
                starts_with(target, "mailto:") || starts_with(target, "javascript:"))
                continue;
            const std::size_t hash = std::min(target.find('#'), target.size());
            const std::string file = target.substr(0, hash).empty() ? page : target.substr(0, hash);
            const std::string anchor = hash < target.size() ? target.substr(hash + 1) : "";
            if (!fs::exists(folder / file))
                broken.push_back(fmt::format("{}: {}", page, target.empty() ? "an empty link" : target));
            else if (!anchor.empty() && ends_with(file, ".html") && !anchors[file].count(anchor))
                broken.push_back(fmt::format("{}: {} (the page is there, the place is not)", page, target));
        }
    }
    std::sort(broken.begin(), broken.end());
    return broken;
}

std::vector<std::string> reading_problems(const fs::path& folder) {
    std::vector<std::string> problems;
    static const std::regex heading("<h([1-6])[ >]"), picture("<img [^>]*>"), chart("<svg [^>]*>");
    for (const fs::path& file : files_with(folder, ".html")) {
        const std::string html = text_of(file), name = file.filename().string();
        int last = 0, firsts = 0;
        for (std::sregex_iterator found(html.begin(), html.end(), heading), end; found != end; ++found) {
            const int level = std::stoi((*found)[1]);
            firsts += level == 1;
            if (level > last + 1)
                problems.push_back(
                    fmt::format("{}: a heading of level {} follows one of level {}", name, level, last));
            last = level;
        }
        if (firsts != 1)
            problems.push_back(
                fmt::format("{}: {} headings of the first level instead of one", name, firsts));
        static const std::regex untitled("<th( [^>]*)?></th>");
        if (std::regex_search(html, untitled))
            problems.push_back(fmt::format("{}: a column's title is empty (a corner is a <td>)", name));
        for (std::sregex_iterator found(html.begin(), html.end(), picture), end; found != end; ++found)
            if (found->str().find(" alt=\"") == std::string::npos)
                problems.push_back(fmt::format("{}: a picture without a text: {}", name, found->str()));
        for (std::sregex_iterator found(html.begin(), html.end(), chart), end; found != end; ++found)
            if (found->str().find(" aria-label=\"") == std::string::npos &&
                found->str().find(" aria-hidden=") == std::string::npos)
                problems.push_back(fmt::format("{}: a chart without a text", name));
    }
    return problems;
}

namespace {

// A line of a file as a page would show it: without a patch's mark in front of it, or Markdown's marks in it.
std::string as_it_is_shown(const fs::path& file, const std::string& line) {
    if (file.extension() == ".patch")
        return line.substr(std::min<std::size_t>(1, line.size()));
    if (file.extension() != ".md")
        return line;
    static const std::regex link(R"(\[([^\]]*)\]\([^)]*\))"), mark("[`*]|^(- |#+ |> )");
    return std::regex_replace(std::regex_replace(line, link, "$1"), mark, "");
}

// What gives a file away. Prose is looked for by the sentence: on another page its lines are broken elsewhere.
std::vector<std::string> telling_parts(const fs::path& file, const std::string& text) {
    if (file.extension() != ".md")
        return lines_of(text);
    std::vector<std::string> parts = lines_of(text);
    parts.emplace_back();
    for (const std::string& line : lines_of(text)) {
        const std::string shown = trimmed(as_it_is_shown(file, line));
        if (shown.empty())
            parts.emplace_back();
        for (std::size_t i = 0; i < shown.size(); ++i) {
            parts.back() += shown[i];
            if (std::string_view(".?!").find(shown[i]) != std::string_view::npos &&
                (i + 1 == shown.size() || shown[i + 1] == ' '))
                parts.emplace_back();
        }
        parts.back() += ' ';
    }
    return parts;
}

}  // namespace

std::vector<std::string> leaks(const Repository& repository, const fs::path& folder) {
    constexpr std::size_t telling = 28;  // characters without spaces: shorter lines are anybody's
    const auto squeezed = [](std::string_view text) {
        std::string result;
        for (const char c : text)
            if (!std::isspace(static_cast<unsigned char>(c)))
                result += c;
        return result;
    };
    std::string open;  // what a student may see anyway
    std::vector<fs::path> secret;
    std::error_code error;
    for (const Lab& lab : repository.labs()) {
        for (const fs::path& file : {fs::path("labs") / lab.name, fs::path("labs") / lab.name / ".starter",
                                     fs::path("tests") / lab.name})
            for (const fs::directory_entry& entry : fs::directory_iterator(repository / file, error))
                if (entry.is_regular_file())
                    for (const std::string& line : lines_of(text_of(entry.path())))
                        open += squeezed(as_it_is_shown(entry.path(), line));
        for (const char* name : {"posix.cpp", "win32.cpp", "README.md"})
            secret.push_back(fs::path("solutions") / lab.name / name);
        for (const char* track : {"posix", "win32"})
            for (const fs::directory_entry& entry :
                 fs::directory_iterator(repository / "tests" / lab.name / "mistakes" / track, error)) {
                const std::string patch = text_of(entry.path());
                open += squeezed(patch.substr(0, patch.find("\n--- "))) + "\n";
                secret.push_back(entry.path().lexically_relative(repository.root));
            }
    }
    for (const char* folder_of_all : {"common/ipc", "tests/harness", "common/course", "docs"})
        for (const fs::directory_entry& entry :
             fs::recursive_directory_iterator(repository / folder_of_all, error)) {
            if (!entry.is_regular_file())
                continue;
            const std::string text = text_of(entry.path());
            if (starts_with(text, "<!-- edition: instructor -->"))
                secret.push_back(entry.path().lexically_relative(repository.root));
            else if (folder_of_all != std::string_view("docs"))
                open += squeezed(text) + "\n";  // our own pages are not: what they show may be a slip
        }

    std::string shown;
    std::vector<std::pair<std::size_t, std::string>> starts;  // where in `shown` a page begins
    for (const fs::path& file : files_with(folder, ".html")) {
        starts.emplace_back(shown.size(), file.filename().string());
        shown += squeezed(html_text(text_of(file))) + "\n";
    }
    const auto is_open = [&](const std::string& text) {
        // 'Event::Event(' is in the contract as 'Event('.
        const std::size_t scope = text.rfind("::", text.find('('));
        return open.find(text) != std::string::npos ||
               (scope != std::string::npos && open.find(text.substr(scope + 2)) != std::string::npos);
    };
    struct Secret {
        std::string text;
        std::string line;
        const fs::path* file;
    };
    std::vector<Secret> lines;
    for (const fs::path& file : secret)
        for (const std::string& line : telling_parts(file, text_of(repository / file))) {
            const std::string text = squeezed(as_it_is_shown(file, line));
            if (text.size() >= telling)
                lines.push_back({text, trimmed(line), &file});
        }
    // The pages are gone through once: a secret line is looked up by its beginning.
    std::unordered_map<std::string_view, std::vector<const Secret*>> by_beginning;
    for (const Secret& each : lines)
        by_beginning[std::string_view(each.text).substr(0, telling)].push_back(&each);
    std::vector<std::string> found;
    const std::string_view all = shown;
    for (std::size_t at = 0; at + telling <= all.size(); ++at) {
        const auto same = by_beginning.find(all.substr(at, telling));
        if (same == by_beginning.end())
            continue;
        for (const Secret* each : same->second)
            if (all.compare(at, each->text.size(), each->text) == 0 && !is_open(each->text)) {
                const auto page = std::prev(
                    std::upper_bound(starts.begin(), starts.end(), std::pair(at, std::string("\x7f"))));
                found.push_back(
                    fmt::format("{}: '{}', from {}", page->second, each->line, each->file->generic_string()));
            }
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
}

}  // namespace course::site
