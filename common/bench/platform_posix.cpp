// What the benchmark asks of Linux: where a process runs, what it has used, and the server as a child.

#include "program.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace bench {
namespace {

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

Usage usage() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return {seconds(used.ru_utime) + seconds(used.ru_stime), used.ru_nvcsw, used.ru_nivcsw};
}

long peak_memory_kib() {
    // Not ru_maxrss: it begins with what the process was before exec.
    std::ifstream status("/proc/self/status");
    for (std::string key; status >> key; status.ignore(1024, '\n'))
        if (long value = -1; key == "VmHWM:")
            return status >> value, value;
    return -1;
}

void prepare(int cpu) {
    ::prctl(PR_SET_TIMERSLACK, 1);
    // Many clients need many descriptors, on both sides.
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 4096) {
        files.rlim_cur = std::min<rlim_t>(4096, files.rlim_max);
        ::setrlimit(RLIMIT_NOFILE, &files);
    }
    if (cpu < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    ipc::check(::sched_setaffinity(0, sizeof set, &set), "sched_setaffinity",
               "processor " + std::to_string(cpu));
}

std::string own_program() {
    return std::filesystem::read_symlink("/proc/self/exe");
}

struct Server::State {
    pid_t child = -1;
    ipc::unique_file answers;  // its standard output

    int wait() {
        int status = 0;
        while (::waitpid(child, &status, 0) == -1)
            if (errno != EINTR)
                ipc::throw_last_error("waitpid");
        child = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
};

Server::Server(const Setting& setting) : state_(std::make_unique<State>()) {
    int ends[2];
    ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2");
    state_->answers.reset(ends[0]);
    const ipc::unique_file output(ends[1]);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
    std::vector<std::string> words = setting.words(true);
    words.insert(words.begin(), "server");
    std::vector<char*> arguments;
    for (std::string& word : words)
        arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int error =
        ::posix_spawn(&state_->child, "/proc/self/exe", &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        ipc::throw_error(error, "posix_spawn", "the server");
}

Server::~Server() {
    if (state_->child == -1)
        return;
    ::kill(state_->child, SIGKILL);
    state_->wait();
}

std::string Server::wait_until_ready() {
    std::string line;
    for (char byte = 0; byte != '\n'; line += byte) {
        const ssize_t count = ::read(state_->answers.get(), &byte, 1);
        if (count == 0)
            throw ServerFailed{state_->wait()};
        if (count == -1 && errno != EINTR)
            ipc::throw_last_error("read", "the server's answer");
    }
    line.pop_back();
    return line.substr(std::min(line.size(), sizeof "ready"));
}

void Server::wait() {
    if (const int code = state_->wait(); code != 0)
        throw ServerFailed{code};
}

void Server::terminate() {
    ::kill(state_->child, SIGTERM);
    wait();
}

void ready(const std::string& detail) {
    ipc::say_ready(detail);
}

void die_with_client() {
    const pid_t client = ::getppid();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != client)
        ::_exit(1);
}

}  // namespace bench
