// lab-05: the verbs. This file is given; the work is in posix.cpp or win32.cpp.

#include "shared_memory.hpp"

#include "ipc/error.hpp"
#include "ipc/program.hpp"
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <vector>
#ifdef _WIN32
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#else
#include <csignal>
#include <unistd.h>
#endif

namespace {

const char* const usage = R"(usage: lab-05 VERB NAME
  put NAME                store standard input under NAME (Windows: and keep it until it is removed)
  get NAME                print what is stored under NAME
  remove NAME             remove NAME
  send NAME               standard input into the ring NAME
  receive NAME            the ring NAME to standard output
  loop [--capacity BYTES] standard input through a ring between two threads to standard output
A NAME is 1 to 200 bytes without / and \, and does not begin with a dot. put and send say 'ready' on standard output when
others can find them, receive on standard error.
exit codes: 0 done; 1 the system refused something; 2 wrong usage; 3 the other side died or gave up before the stream was
complete; 4 what lies under NAME is not what was asked for, or can not be right)";

constexpr int other_side_died = 3, segment_refused = 4;

std::size_t read_input(char* to, std::size_t size) {
#ifdef _WIN32
    DWORD count = 0;
    if (!ReadFile(GetStdHandle(STD_INPUT_HANDLE), to, static_cast<DWORD>(size), &count, nullptr) && GetLastError() != ERROR_BROKEN_PIPE)
        ipc::throw_last_error("ReadFile", "standard input");
    return count;
#else
    for (;;) {
        const ssize_t count = ::read(STDIN_FILENO, to, size);
        if (count >= 0)
            return static_cast<std::size_t>(count);
        if (errno != EINTR)
            ipc::throw_last_error("read", "standard input");
    }
#endif
}

void write_output(const char* from, std::size_t size) { ipc::print({from, size}); }

std::string all_input() {
    std::string all;
    std::vector<char> buffer(256 * 1024);
    while (const std::size_t count = read_input(buffer.data(), buffer.size()))
        all.append(buffer.data(), count);
    return all;
}

const std::string& checked(const std::string& name) {
    if (name.empty() || name.size() > 200 || name[0] == '.' || name.find_first_of(std::string("/\\\0", 3)) != std::string::npos)
        throw ipc::usage_error("lab-05: '" + name.substr(0, 40) + (name.size() > 40 ? "…" : "") +
                               "' is no NAME: 1 to 200 bytes without / and \\, not beginning with a dot");
    return name;
}

std::uint64_t capacity_from(const std::string& text) {
    char* end = nullptr;
    errno = 0;
    const unsigned long long number = std::strtoull(text.c_str(), &end, 10);
    if (text.empty() || text[0] < '0' || text[0] > '9' || *end || errno || number < 1 || number > shared_memory::largest_capacity)
        throw ipc::usage_error("lab-05: a ring's capacity is 1 to " + std::to_string(shared_memory::largest_capacity) +
                               " bytes, not '" + text + "'");
    return number;
}

int run(const ipc::Arguments& arguments) {
    const std::vector<std::string>& words = arguments.options;
    if (words.size() == 1 && words[0] == "--help")
        return std::puts(usage) < 0;
    if (words.empty() || arguments.has_command)
        throw ipc::usage_error(usage);
    const std::string& verb = words[0];
    if (verb == "loop") {
        if (words.size() != 1 && !(words.size() == 3 && words[1] == "--capacity"))
            throw ipc::usage_error(usage);
        shared_memory::loop(words.size() == 3 ? capacity_from(words[2]) : shared_memory::default_capacity, read_input, write_output);
        return ipc::exit_code::success;
    }
    const char* const verbs[] = {"put", "get", "remove", "send", "receive"};
    if (std::find(std::begin(verbs), std::end(verbs), verb) == std::end(verbs))
        throw ipc::usage_error("lab-05: unknown verb '" + verb + "'\n" + usage);
    if (words.size() != 2)
        throw ipc::usage_error("lab-05: " + verb + " takes one NAME\n" + usage);
    const std::string& name = checked(words[1]);
    if (verb == "put")
        shared_memory::put(name, all_input(), [] { ipc::say_ready(); });
    else if (verb == "get")
        ipc::print(shared_memory::get(name));
    else if (verb == "remove")
        shared_memory::remove(name);
    else if (verb == "send")
        shared_memory::send(name, read_input, [] { ipc::say_ready(); });
    else
        shared_memory::receive(name, write_output, [] { ipc::print_signal_safe("ready\n"); });
    return ipc::exit_code::success;
}

int run_with_own_codes(const ipc::Arguments& arguments) {
#ifndef _WIN32
    ::signal(SIGPIPE, SIG_IGN);  // nobody reads our output any more: an error like others, so that we leave in order
#endif
    try {
        return run(arguments);
    } catch (const shared_memory::peer_died& error) {
        std::fprintf(stderr, "lab-05: %s\n", error.what());
        return other_side_died;
    } catch (const shared_memory::refused_segment& error) {
        std::fprintf(stderr, "lab-05: %s\n", error.what());
        return segment_refused;
#ifndef _WIN32
    } catch (const std::system_error& error) {
        if (error.code().value() != EFAULT)
            throw;
        // read() or write() met the memory of a segment that has been cut short; our own code would have met SIGBUS.
        std::fprintf(stderr, "lab-05: %s: the segment was cut short by somebody else while it was in use\n", error.what());
        return segment_refused;
#endif
    }
}

}  // namespace

// IPC_LAB_PAUSE stops this process the first time that it gets here: by SIGSTOP, so that `kill -CONT` lets it go on; on
// Windows it sets the event NAME.reached and waits for the event NAME.go, NAME being the variable's value.
void shared_memory::before_sleep() {
    static std::atomic<bool> done = false;
    const char* const wanted = std::getenv("IPC_LAB_PAUSE");
    if (!wanted || done.exchange(true))
        return;
#ifdef _WIN32
    const std::string name = std::string("Local\\") + wanted;
    const ipc::unique_handle reached(CreateEventW(nullptr, TRUE, FALSE, ipc::to_wide(name + ".reached").c_str()));
    const ipc::unique_handle go(CreateEventW(nullptr, TRUE, FALSE, ipc::to_wide(name + ".go").c_str()));
    SetEvent(reached.get());
    WaitForSingleObject(go.get(), INFINITE);
#else
    ::raise(SIGSTOP);
#endif
}

int main(int argc, char** argv) { return ipc::run_program(argc, argv, run_with_own_codes); }
