#pragma once

/// @file
/// Reading /proc: see proc(5). Every function answers emptily for a process that is gone.

#include <chrono>
#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

namespace judge::proc {

struct Descriptor {
    int number = -1;
    std::string target;  ///< what the link says: `pipe:[81]`, a path, `socket:[82]`, …
    bool readable = false, writable = false;
    std::uint64_t device = 0, inode = 0;
    bool fifo = false, socket = false;
};

/// The blocked system call of a thread, as /proc/PID/task/TID/syscall tells it.
struct Call {
    long number = -1;  ///< -1: not blocked in a call
    bool running = false;
    std::uint64_t arguments[6] = {};
};

std::vector<pid_t> all_processes();
std::vector<pid_t> children(pid_t pid);
std::vector<pid_t> descendants(pid_t pid);
std::vector<pid_t> threads(pid_t pid);
/// R, S, D, T, Z…; 0 when there is no such process.
char state(pid_t pid);
char state(pid_t pid, pid_t thread);
std::string program(pid_t pid);
/// The file name of its program; of a zombie, the name in its status.
std::string name(pid_t pid);
std::chrono::microseconds cpu_time(pid_t pid);
std::uint64_t voluntary_switches(pid_t pid, pid_t thread);
Call call(pid_t pid, pid_t thread);
std::vector<Descriptor> descriptors(pid_t pid);
/// `size` bytes of its memory; fewer or none where it may not be read.
std::string memory(pid_t pid, std::uint64_t address, std::size_t size);
/// A text that ends with NUL.
std::string text(pid_t pid, std::uint64_t address);
/// The threads of a process that run its program: not the one that ThreadSanitizer keeps for itself, which looks around
/// ten times a second.
std::vector<pid_t> threads_of_the_program(pid_t pid);

/// The file that is mapped shared at `address`, or empty for private memory.
std::string shared_mapping(pid_t pid, std::uint64_t address);

/// Where a socket is bound, "unix:PATH" ("unix:@NAME" if abstract) or "tcp port N", "udp port N"; empty if nowhere.
std::string socket_address(pid_t pid, std::uint64_t inode);

/// Processes that have a Process object of their own.
void remember_subject(pid_t pid);
void forget_subject(pid_t pid);
bool is_subject(pid_t pid);

}  // namespace judge::proc
