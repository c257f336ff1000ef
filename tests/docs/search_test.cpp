#include "docs_catalogue.hpp"
#include "docs_search.hpp"

#include <doctest/doctest.h>

using namespace course::site;

namespace {

Page handout() {
    Page page;
    page.id = "lab-02-named-pipes";
    page.title = "Named pipes (lab 02)";
    page.markdown = "A FIFO has a name.\n\n## End of file\n\nThe FIFO stays: `read()` says 0.\n\n```\n## no heading\n```\n\n"
                    "## Who may come in\n\nSee [here](#umask).\n";
    page.headings = {{2, "End of file", "end-of-file"}, {2, "Who may come in", "who-may-come-in"}};
    return page;
}

}  // namespace

TEST_CASE("the search knows a page by all its words and a section by its own") {
    const std::vector<SearchEntry> entries = entries_of(handout(), 1);
    REQUIRE(entries.size() == 3);
    CHECK(entries[0].target == "lab-02-named-pipes.html");
    CHECK(entries[0].words.at("fifo") == 2);
    CHECK(entries[1].target == "lab-02-named-pipes.html#end-of-file");
    CHECK(entries[1].scope == "Named pipes (lab 02)");
    CHECK(entries[1].words.at("fifo") == 1);
    CHECK(entries[1].words.count("read") == 1);
    CHECK(entries[1].words.count("heading") == 1);
    CHECK(entries[2].words.count("here") == 1);
    CHECK(entries[2].words.count("umask") == 0);
    CHECK(entries[0].weight > entries[1].weight);
}

TEST_CASE("the search knows the glossary's terms in both languages") {
    Page glossary;
    glossary.id = "glossary";
    glossary.title = "Glossary";
    glossary.markdown = "## Channels\n\n| English | 中文 | is |\n|---|---|---|\n| end of file, EOF | 文件结束 | no more |\n";
    const std::vector<SearchEntry> entries = glossary_entries(glossary);
    REQUIRE(entries.size() == 3);
    CHECK(entries[1].title == "EOF");
    CHECK(entries[2].title == "文件结束");
    CHECK(entries[2].target == "glossary.html#channels");
}

TEST_CASE("the search knows functions by their own name, and files not at all") {
    const std::vector<SearchEntry> entries =
        reference_entries({{"sockets::serve", "namespacesockets.html#a1"}, {"common/ipc/error.hpp", "error_8hpp.html"}});
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].title == "serve");
    CHECK(entries[0].scope == "sockets");
}

TEST_CASE("the cases of an exercise are in one table, in whatever order they come") {
    const std::string table = case_table({{"1.1", "first", "Exercise 1", "a", 5, true, true, false},
                                          {"1.2", "second", "Exercise 2", "b", 5, true, true, false},
                                          {"1.3", "third", "Exercise 1", "a", 5, true, false, false}});
    CHECK(table.find("Exercise 1") == table.rfind("Exercise 1"));
    CHECK(table.find("1.3") < table.find("Exercise 2"));
    CHECK(table.find("*(posix only)*") != std::string::npos);
}
