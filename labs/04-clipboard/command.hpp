#pragma once

/// @file
/// Runs a command and collects what it prints, for `copy -- COMMAND`. Given: lab 01 is about this.

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>
#ifdef _WIN32
#include "ipc/text.hpp"
#include <windows.h>
#else
#include <cerrno>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
extern char** environ;
#endif

namespace command {

#ifdef _WIN32

// For CommandLineToArgvW: backslashes count double before a quotation mark.
inline std::string quoted(const std::string& word) {
    if (!word.empty() && word.find_first_of(" \t\"") == std::string::npos)
        return word;  // cmd.exe wants its /c bare
    std::string text = "\"";
    std::size_t backslashes = 0;
    for (const char c : word) {
        if (c == '"')
            text.append(backslashes + 1, '\\');
        backslashes = c == '\\' ? backslashes + 1 : 0;
        text += c;
    }
    return text.append(backslashes, '\\') + "\"";
}

inline std::string output_of(const std::vector<std::string>& words, unsigned long& code) {
    HANDLE read_end = nullptr, write_end = nullptr;
    if (!::CreatePipe(&read_end, &write_end, nullptr, 0))
        ipc::throw_last_error("CreatePipe");
    const ipc::unique_handle ours(read_end);
    ipc::unique_handle theirs(write_end);
    ::SetHandleInformation(write_end, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    std::string line;
    for (const std::string& word : words)
        line += (line.empty() ? "" : " ") + quoted(word);
    STARTUPINFOW info{};
    info.cb = sizeof info;
    info.dwFlags = STARTF_USESTDHANDLES;
    info.hStdOutput = write_end;
    info.hStdError = ::GetStdHandle(STD_ERROR_HANDLE);
    PROCESS_INFORMATION started{};
    std::wstring wide = ipc::to_wide(line);
    if (!::CreateProcessW(nullptr, wide.data(), nullptr, nullptr, TRUE, 0, nullptr, nullptr, &info, &started))
        ipc::throw_last_error("CreateProcessW", words[0]);
    const ipc::unique_handle child(started.hProcess), thread(started.hThread);
    theirs.reset();
    std::string output;
    char buffer[4096];
    for (DWORD count = 0; ::ReadFile(ours.get(), buffer, sizeof buffer, &count, nullptr);)
        output.append(buffer, count);
    ::WaitForSingleObject(child.get(), INFINITE);
    DWORD ended = 0;
    ::GetExitCodeProcess(child.get(), &ended);
    code = ended;
    return output;
}

#else

inline std::string output_of(const std::vector<std::string>& words, unsigned long& code) {
    int ends[2];
    ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2");
    const ipc::unique_file ours(ends[0]);
    ipc::unique_file theirs(ends[1]);
    std::vector<char*> arguments;
    for (const std::string& word : words)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    pid_t child = -1;
    const int error = ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        ipc::throw_error(error, "posix_spawnp", words[0]);
    theirs.reset();
    std::string output;
    char buffer[4096];
    for (ssize_t count; (count = ::read(ours.get(), buffer, sizeof buffer)) != 0;)
        if (count > 0)
            output.append(buffer, static_cast<std::size_t>(count));
        else if (errno != EINTR)
            ipc::throw_last_error("read", words[0]);
    int status = 0;
    while (::waitpid(child, &status, 0) == -1 && errno == EINTR) {
    }
    code = static_cast<unsigned long>(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return output;
}

#endif

/// What the command printed.
/// @throws std::runtime_error it cannot be started, or failed
inline std::string output_of(const std::vector<std::string>& words) {
    unsigned long code = 0;
    std::string output = output_of(words, code);
    if (code != 0)
        throw std::runtime_error("'" + words[0] + "' failed with exit code " + std::to_string(code) + "; its output is not used");
    return output;
}

}  // namespace command
