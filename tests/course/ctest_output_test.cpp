#include "ctest_output.hpp"
#include <doctest/doctest.h>

using course::looks_in;

TEST_CASE("a test that passes when it is run once more has passed, and what it said at first is kept") {
    const auto looks = looks_in("Test project /build\n"
                                "    Start 12: handout-01\n"
                                "1/2 Test #12: handout-01 .......................   Passed    9.77 sec\n"
                                "    Start 13: handout-02\n"
                                "2/2 Test #13: handout-02 .......................***Failed   12.04 sec\n"
                                "README.md:229: it printed something else\n"
                                "\n"
                                "    Start 13: handout-02\n"
                                "    Test #13: handout-02 .......................   Passed    7.01 sec\n"
                                "\n"
                                "100% tests passed, 0 tests failed out of 2\n");
    REQUIRE(looks.of.size() == 2);
    CHECK(looks.of.at("handout-01").size() == 1);
    const auto& second = looks.of.at("handout-02");
    REQUIRE(second.size() == 2);
    CHECK(second[0].result == "***Failed");
    CHECK(second[0].words == "README.md:229: it printed something else\n\n");
    CHECK(second[1].result == "Passed");
    CHECK(second[1].seconds == "7.01");
}

TEST_CASE("a test that fails each time has failed") {
    const auto looks = looks_in("1/1 Test #13: handout-02 .......................***Failed   12.04 sec\nno\n"
                                "    Start 13: handout-02\n"
                                "    Test #13: handout-02 .......................***Failed   12.05 sec\nno again\n"
                                "0% tests passed, 1 tests failed out of 1\n");
    CHECK(looks.of.at("handout-02").back().result == "***Failed");
    CHECK(looks.of.at("handout-02").back().words == "no again\n");
}

TEST_CASE("skipped, crashed and timed out tests keep ctest's word for it") {
    const auto looks = looks_in("1/3 Test  #1: a ...***Skipped   0.04 sec\n2/3 Test  #2: b ...***Exception: SegFault  0.12 sec\n3/3 Test #30: c ...***Timeout  60.02 sec\n");
    CHECK(looks.of.at("a").back().result == "***Skipped");
    CHECK(looks.of.at("b").back().result == "***Exception: SegFault");
    CHECK(looks.of.at("c").back().result == "***Timeout");
}

TEST_CASE("where ctest ran nothing, there is what it said instead") {
    CHECK(looks_in("No tests were found!!!\n").of.empty());
    CHECK(looks_in("No tests were found!!!\n").others == "No tests were found!!!\n");
}
