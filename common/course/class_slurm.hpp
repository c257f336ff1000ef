#pragma once

/// @file
/// A class that is too large for one machine: Slurm's tasks grade parts of it into one results folder.

#include <set>
#include <string>
#include <vector>

namespace course {

/// Which submissions go together into one task: `pack` of them, more if that would be more than `most_tasks` tasks.
/// @param pack  0: ten
std::vector<std::vector<std::string>> batches_of(const std::set<std::string>& keys, unsigned pack, std::size_t most_tasks);

/// How many tasks an array may have, by `scontrol show config`. Slurm's own default where it does not say.
std::size_t most_array_tasks(const std::string& configuration);

/// The number that `sbatch --parsable` answers: "17", or "17;cluster".
/// @throws Failure (machine) if it is none
std::string job_in(const std::string& answer);

/// A job's tasks that are not over.
struct TaskQueue {
    int waiting = 0, running = 0;
    std::string reason;  ///< why one of them waits, in Slurm's words
};

/// By what `squeue -h -r -o '%T %r'` lists: a state and a reason for each task.
TaskQueue queue_in(const std::string& listing);

/// What sbatch is given: runs task number SLURM_ARRAY_TASK_ID of the plan.
std::string task_script(const std::string& course, const std::string& root, const std::string& plan);

}  // namespace course
