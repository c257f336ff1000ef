#include "class_slurm.hpp"
#include "failure.hpp"
#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace course;

namespace {

std::set<std::string> students(int count) {
    std::set<std::string> keys;
    for (int i = 0; i < count; ++i)
        keys.insert(fmt::format("student{:04}", i));
    return keys;
}

}  // namespace

TEST_CASE("each submission is in one task, and there are not more tasks than Slurm takes") {
    for (const int count : {1, 9, 10, 11, 200, 2500})
        for (const unsigned pack : {0u, 1u, 7u}) {
            const auto batches = batches_of(students(count), pack, 100);
            CHECK(batches.size() <= 100);
            std::set<std::string> all;
            std::size_t sum = 0;
            for (const auto& batch : batches) {
                CHECK_FALSE(batch.empty());
                sum += batch.size();
                all.insert(batch.begin(), batch.end());
            }
            CHECK(sum == all.size());
            CHECK(all == students(count));
        }
    CHECK(batches_of(students(20), 0, 1001).size() == 2);
    CHECK(batches_of(students(20), 1, 1001).size() == 20);
    CHECK(batches_of({}, 0, 1001).empty());
}

TEST_CASE("what Slurm's commands answer is understood") {
    CHECK(most_array_tasks("Configuration data as of …\nMailProg = /bin/mail\nMaxArraySize            = 501\nMaxDBDMsgs = 20012\n") == 501);
    CHECK(most_array_tasks("nothing of the kind") == 1001);
    CHECK(job_in("17\n") == "17");
    CHECK(job_in("17;teaching\n") == "17");
    CHECK_THROWS_AS(job_in("sbatch: error: no\n"), Failure);
    CHECK_THROWS_AS(job_in(""), Failure);
    const TaskQueue queue = queue_in("RUNNING None\nPENDING launch failed requeued held\nCOMPLETING None\n");
    CHECK(queue.running == 2);
    CHECK(queue.waiting == 1);
    CHECK(queue.reason == "launch failed requeued held");
    CHECK(queue_in("").waiting + queue_in("").running == 0);
}

TEST_CASE("a task is started with the names of files as they are") {
    const std::string script = task_script("/srv/a course/build/linux/bin/course", "/srv/a course", "/home/it's/plan.json");
    CHECK(script.starts_with("#!/bin/sh\n"));
    CHECK(script.find("export 'COURSE_ROOT=/srv/a course'\n") != std::string::npos);
    CHECK(script.find("exec '/srv/a course/build/linux/bin/course' class task '/home/it'\\''s/plan.json' \"$SLURM_ARRAY_TASK_ID\"\n") != std::string::npos);
}
