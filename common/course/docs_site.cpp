#include "docs_site.hpp"

#include "docs_catalogue.hpp"
#include "docs_chart.hpp"
#include "docs_html.hpp"
#include "docs_search.hpp"
#include "docs_text.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "process.hpp"
#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <regex>
#include <set>

namespace fs = std::filesystem;

namespace course::site {
namespace {

constexpr const char* theme = "/usr/share/doxygen-awesome-css";

void need_tools() {
    std::vector<std::string> missing;
    for (const auto& [program, package] :
         {std::pair{"doxygen", "doxygen"}, {"dot", "graphviz"}, {"cmark-gfm", "cmark-gfm"}})
        if (find_program(program).empty())
            missing.push_back(fmt::format("{} (Debian: {})", program, package));
    if (!fs::exists(fs::path(theme) / "doxygen-awesome.css"))
        missing.push_back(fmt::format("{}/doxygen-awesome.css (Debian: doxygen-awesome-css)", theme));
    if (!missing.empty())
        throw Failure(
            exit_code::machine,
            fmt::format(
                "the site cannot be built, for this is missing: {}. Install it, and run the command again",
                joined(missing)));
}

std::string relative_to(const fs::path& root, const fs::path& file) {
    return file.lexically_relative(root).generic_string();
}

// The pages of a site and what they are made of.
class Pages {
public:
    Pages(const Repository& repository, Edition edition) : repository_(repository), edition_(edition) {
        read_labs();
        read_documents();
        add_catalogue();
        if (edition == Edition::instructor)
            add_solutions();
        for (Page& page : pages_)
            insert_generated(page);
        arrange();
    }

    void write(const fs::path& folder, const fs::path& work);
    TreeNode tree(const std::string& id) const;
    std::vector<SearchEntry> search_entries() const;
    std::map<std::string, std::string> namespaces() const;
    std::vector<std::string> headers() const;
    std::vector<std::string> pictures() const { return {pictures_.begin(), pictures_.end()}; }

private:
    struct LabPage {
        Lab lab;
        std::string page, name, subtitle;  // "lab-01-…", "Anonymous pipes", "a parent and its child"
        std::vector<Case> cases;
        std::vector<int> builds_on;  // numbers of the labs that the handout speaks of
    };

    void read_labs();
    void read_documents();
    std::string without_items_for(const Page& page) const;
    void add_catalogue();
    void add_solutions();
    void insert_generated(Page& page);
    void arrange();
    Page* page(const std::string& id);
    std::string resolve(const Page& from, const std::string& target);
    std::string course_map() const;
    std::string course_graph() const;
    std::string command_table() const;
    std::string contract_table() const;
    std::string mistake_table() const;
    std::string benchmark_chart() const;
    std::string lab_box(const LabPage& lab) const;
    std::string lab_end(std::size_t index) const;

    const Repository& repository_;
    Edition edition_;
    std::vector<LabPage> labs_;
    std::vector<Page> pages_;
    std::set<std::string> pictures_, for_instructors_;
};

Page* Pages::page(const std::string& id) {
    const auto found = std::find_if(pages_.begin(), pages_.end(), [&](const Page& p) { return p.id == id; });
    return found == pages_.end() ? nullptr : &*found;
}

std::string capital(std::string text) {
    if (!text.empty())
        text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
    return text;
}

void Pages::read_labs() {
    static const std::regex lab_title(R"(Lab \d+: *([^,:.]+?)(?:[,:.] *(.*))?)"),
        other_lab(R"(\b[Ll]abs? (\d\d)\b)");
    for (const Lab& lab : repository_.labs()) {
        Page page;
        page.source = handout_of(lab);
        page.markdown = read_file(repository_ / page.source).value_or("");
        take_title(page);
        page.id = "lab-" + lab.name;
        LabPage entry{lab, page.id, page.title, "", cases_of(repository_, lab), {}};
        std::smatch part;
        if (std::regex_match(page.title, part, lab_title)) {
            // The key word comes first: the search finds beginnings.
            static const std::regex article("^[Tt]he +");
            entry.name = capital(std::regex_replace(part[1].str(), article, ""));
            entry.subtitle = part[2];
        }
        // Where the title says the name alone, the first words in bold are the rest.
        static const std::regex first_bold(R"(^\s*\*\*([^*]+)\*\* *)");
        if (entry.subtitle.empty() && std::regex_search(page.markdown, part, first_bold)) {
            entry.subtitle = trimmed(part[1].str());
            if (ends_with(entry.subtitle, "."))
                entry.subtitle.pop_back();
            page.markdown = part.suffix();
        }
        page.title = fmt::format("{} (lab {})", entry.name, lab.number);
        for (std::sregex_iterator found(page.markdown.begin(), page.markdown.end(), other_lab), end;
             found != end; ++found)
            if (const int number = std::stoi((*found)[1]);
                number < std::stoi(lab.number) &&
                std::find(entry.builds_on.begin(), entry.builds_on.end(), number) == entry.builds_on.end())
                entry.builds_on.push_back(number);
        if (entry.builds_on.empty() && lab.number != "00")
            entry.builds_on.push_back(0);
        labs_.push_back(entry);
        pages_.push_back(page);
    }
    for (std::size_t i = 0; i < labs_.size(); ++i) {
        Page& handout = *page(labs_[i].page);
        handout.markdown = lab_box(labs_[i]) + handout.markdown + lab_end(i);
    }
}

void Pages::read_documents() {
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(repository_ / "docs"))
        if (entry.path().extension() == ".md")
            files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
        Page page;
        page.source = relative_to(repository_.root, file);
        page.markdown = read_file(file).value_or("");
        const bool for_instructors = starts_with(page.markdown, "<!-- edition: instructor -->");
        take_title(page);
        page.id = file.stem().string();
        if (for_instructors && edition_ == Edition::student)
            for_instructors_.insert(page.source);
        else
            pages_.push_back(page);
    }
    for (Page& page : pages_)
        page.markdown = without_items_for(page);
}

// A list's item that leads to a page of the other edition goes, with the lines that belong to it.
std::string Pages::without_items_for(const Page& page) const {
    std::string kept;
    bool dropping = false;
    for (const std::string& line : lines_of(page.markdown)) {
        if (dropping && starts_with(line, "  "))
            continue;
        dropping = false;
        if (starts_with(line, "- ["))
            for (const std::string& target : links_in(line))
                dropping |=
                    for_instructors_.count(
                        (fs::path(page.source).parent_path() / target).lexically_normal().generic_string()) >
                    0;
        if (!dropping)
            kept += line + "\n";
    }
    return kept;
}

void Pages::add_catalogue() {
    for (const LabPage& lab : labs_) {
        Page& handout = *page(lab.page);
        // The handout's headings are known only after it is rendered; here its lines will do.
        Page headings;
        headings.title = handout.title;
        bool fence = false;
        for (const std::string& line : lines_of(handout.markdown)) {
            if (starts_with(trimmed(line), "```"))
                fence = !fence;
            if (fence || !starts_with(line, "##"))
                continue;
            const std::string text =
                replaced(trimmed(line.substr(std::min(line.find_first_not_of("# "), line.size()))), "`", "");
            headings.headings.push_back({2, text, slug_of(text)});
        }
        pages_.push_back(
            mistakes_page(repository_, lab.lab, headings, lab.cases, edition_ == Edition::instructor));
    }
}

void Pages::add_solutions() {
    for (const LabPage& lab : labs_) {
        Page page;
        page.id = "solution-" + lab.lab.name;
        page.source = fmt::format("solutions/{}/README.md", lab.lab.name);
        page.markdown = read_file(repository_ / page.source).value_or("");
        if (page.markdown.empty())
            continue;
        take_title(page);
        page.title = fmt::format("{}: the solution (lab {})", lab.name, lab.lab.number);
        for (const Track track : {Track::posix, Track::win32})
            if (const auto source = read_file(repository_ / "solutions" / lab.lab.name /
                                              fmt::format("{}.cpp", course::name_of(track))))
                page.markdown +=
                    fmt::format("\n## {}.cpp\n\n```cpp\n{}```\n", course::name_of(track), *source);
        pages_.push_back(page);
    }
}

std::string Pages::lab_box(const LabPage& lab) const {
    const std::string number = lab.lab.number;
    std::string contract = lab.lab.name.substr(3);
    std::replace(contract.begin(), contract.end(), '-', '_');
    std::string text;
    if (!lab.subtitle.empty())
        text += fmt::format("<p class=\"lead\">{}</p>\n\n", html_escaped(capital(lab.subtitle)));
    text += fmt::format("<ul class=\"facts\"><li><a href=\"{}.hpp\">The contract</a></li><li><a "
                        "href=\"#the-cases\">The cases</a></li>"
                        "<li><a href=\"mistakes-{}.html\">Known mistakes</a></li>",
                        contract, lab.lab.name);
    if (edition_ == Edition::instructor && fs::exists(repository_ / "solutions" / lab.lab.name / "README.md"))
        text += fmt::format("<li><a href=\"solution-{}.html\">The solution</a></li>", lab.lab.name);
    return text + fmt::format("<li><code>./course grade {}</code></li></ul>\n\n", number);
}

std::string Pages::lab_end(std::size_t index) const {
    std::string text = "\n\n## The cases\n\nWhat is judged, and where this handout speaks of it. One alone: "
                       "`./course grade " +
                       labs_[index].lab.number + " --case " + labs_[index].cases.front().name + "`.\n" +
                       case_table(labs_[index].cases);
    text += "\n<p class=\"turn\">";
    if (index > 0)
        text += fmt::format("<a rel=\"prev\" href=\"{}.html\">← {}</a>", labs_[index - 1].page,
                            labs_[index - 1].name);
    if (index + 1 < labs_.size())
        text += fmt::format("<a rel=\"next\" href=\"{}.html\">{} →</a>", labs_[index + 1].page,
                            labs_[index + 1].name);
    return text + "</p>\n";
}

// ---- what is inserted into pages
// ------------------------------------------------------------------------------------

std::string Pages::course_map() const {
    std::string text = "<ol class=\"map\">\n";
    for (const LabPage& lab : labs_) {
        int posix = 0, win32 = 0;
        for (const Case& each : lab.cases) {
            posix += each.posix;
            win32 += each.win32;
        }
        text += fmt::format("<li><a href=\"{}.html\"><span class=\"number\">{}</span> "
                            "<strong>{}</strong><br><span class=\"what\">{}</span></a>"
                            "<br><span class=\"counts\">{} cases on posix, {} on win32</span></li>\n",
                            lab.page, lab.lab.number, html_escaped(lab.name), html_escaped(lab.subtitle),
                            posix, win32);
    }
    return text + "</ol>\n";
}

std::string Pages::course_graph() const {
    std::string dot = "digraph {\n graph [bgcolor=transparent, pad=0.1, nodesep=0.15, ranksep=0.45, rankdir=LR]\n"
                      " node [fontname=\"Helvetica\", fontsize=10, shape=box, style=rounded, height=0.35, "
                      "margin=\"0.15,0.06\"]\n"
                      " edge [arrowsize=0.7]\n";
    std::string words = "Which lab builds on which. ";
    std::map<int, std::set<int>> reaches;  // what a lab needs, directly or not: only the last step is drawn
    for (const LabPage& lab : labs_) {
        const int number = std::stoi(lab.lab.number);
        dot += fmt::format(" n{} [label=\"{} {}\", URL=\"{}.html\"]\n", number, lab.lab.number, lab.name,
                           lab.page);
        for (const int other : lab.builds_on)
            reaches[number].insert(reaches[other].begin(), reaches[other].end());
        for (const int other : lab.builds_on) {
            const auto known = std::find_if(labs_.begin(), labs_.end(), [&](const LabPage& l) {
                return std::stoi(l.lab.number) == other;
            });
            if (known == labs_.end() || reaches[number].count(other))
                continue;
            dot += fmt::format(" n{} -> n{}\n", other, number);
            words += fmt::format("{} speaks of {}. ", lab.name, known->name);
        }
        for (const int other : lab.builds_on)
            reaches[number].insert(other);
    }
    std::string svg = svg_by_graphviz(dot + "}\n");
    svg = replaced(svg, "<svg ", "<svg role=\"group\" aria-label=\"" + html_escaped(trimmed(words)) + "\" ");
    svg = std::regex_replace(svg, std::regex(R"( xlink:(href|title))"), " $1");
    svg = std::regex_replace(svg, std::regex(R"( title="[^"]*")"), "");
    return "<figure class=\"chart graph\" tabindex=\"0\" aria-label=\"Course map\">" +
           replaced(svg, "\n", " ") + "</figure>\n";
}

// The README's table; whose commands the other edition has, are left to it.
std::string Pages::command_table() const {
    std::string text;
    bool there = false;
    for (const std::string& line : lines_of(read_file(repository_ / "README.md").value_or(""))) {
        if (starts_with(line, "## "))
            there = line == "## The commands";
        else if (there && starts_with(line, "|") &&
                 (edition_ == Edition::instructor || !starts_with(line, "| `./course class ")))
            text += line + "\n";
    }
    if (text.empty())
        throw Failure(exit_code::usage, "README.md has no table under '## The commands' that docs/index.md could show");
    // Links would draw those pages up to the main page's own.
    static const std::regex link_in_brackets(R"( \(\[[^\]]*\]\([^)]*\)\))");
    return std::regex_replace(text, link_in_brackets, "");
}

std::string Pages::contract_table() const {
    std::string text = "| lab | the contract | its functions and types |\n|---|---|---|\n";
    for (const LabPage& lab : labs_) {
        std::string files;
        for (const fs::directory_entry& entry : fs::directory_iterator(repository_ / "labs" / lab.lab.name))
            if (entry.path().extension() == ".hpp")
                files += fmt::format("{}[{}](../labs/{}/{})", files.empty() ? "" : "<br>",
                                     entry.path().filename().string(), lab.lab.name,
                                     entry.path().filename().string());
        std::string space = lab.lab.name.substr(3);
        std::replace(space.begin(), space.end(), '-', '_');
        text += fmt::format("| [{}](lab-{}.html) | {} | [{}](course-symbol:{}) |\n", lab.name, lab.lab.name,
                            files, space, space);
    }
    return text;
}

std::string Pages::mistake_table() const {
    std::string text = "| lab | posix | win32 |\n|---|---|---|\n";
    for (const LabPage& lab : labs_)
        text += fmt::format("| [{}](mistakes-{}.html) | {} | {} |\n", lab.name, lab.lab.name,
                            mistakes_on_file(repository_, lab.lab, Track::posix),
                            mistakes_on_file(repository_, lab.lab, Track::win32));
    return text;
}

std::string Pages::benchmark_chart() const {
    if (fs::exists(repository_ / "docs/pictures/benchmark.svg"))
        return "![How long a round trip takes, and how much goes through, by each mechanism on one "
               "machine](pictures/benchmark.svg)\n";
    return "*This copy has no measured chart yet; `./course bench` measures your machine.*\n";
}

void Pages::insert_generated(Page& page) {
    const auto insert = [&](const char* what, const auto& make) {
        // On a line of its own: the maintainers' page speaks of it within a sentence.
        const std::string marker = fmt::format("\n<!-- insert: {} -->\n", what);
        if (page.markdown.find(marker) != std::string::npos)
            page.markdown = replaced(page.markdown, marker, "\n" + make() + "\n");
    };
    insert("course map", [&] { return course_map(); });
    insert("course graph", [&] { return course_graph(); });
    insert("commands", [&] { return command_table(); });
    insert("contracts", [&] { return contract_table(); });
    insert("mistakes", [&] { return mistake_table(); });
    insert("benchmark chart", [&] { return benchmark_chart(); });
    if (const std::size_t unknown = page.markdown.find("\n<!-- insert: "); unknown != std::string::npos)
        throw Failure(
            exit_code::usage,
            fmt::format("{} asks for something that the site cannot insert: {}", page.source,
                        page.markdown.substr(unknown + 1, page.markdown.find('\n', unknown + 1) - unknown - 1)));
}

// ---- how pages hang together
// ----------------------------------------------------------------------------------------

// Each page stands below the one that links to it first; labs and what belongs to them have their fixed
// places.
void Pages::arrange() {
    Page* index = page("index");
    if (!index)
        throw Failure(exit_code::usage, "docs/index.md is missing: the site has no main page");
    std::set<std::string> placed{"index"};
    for (const LabPage& lab : labs_) {
        index->children.push_back(lab.page);
        placed.insert(lab.page);
        const std::string mistakes = "mistakes-" + lab.lab.name, solution = "solution-" + lab.lab.name;
        if (Page* catalogue = page("mistakes")) {
            catalogue->children.push_back(mistakes);
            placed.insert(mistakes);
        }
        if (page(solution)) {
            page(lab.page)->children.push_back(solution);
            placed.insert(solution);
        }
    }
    std::vector<std::string> queue{"index"};
    for (std::size_t next = 0; next < queue.size(); ++next) {
        Page& parent = *page(queue[next]);
        for (const std::string& target : links_in(parent.markdown)) {
            const std::string file =
                (fs::path(parent.source).parent_path() / target.substr(0, target.find('#')))
                    .lexically_normal()
                    .generic_string();
            for (const Page& child : pages_)
                if (child.source == file && !child.source.empty() && placed.insert(child.id).second) {
                    parent.children.push_back(child.id);
                    queue.push_back(child.id);
                }
        }
    }
    for (const Page& each : pages_)
        if (!placed.count(each.id))
            throw Failure(
                exit_code::usage,
                fmt::format("no page links to {}: add a link to docs/index.md or to a page below it",
                            each.source.empty() ? each.id : each.source));
}

std::string Pages::resolve(const Page& from, const std::string& target) {
    if (starts_with(target, "#") || starts_with(target, "https://") || starts_with(target, "mailto:") ||
        starts_with(target, "course-symbol:"))
        return target;
    const std::size_t hash = std::min(target.find('#'), target.size());
    const std::string fragment = target.substr(hash), name = target.substr(0, hash);
    if (ends_with(name, ".html") && page(name.substr(0, name.size() - 5)))
        return target;
    const fs::path folder = from.source.empty() ? fs::path("docs") : fs::path(from.source).parent_path();
    std::string file = (folder / name).lexically_normal().generic_string();
    if (!file.empty() && file.back() == '/')
        file.pop_back();
    for (const Page& each : pages_)
        if (each.source == file || each.source == file + "/README.md")
            return each.id + ".html" + fragment;
    if (file == "README.md")
        return "index.html";
    if (for_instructors_.count(file))
        return {};
    if (!fs::exists(repository_ / file)) {
        // A class gets the course without solutions.
        if (starts_with(file, "solutions/"))
            return {};
        throw Failure(exit_code::usage,
                      fmt::format("{} links to {}, and there is no {}",
                                  from.source.empty() ? from.id : from.source, target, file));
    }
    const std::string extension = fs::path(file).extension().string();
    if (extension == ".svg" || extension == ".png") {
        pictures_.insert(file);
        return fs::path(file).filename().string();
    }
    const std::vector<std::string> documented = headers();
    return std::find(documented.begin(), documented.end(), file) == documented.end() ? ""
                                                                                     : "course-file:" + file;
}

void Pages::write(const fs::path& folder, const fs::path& work) {
    for (Page& each : pages_)
        write_file(folder / (each.id + ".md"),
                   doxygen_page(
                       each,
                       [&](const Page& from, const std::string& target) { return resolve(from, target); },
                       work));
}

std::vector<std::string> Pages::headers() const {
    std::vector<std::string> files;
    const auto add = [&](const std::string& folder) {
        std::vector<std::string> found;
        for (const fs::directory_entry& entry : fs::directory_iterator(repository_ / folder))
            if (entry.path().extension() == ".hpp")
                found.push_back(folder + "/" + entry.path().filename().string());
        std::sort(found.begin(), found.end());
        files.insert(files.end(), found.begin(), found.end());
    };
    for (const LabPage& lab : labs_)
        add("labs/" + lab.lab.name);
    add("common/ipc");
    files.push_back("tests/harness/judge.hpp");
    return files;
}

TreeNode Pages::tree(const std::string& id) const {
    const auto found = std::find_if(pages_.begin(), pages_.end(), [&](const Page& p) { return p.id == id; });
    TreeNode node{found->title, id + ".html", {}};
    for (const std::string& child : found->children)
        node.children.push_back(tree(child));
    return node;
}

// Who searches for a mechanism wants its handout before a mistake or a function that has the word as well.
std::vector<SearchEntry> Pages::search_entries() const {
    std::vector<SearchEntry> entries;
    for (const Page& each : pages_) {
        const double weight = starts_with(each.id, "lab-")                                    ? 1.2
                              : starts_with(each.id, "mistakes-")                             ? 0.7
                              : starts_with(each.id, "solution-") || each.id == "index" ? 0.5
                                                                                              : 0.9;
        for (SearchEntry& entry : entries_of(each, weight))
            entries.push_back(std::move(entry));
        if (each.id == "glossary")
            for (SearchEntry& entry : glossary_entries(each))
                entries.push_back(std::move(entry));
    }
    return entries;
}

std::map<std::string, std::string> Pages::namespaces() const {
    std::map<std::string, std::string> spaces;
    for (const LabPage& lab : labs_) {
        std::string space = lab.lab.name.substr(3);
        std::replace(space.begin(), space.end(), '-', '_');
        spaces[lab.page + ".html"] = spaces["solution-" + lab.lab.name + ".html"] = space;
    }
    return spaces;
}

std::string quoted_list(const std::vector<std::string>& files) {
    std::string text;
    for (const std::string& file : files)
        text += " \\\n    \"" + file + "\"";
    return text;
}

// Doxygen's own words, without the paths of this machine.
std::vector<std::string> warnings_in(const std::string& text, const Repository& repository) {
    std::vector<std::string> warnings;
    for (const std::string& line : lines_of(text))
        if (!trimmed(line).empty())
            warnings.push_back(replaced(line, repository.root.string() + "/", ""));
    return warnings;
}

}  // namespace

std::string_view name_of(Edition edition) {
    return edition == Edition::student ? "student" : "instructor";
}

Site build_site(const Repository& repository, Edition edition) {
    const auto start = std::chrono::steady_clock::now();
    need_tools();
    if (edition == Edition::instructor && !repository.has_solutions())
        throw Failure(
            exit_code::usage,
            "the instructor's edition shows the solutions, and this copy of the course comes without them");

    const fs::path folder = repository / "build/docs" / std::string(name_of(edition));
    std::error_code error;
    fs::remove_all(folder, error);
    if (!error)
        fs::create_directories(folder / "pages", error);
    if (!error)
        fs::create_directories(folder / "work", error);
    if (error)
        throw Failure(
            exit_code::machine,
            fmt::format("cannot make the folder {} anew: {}. Check who owns it, and whether the disk is full",
                        folder.string(), error.message()));

    Pages pages(repository, edition);
    pages.write(folder / "pages", folder / "work");

    const fs::path warnings = folder / "warnings.txt";
    std::vector<std::string> input = pages.headers();
    input.insert(input.begin(), {(folder / "pages").string(), "docs/namespaces.dox"});
    std::vector<std::string> extra{std::string(theme) + "/doxygen-awesome-darkmode-toggle.js",
                                   "docs/theme/course.js", "docs/theme/search.js"};
    for (const std::string& picture : pages.pictures())
        extra.push_back(picture);
    write_file(
        folder / "Doxyfile",
        fmt::format("@INCLUDE = docs/Doxyfile\nINPUT ={}\nOUTPUT_DIRECTORY = \"{}\"\nWARN_LOGFILE = \"{}\"\n"
                    "GENERATE_TAGFILE = \"{}\"\nHTML_EXTRA_FILES ={}\nSTRIP_FROM_PATH = \"{}\" \"{}\"\n{}",
                    quoted_list(input), folder.string(), warnings.string(), (folder / "symbols.tag").string(),
                    quoted_list(extra), (folder / "pages").string(), repository.root.string(),
                    edition == Edition::instructor
                        ? "ENABLED_SECTIONS = INSTRUCTOR\nPROJECT_BRIEF = \"Instructor's edition\"\n"
                        : ""));
    const Outcome outcome =
        run({{"doxygen", (folder / "Doxyfile").string()}, repository.root, std::chrono::minutes(5), {}});

    Site site;
    site.folder = folder / "html";
    site.warnings = warnings_in(read_file(warnings).value_or("") + outcome.errors, repository);
    if (!fs::exists(site.folder / "index.html"))
        throw Failure(exit_code::machine,
                      fmt::format("doxygen made no site in {}; its last words: {}", folder.string(),
                                  site.warnings.empty() ? "none" : site.warnings.back()));
    const std::map<std::string, std::string> targets = targets_of(folder / "symbols.tag", repository.root);
    remove_indexes(site.folder);
    finish_pages(site.folder, targets, pages.namespaces());
    TreeNode tree = pages.tree("index");
    tree.title = "IPC Labs";
    tree.children.push_back(reference_tree(targets));
    write_tree(site.folder, tree);
    write_menu(site.folder, tree);
    std::vector<SearchEntry> entries = pages.search_entries();
    for (SearchEntry& entry : reference_entries(targets))
        entries.push_back(std::move(entry));
    write_search_index(site.folder, entries);
    for (const fs::directory_entry& entry : fs::directory_iterator(site.folder))
        site.pages += entry.path().extension() == ".html";
    site.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return site;
}

}  // namespace course::site
