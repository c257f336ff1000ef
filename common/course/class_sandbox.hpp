#pragma once

/// @file
/// Where a stranger's code is compiled and run: behind walls as strong as this machine has.

#include "process.hpp"
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace course {

/// From weakest to strongest.
enum class Isolation {
    none,        ///< as the grader itself, with limits on time and memory
    user,        ///< as another user: needs root
    namespaces,  ///< in namespaces of its own (bubblewrap): no network, its own /tmp, /dev/shm, queues and process ids
};

std::string name_of(Isolation level);
/// @throws Failure (usage)
Isolation isolation_named(const std::string& name);

/// The strongest level that works here; tried, not guessed.
/// @param why_not_stronger  what was in the way of `namespaces`, in words
Isolation strongest_isolation(std::string& why_not_stronger);

/// What one sandbox holds, and how much it may use.
struct Box {
    Isolation level = Isolation::namespaces;
    unsigned slot = 0;  ///< which of the sandboxes at work: each has a user id of its own where root can give it one
    std::vector<std::pair<std::filesystem::path, std::filesystem::path>> read_only;  ///< {here, there}
    std::vector<std::pair<std::filesystem::path, std::filesystem::path>> writable;
    std::vector<std::filesystem::path> empty;  ///< folders that exist in it, writable and gone afterwards
    std::filesystem::path directory = "/";     ///< where the command starts
    std::chrono::seconds cpu{60}, wall{120};
    unsigned long long file_bytes = 256ull << 20;
    unsigned long long memory_bytes = 0;  ///< of address space; 0: no limit
    unsigned processes = 400;
};

/// `command` within the box. At levels below `namespaces` paths are as they are here, so read_only pairs should name the
/// same path twice.
Command boxed(const Box& box, const std::vector<std::string>& command);

}  // namespace course
