// lab-06: the verbs. This file is given; the work is in posix.cpp or win32.cpp.

#include "synchronization.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <thread>
#ifdef _WIN32
#include "ipc/text.hpp"
#else
#include <spawn.h>
#include <sys/wait.h>
extern char** environ;
#endif

namespace {

using namespace synchronization;

const char* const usage = R"(usage: lab-06 VERB ...
  count --lock mutex|semaphore|none --workers W --increments N [--step]
                             W processes add 1 to a number in a file, N times each; prints the number
  hold NAME [NAME]           opens a mutex (or two), says 'waiting', takes it, says 'ready';
                             gives one back at each line of input, all at its end
       --permits P           the same with a permit of a semaphore that has P
       --times T             takes it T times
  try NAME [NAME]            takes a mutex (or two) if it can, says so, gives it back
       [--permits P] [--timeout MS]
  limit NAME --slots N [--timeout MS] -- COMMAND
                             runs COMMAND while at most N run under that name
  wait NAME [--auto|--manual] [--count C] [--timeout MS]
                             says 'ready', then 'signalled' as often as it was let through
  signal NAME                signals an event that somebody has open
  reset NAME
  breakfast [NAME] [--rounds R]
                             a vendor and a customer, each a process
  breakfast vendor|customer NAME [--rounds R] [--article [--timeout MS]]
                             one of them; --article as the article has it, which hangs or not as it happens
  --step                     (count, hold, wait, breakfast) goes on at each step only when a line of input comes,
                             or its end
exit codes: limit's are the command's own, 127 command not found, 126 not to be run;
0 done, 124 the time was over, 2 wrong usage, 1 anything else that the system refused)";

constexpr int time_over = 124;  // as timeout(1) says it

// ---- the command line -----------------------------------------------------------------------------------------------

struct Options {
    std::vector<std::string> names;
    std::string lock = "mutex";
    std::optional<unsigned> permits, slots, workers, increments, times, count, rounds;
    std::optional<unsigned> timeout_ms;
    Event::Reset reset = Event::Reset::automatic;
    bool step = false, article = false;
    std::string worker;

    /// From now on: made where the waiting begins.
    ipc::Deadline deadline() const { return ipc::Deadline::in_ms(timeout_ms ? static_cast<long long>(*timeout_ms) : -1); }
};

unsigned number(const std::string& option, const std::string& text, unsigned least, unsigned most) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
        throw ipc::usage_error("lab-06: " + option + " wants a number from " + std::to_string(least) + " to " +
                               std::to_string(most) + ", not '" + text + "'");
    return value;
}

std::string checked_name(const std::string& name) {
    const char* const wrong = name.empty()                                       ? "it is empty"
                              : name.size() > 200                                ? "it is longer than 200 bytes"
                              : name.find_first_of("/\\") != std::string::npos   ? "it has a / or a \\"
                              : name == "." || name == ".."                      ? "it is a directory's"
                                                                                 : nullptr;
    if (wrong)
        throw ipc::usage_error("lab-06: '" + name.substr(0, 40) + (name.size() > 40 ? "...'" : "'") +
                               " is no name for an object: " + wrong + "; take letters and digits");
    return name;
}

Options parse(const std::vector<std::string>& words) {
    Options options;
    std::size_t at = 1;
    auto value = [&] {
        if (at + 1 >= words.size())
            throw ipc::usage_error("lab-06: " + words[at] + " wants a value behind it");
        return words[++at];
    };
    constexpr unsigned million = 1'000'000, day_ms = 86'400'000;
    for (; at < words.size(); ++at) {
        const std::string word = words[at];
        if (word == "--lock")
            options.lock = value();
        else if (word == "--permits")
            options.permits = number(word, value(), 1, million);
        else if (word == "--slots")
            options.slots = number(word, value(), 1, 64);
        else if (word == "--workers")
            options.workers = number(word, value(), 1, 64);
        else if (word == "--increments")
            options.increments = number(word, value(), 1, million);
        else if (word == "--times")
            options.times = number(word, value(), 1, 1000);
        else if (word == "--count")
            options.count = number(word, value(), 1, million);
        else if (word == "--rounds")
            options.rounds = number(word, value(), 1, million);
        else if (word == "--timeout")
            options.timeout_ms = number(word, value(), 0, day_ms);
        else if (word == "--worker")
            options.worker = value();
        else if (word == "--auto")
            options.reset = Event::Reset::automatic;
        else if (word == "--manual")
            options.reset = Event::Reset::manual;
        else if (word == "--step")
            options.step = true;
        else if (word == "--article")
            options.article = true;
        else if (word.starts_with("--"))
            throw ipc::usage_error("lab-06: unknown option " + word + "\n" + usage);
        else
            options.names.push_back(checked_name(word));
    }
    if (options.lock != "mutex" && options.lock != "semaphore" && options.lock != "none")
        throw ipc::usage_error("lab-06: --lock wants mutex, semaphore or none, not '" + options.lock + "'");
    return options;
}

void wants_names(const std::string& verb, const Options& options, std::size_t least, std::size_t most) {
    if (options.names.size() < least)
        throw ipc::usage_error("lab-06: " + verb + " wants a name, as in: lab-06 " + verb + " my_lock");
    if (options.names.size() > most)
        throw ipc::usage_error("lab-06: " + verb + " does not know what to do with '" + options.names[most] + "'");
}

// Byte by byte, since several processes may share this input, each taking a line of it. False at its end.
bool next_line() {
    for (;;) {
        const int byte = std::fgetc(stdin);
        if (byte == EOF || byte == '\n')
            return byte == '\n';
    }
}

// ---- other processes of ours ------------------------------------------------------------------------------------------

#ifdef _WIN32
using Child = ipc::unique_handle;

Child start_self(const std::vector<std::string>& words) {
    wchar_t program[MAX_PATH];
    GetModuleFileNameW(nullptr, program, MAX_PATH);
    std::wstring line = L"lab-06";
    for (const std::string& word : words)  // none of ours has a blank or a quote that would need more care
        line += L" \"" + ipc::to_wide(word) + L"\"";
    STARTUPINFOW startup{};
    startup.cb = sizeof startup;
    PROCESS_INFORMATION started{};
    if (!CreateProcessW(program, line.data(), nullptr, nullptr, TRUE, 0, nullptr, nullptr, &startup, &started))
        ipc::throw_last_error("CreateProcessW", ipc::to_utf8(program));
    CloseHandle(started.hThread);
    return Child(started.hProcess);
}

int wait_for(Child& child) {
    WaitForSingleObject(child.get(), INFINITE);
    DWORD code = 0;
    GetExitCodeProcess(child.get(), &code);
    return static_cast<int>(code);
}

unsigned long own_id() { return GetCurrentProcessId(); }
#else
using Child = pid_t;

Child start_self(const std::vector<std::string>& words) {
    std::vector<char*> arguments{const_cast<char*>("lab-06")};
    for (const std::string& word : words)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_t child = -1;
    if (const int error = ::posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments.data(), environ); error != 0)
        ipc::throw_error(error, "posix_spawn", "/proc/self/exe");
    return child;
}

int wait_for(Child& child) {
    int status = 0;
    while (::waitpid(child, &status, 0) == -1)
        if (errno != EINTR)
            ipc::throw_last_error("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

unsigned long own_id() { return static_cast<unsigned long>(::getpid()); }
#endif

// A name that nobody had before: not even a process with our number, who was killed and left something behind.
std::string fresh_name(const std::string& verb) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    return verb + "-" + std::to_string(own_id()) + "-" + std::to_string(now);
}

// The first that is not 0: our own code is theirs.
int wait_for_all(std::vector<Child>& children) {
    int code = 0;
    for (Child& child : children)
        if (const int one = wait_for(child); code == 0)
            code = one;
    return code;
}

// ---- count --------------------------------------------------------------------------------------------------------------

// The number that they all add to, in a file.
class Number {
public:
    Number(const std::string& path, const char* mode) : path_(path), file_(std::fopen(path.c_str(), mode)) {
        if (!file_)
            ipc::throw_last_error("fopen", path);
        std::setvbuf(file_, nullptr, _IONBF, 0);
    }
    Number(const Number&) = delete;
    ~Number() { std::fclose(file_); }

    unsigned long long load() {
        char digits[21] = {};
        std::rewind(file_);
        if (std::fread(digits, 1, 20, file_) != 20)
            throw std::runtime_error(path_ + " holds no number");
        return std::strtoull(digits, nullptr, 10);
    }
    void store(unsigned long long value) {
        char digits[21];
        std::snprintf(digits, sizeof digits, "%020llu", value);
        std::rewind(file_);
        if (std::fwrite(digits, 1, 20, file_) != 20)
            ipc::throw_last_error("fwrite", path_);
    }

private:
    std::string path_;
    std::FILE* file_;
};

// The critical section: between load and store it lets the others go ahead, so that nobody is right by luck.
void add_one(Number& total, bool step) {
    const unsigned long long value = total.load();
    if (step) {
        ipc::print("loaded " + std::to_string(value) + "\n");
        next_line();
    } else {
        std::this_thread::yield();
    }
    total.store(value + 1);
}

int count_worker(const Options& options, const std::string& name) {
    Number total(options.worker, "r+b");
    std::optional<Mutex> mutex;
    std::optional<Semaphore> semaphore;
    if (options.lock == "mutex")
        mutex.emplace(name);
    if (options.lock == "semaphore")
        semaphore.emplace(name, 1);
    if (options.step)
        ipc::print("started\n");
    for (unsigned i = 0; i < options.increments.value_or(1); ++i) {
        if (mutex)
            mutex->lock();
        if (semaphore)
            semaphore->acquire();
        add_one(total, options.step);
        if (semaphore)
            semaphore->release();
        if (mutex)
            mutex->unlock();
    }
    return 0;
}

int count(const Options& options) {
    wants_names("count", options, 0, 1);
    const std::string name = options.names.empty() ? fresh_name("count") : options.names[0];
    if (!options.worker.empty())
        return count_worker(options, name);
    if (!options.workers || !options.increments)
        throw ipc::usage_error("lab-06: count wants --workers and --increments, as in: "
                               "lab-06 count --lock mutex --workers 4 --increments 100");

    const std::filesystem::path path = std::filesystem::temp_directory_path() / (name + ".number");
    struct Remove {
        const std::filesystem::path& path;
        ~Remove() {
            std::error_code ignored;
            std::filesystem::remove(path, ignored);
        }
    } remove{path};
    unsigned long long sum = 0;
    std::vector<Child> workers;
    int code = 0;
    {
        Number total(path.string(), "w+b");
        total.store(0);
        // Open while the workers come and go, so that they all mean the same object.
        std::optional<Mutex> mutex;
        std::optional<Semaphore> semaphore;
        if (options.lock == "mutex")
            mutex.emplace(name);
        if (options.lock == "semaphore")
            semaphore.emplace(name, 1);
        const std::string increments = std::to_string(*options.increments);
        std::vector<std::string> words = {"count", name, "--lock", options.lock, "--increments", increments, "--worker", path.string()};
        if (options.step)
            words.push_back("--step");
        for (unsigned i = 0; i < *options.workers; ++i)
            workers.push_back(start_self(words));
        code = wait_for_all(workers);
        sum = total.load();
    }
    if (code == 0)
        ipc::print(std::to_string(sum) + "\n");
    return code;
}

// ---- hold and try -------------------------------------------------------------------------------------------------------

// What hold and try take: a mutex, two mutexes, or a permit.
class Holding {
public:
    explicit Holding(const Options& options) {
        if (options.permits)
            semaphore_.emplace(options.names[0], *options.permits);
        else
            first_.emplace(options.names[0]);
        if (options.names.size() > 1)
            second_.emplace(options.names[1]);
    }
    Taken take(ipc::Deadline deadline) {
        if (semaphore_)
            return semaphore_->acquire(deadline) ? Taken::yes : Taken::timed_out;
        return second_ ? lock_both(*first_, *second_, deadline) : first_->lock(deadline);
    }
    void give_back() {
        if (semaphore_)
            return semaphore_->release();
        if (second_)
            second_->unlock();
        first_->unlock();
    }

private:
    std::optional<Semaphore> semaphore_;
    std::optional<Mutex> first_, second_;
};

int say_time_over(const char* what) {
    std::fprintf(stderr, "lab-06: %s\n", what);
    return time_over;
}

int hold(const Options& options) {
    wants_names("hold", options, 1, options.permits ? 1 : 2);
    Holding holding(options);
    ipc::print("waiting\n");
    if (options.step)
        next_line();
    Taken taken = Taken::yes;
    unsigned held = 0;
    for (; held < options.times.value_or(1); ++held)
        if (const Taken one = holding.take(options.deadline()); one == Taken::timed_out)
            break;
        else if (one == Taken::abandoned)
            taken = one;
    const bool all = held == options.times.value_or(1);
    if (all)
        ipc::say_ready(taken == Taken::abandoned ? "abandoned" : "");
    while (all && next_line()) {
        holding.give_back();  // one more than was taken is an error, and said
        if (held > 0)
            --held;
        ipc::print("given back\n");
    }
    for (; held > 0; --held)
        holding.give_back();
    return all ? 0 : say_time_over("somebody else has it still; the time is over");
}

int try_to_take(const Options& options) {
    wants_names("try", options, 1, options.permits ? 1 : 2);
    Holding holding(options);
    const Taken taken = holding.take(options.deadline());
    if (taken == Taken::timed_out)
        return say_time_over("somebody else has it still; the time is over");
    ipc::print(taken == Taken::abandoned ? "taken abandoned\n" : "taken\n");
    holding.give_back();
    return 0;
}

// ---- limit --------------------------------------------------------------------------------------------------------------

int limit(const Options& options, const Command& command) {
    wants_names("limit", options, 1, 1);
    if (!options.slots)
        throw ipc::usage_error("lab-06: limit wants --slots, as in: lab-06 limit compilers --slots 2 -- make");
    if (command.empty())
        throw ipc::usage_error("lab-06: no command given; write it behind --, as in: "
                               "lab-06 limit compilers --slots 2 -- make");
    try {
        return static_cast<int>(synchronization::limit(options.names[0], *options.slots, options.deadline(), command));
    } catch (const timed_out& error) {
        std::fprintf(stderr, "lab-06: %s, the command was not started\n", error.what());
        return time_over;
    } catch (const not_started& error) {
        return ipc::report_start_failure(error);
    }
}

// ---- wait, signal, reset --------------------------------------------------------------------------------------------------

int wait(const Options& options) {
    wants_names("wait", options, 1, 1);
    Event event(options.names[0], options.reset);
    ipc::say_ready();
    for (unsigned i = 0; i < options.count.value_or(1); ++i) {
        if (options.step)
            next_line();
        if (!event.wait(options.deadline()))
            return say_time_over("nobody has signalled it; the time is over");
        ipc::print("signalled\n");
    }
    return 0;
}

int signal_or_reset(const std::string& verb, const Options& options) {
    wants_names(verb, options, 1, 1);
    try {
        Event event(options.names[0]);
        verb == "signal" ? event.signal() : event.reset();
    } catch (const std::system_error& error) {
        if (error.code() != std::errc::no_such_file_or_directory)
            throw;
        const char* const name = options.names[0].c_str();
        std::fprintf(stderr, "lab-06: nobody has an event '%s' open (%s); first: lab-06 wait %s\n", name, error.what(), name);
        return ipc::exit_code::failure;
    }
    return 0;
}

// ---- breakfast ------------------------------------------------------------------------------------------------------------

// The article's vendor and customer, to the letter: one event for everything, set() and clear() to 'notify', then wait().
// If both have notified before either waits, each waits for a signal that has been and gone.
int breakfast_of_the_article(const std::string& name, const char* me, const Options& options) {
    Event event(name, Event::Reset::manual);
    event.signal();
    event.reset();
    ipc::print(std::string(me) + ": has notified, and is going to wait\n");
    if (options.step)
        next_line();
    if (!event.wait(options.deadline()))
        return say_time_over("the other's signal came before this wait, and was cleared away");
    ipc::print(std::string(me) + ": goes on\n");
    event.signal();
    event.reset();
    return 0;
}

int breakfast(const Options& options) {
    wants_names("breakfast", options, 0, 2);
    const std::string name = options.names.empty() ? fresh_name("breakfast") : options.names.back();
    const std::string role = options.names.size() == 2 ? options.names[0] : "";
    const bool one_of_them = role == "vendor" || role == "customer";
    if (one_of_them != (options.names.size() == 2) || name == "vendor" || name == "customer")
        throw ipc::usage_error("lab-06: write: breakfast, or: breakfast vendor NAME, or: breakfast customer NAME");
    const unsigned rounds = options.rounds.value_or(1);
    if (role.empty()) {
        std::vector<Child> two;
        for (const char* one : {"customer", "vendor"}) {
            std::vector<std::string> words = {"breakfast", one, name, "--rounds", std::to_string(rounds)};
            if (options.article)
                words.push_back("--article");
            if (options.timeout_ms)
                words.insert(words.end(), {"--timeout", std::to_string(*options.timeout_ms)});
            two.push_back(start_self(words));
        }
        return wait_for_all(two);
    }
    if (options.article)
        return breakfast_of_the_article(name, role.c_str(), options);
    const Say say = [&](const char* line) {
        ipc::print(std::string(line) + "\n");
        if (options.step)
            next_line();
    };
    (role == "vendor" ? vendor : customer)(name, rounds, say);
    return 0;
}

int run(const ipc::Arguments& arguments) {
    if (arguments.options.empty())
        throw ipc::usage_error(usage);
    const std::string verb = arguments.options[0];
    if (verb == "--help")
        return std::puts(usage) < 0;
    std::setvbuf(stdin, nullptr, _IONBF, 0);
    const Options options = parse(arguments.options);
    if (verb == "limit")
        return limit(options, arguments.command);
    if (arguments.has_command)
        throw ipc::usage_error("lab-06: " + verb + " runs no command; only limit does");
    if (verb == "count")
        return count(options);
    if (verb == "hold")
        return hold(options);
    if (verb == "try")
        return try_to_take(options);
    if (verb == "wait")
        return wait(options);
    if (verb == "signal" || verb == "reset")
        return signal_or_reset(verb, options);
    if (verb == "breakfast")
        return breakfast(options);
    throw ipc::usage_error("lab-06: unknown verb '" + verb + "'\n" + usage);
}

}  // namespace

#ifdef __SANITIZE_THREAD__
// ThreadSanitizer does not know pthread_mutex_clocklock(3) (LLVM issue 62623): unlocking what it took looks like a mistake.
extern "C" const char* __tsan_default_suppressions() { return "mutex:synchronization::Mutex::unlock\n"; }
#endif

int main(int argc, char** argv) { return ipc::run_program(argc, argv, run); }
