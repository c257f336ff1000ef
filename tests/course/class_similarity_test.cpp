#include "class_similarity.hpp"
#include "failure.hpp"
#include <doctest/doctest.h>

using namespace course;

namespace {

const std::vector<ComparedFile> files = {{"ada.cpp", "Ada Lovelace", ""}, {"bob-1234abcd.cpp", "Bob, jr.", ""}, {"eve.cpp", "=1+1", ""}};

}  // namespace

TEST_CASE("Dolos is told each file's student, and what all of them began with") {
    CHECK(dolos_dataset(files, "+starter.cpp") == "filename,full_name,ignored\r\n"
                                                  "ada.cpp,Ada Lovelace,false\r\n"
                                                  "bob-1234abcd.cpp,\"Bob, jr.\",false\r\n"
                                                  "eve.cpp,'=1+1,false\r\n"
                                                  "+starter.cpp,starter,true\r\n");
}

TEST_CASE("Dolos's answer is about students again") {
    const auto pairs = similar_pairs(R"([{"left":"ada.cpp","right":"bob-1234abcd.cpp","similarity":0.9,"overlap":80,"longest":40,"left_lines":[12,80],"right_lines":[15,83]},
                                         {"left":"eve.cpp","right":"ada.cpp","similarity":0.1,"overlap":8,"longest":4,"left_lines":[],"right_lines":[]}])",
                                     files);
    REQUIRE(pairs.size() == 2);
    CHECK(pairs[0].left == "Ada Lovelace");
    CHECK(pairs[0].right == "Bob, jr.");
    CHECK(pairs[0].left_lines == "12-80");
    CHECK(similarity_csv(pairs) == "similarity,longest piece,student,lines,student,lines\r\n"
                                   "0.900,40,Ada Lovelace,12-80,\"Bob, jr.\",15-83\r\n"
                                   "0.100,4,'=1+1,,Ada Lovelace,\r\n");
    CHECK(similar_pairs("[]", files).empty());
}

TEST_CASE("an answer that is none is said") {
    CHECK_THROWS_AS(similar_pairs("", files), Failure);
    CHECK_THROWS_AS(similar_pairs("{}x", files), Failure);
    CHECK_THROWS_AS(similar_pairs(R"([{"left":"nobody.cpp","right":"ada.cpp","similarity":1,"longest":1}])", files), Failure);
}
