#include "docs_search.hpp"

#include "docs_text.hpp"
#include "files.hpp"
#include <cctype>
#include <nlohmann/json.hpp>
#include <regex>

namespace course::site {
namespace {

void count_words(std::string_view text, std::map<std::string, int>& words) {
    std::string word;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        const auto c = i < text.size() ? static_cast<unsigned char>(text[i]) : static_cast<unsigned char>(' ');
        if (std::isalnum(c) || c == '_')
            word += static_cast<char>(std::tolower(c));
        else {
            if (word.size() > 1 && word.size() < 40)
                ++words[word];
            word.clear();
        }
    }
}

// The words of each section, in the order of the page's headings; those in front of the first are at 0.
std::vector<std::map<std::string, int>> words_of_sections(const Page& page) {
    std::vector<std::map<std::string, int>> sections(page.headings.size() + 1);
    static const std::regex link(R"(\]\([^)]*\)|<[^>]*>|\{#[^}]*\})");
    std::size_t section = 0;
    bool fence = false;
    for (const std::string& line : lines_of(page.markdown)) {
        const std::string start = trimmed(line);
        if (starts_with(start, "```"))
            fence = !fence;
        else if (!fence && starts_with(line, "##") && section < page.headings.size())
            ++section;
        if (!starts_with(start, "<!--"))
            count_words(std::regex_replace(line, link, " "), sections[section]);
    }
    return sections;
}

}  // namespace

std::vector<SearchEntry> entries_of(const Page& page, double weight) {
    const std::string file = page.id + ".html";
    std::vector<std::map<std::string, int>> sections = words_of_sections(page);
    SearchEntry whole{page.title, file, "", weight * 1.5, {}};
    for (const std::map<std::string, int>& words : sections)
        for (const auto& [word, times] : words)
            whole.words[word] += times;
    std::vector<SearchEntry> entries{whole};
    for (std::size_t i = 0; i < page.headings.size(); ++i)
        entries.push_back({page.headings[i].text, file + "#" + page.headings[i].anchor, page.title, weight,
                           std::move(sections[i + 1])});
    return entries;
}

std::vector<SearchEntry> glossary_entries(const Page& glossary) {
    std::vector<SearchEntry> entries;
    std::string section;
    static const std::regex row(R"(\| ([^|]+) \| ([^|]+) \| .*)"), comma(", *");
    for (const std::string& line : lines_of(glossary.markdown)) {
        if (starts_with(line, "## "))
            section = slug_of(line.substr(3));
        std::smatch columns;
        if (!std::regex_match(line, columns, row) || columns[1] == "English")
            continue;
        for (const std::string& terms : {columns[1].str(), columns[2].str()})
            for (std::sregex_token_iterator term(terms.begin(), terms.end(), comma, -1), end; term != end;
                 ++term)
                entries.push_back({*term, glossary.id + ".html#" + section, glossary.title, 0.8, {}});
    }
    return entries;
}

std::vector<SearchEntry> reference_entries(const std::map<std::string, std::string>& targets) {
    std::vector<SearchEntry> entries;
    for (const auto& [name, target] : targets) {
        const std::size_t scope = name.rfind("::");
        if (scope == std::string::npos || name.find('/') != std::string::npos)
            continue;
        // Judges' own words are for those who write judges.
        entries.push_back({name.substr(scope + 2), target, name.substr(0, scope),
                           starts_with(name, "judge::") ? 0.4 : 0.8, {}});
    }
    return entries;
}

void write_search_index(const std::filesystem::path& folder, const std::vector<SearchEntry>& entries) {
    nlohmann::json index = nlohmann::json::array();
    for (const SearchEntry& each : entries) {
        std::string text;
        for (const auto& [word, times] : each.words)
            text += (text.empty() ? "" : " ") + word + (times > 1 ? ":" + std::to_string(times) : "");
        index.push_back({each.title, each.target, each.scope, each.weight, text});
    }
    write_file(folder / "search-index.js", "const searchIndex = " + index.dump() + ";\n");
}

}  // namespace course::site
