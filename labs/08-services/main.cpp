// lab-08: the verbs, and what the service is good for. This file is given; the work is in posix.cpp or win32.cpp.

#include "services.hpp"

#include "control_channel.hpp"
#include "ipc/program.hpp"
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <mutex>
#include <stdexcept>
#ifdef _WIN32
#include "ipc/text.hpp"
#include <filesystem>
#else
#include <fcntl.h>
#endif

namespace {

#ifdef _WIN32
const char* const usage = R"(usage: lab-08 VERB NAME [OPTION...]
  install NAME [--config FILE] [--log FILE]   make the service NAME known to the service manager, or change it
  start NAME | stop NAME | reload NAME        have the service manager do it; returns when it is done
  status NAME                                 what the service manager knows of it
  remove NAME                                 stop it, and make it unknown
  ask NAME REQUEST...                         send a request to the running service and print its answer
  run NAME [--config FILE] [--log FILE]       be the service: for the service manager, not for you
requests: 'greet WHO', and 'count FILE...' for the bytes in the files
FILE of --config: lines 'greeting = TEXT' and 'load = FILE'. Of --log: gets a line for each event.
exit codes: 0 done, 2 wrong usage, 1 anything that the system refused; said on standard error.
status: 0 it runs, 3 it does not run, 4 it is not installed)";
#else
const char* const usage = R"(usage: lab-08 VERB NAME [OPTION...]
  install NAME [--config FILE] [--log FILE] [--unit-dir DIR]
                                          make the service NAME known to systemd, or change it
  start NAME | stop NAME | reload NAME    have systemd do it; returns when it is done
  status NAME                             what systemd knows of it
  remove NAME [--unit-dir DIR]            stop it, and make it unknown
  ask NAME [--runtime DIR] REQUEST...     send a request to the running service and print its answer
  run NAME [--config FILE] [--log FILE] [--runtime DIR]
                                          be the service: systemd starts it so; or by hand, in the foreground
requests: 'greet WHO', and 'count FILE...' for the bytes in the files
FILE of --config: lines 'greeting = TEXT' and 'load = FILE'. Of --log: gets a line for each event (default: standard error).
--unit-dir: where unit files are, default /etc/systemd/system. --runtime: where the socket is, default /run/NAME
exit codes: 0 done, 2 wrong usage, 1 anything that the system refused; said on standard error.
status: 0 it runs, 3 it does not run, 4 it is not installed)";
#endif

using services::Progress;
using services::Service;

// ---- what the service is good for -------------------------------------------------------------------------------------

// All of a file, or of a FIFO (Windows: a pipe), until its writer is done. That may take long.
std::string read_to_end(const std::string& path) {
    std::array<char, 4096> buffer;
    std::string bytes;
#ifdef _WIN32
    const ipc::unique_file file(CreateFileW(ipc::to_wide(path).c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr, OPEN_EXISTING, 0, nullptr));
    if (!file)
        ipc::throw_last_error("CreateFile", path);
    for (DWORD count = 0; ReadFile(file.get(), buffer.data(), static_cast<DWORD>(buffer.size()), &count, nullptr) && count > 0;)
        bytes.append(buffer.data(), count);
#else
    ipc::unique_file file;
    do
        file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    while (!file && errno == EINTR);
    ipc::check(file.get(), "open", path);
    for (;;) {
        const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
        if (count == -1 && errno == EINTR)
            continue;
        if (ipc::check(count, "read", path) == 0)
            break;
        bytes.append(buffer.data(), static_cast<std::size_t>(count));
    }
#endif
    return bytes;
}

struct Configuration {
    std::string greeting = "Hello";
    std::vector<std::string> loads;
};

Configuration parse(const std::string& file, const std::string& text) {
    Configuration configuration;
    std::size_t number = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        std::string line = text.substr(at, end - at);
        at = end + 1;
        ++number;
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        if (line.empty() || line[0] == '#')
            continue;
        const std::size_t equals = line.find(" = ");
        const std::string key = line.substr(0, equals);
        if (key == "greeting" && equals != std::string::npos)
            configuration.greeting = line.substr(equals + 3);
        else if (key == "load" && equals != std::string::npos)
            configuration.loads.push_back(line.substr(equals + 3));
        else
            throw std::runtime_error(file + ":" + std::to_string(number) + ": '" + line + "' is neither 'greeting = TEXT' nor 'load = FILE'");
    }
    return configuration;
}

std::string step(const char* what, std::size_t done, std::size_t all) {
    return std::string(what) + " " + std::to_string(done) + " of " + std::to_string(all);
}

class Greeter : public services::Application {
public:
    explicit Greeter(const Service& service) : service_(service) {
        if (service.log.empty())
            return;
#ifdef _WIN32
        log_file_.open(std::filesystem::path(ipc::to_wide(service.log)), std::ios::app | std::ios::binary);
#else
        log_file_.open(service.log, std::ios::app);
#endif
        if (!log_file_)
            throw std::runtime_error("lab-08: cannot write the log " + service.log + "; does its directory exist, and is it ours?");
    }

    bool load(const Progress& progress) override {
        Configuration fresh = read();
        for (std::size_t i = 0; i < fresh.loads.size(); ++i) {
            if (!progress(step("loading", i + 1, fresh.loads.size())))
                return false;
            read_to_end(fresh.loads[i]);
        }
        configuration_ = fresh;
        return true;
    }

    void reload() override { configuration_ = read(); }

    std::string answer(const std::string& request, const Progress& progress) override {
        const std::vector<std::string> words = split(request);
        if (words.size() > 1 && words[0] == "greet")
            return configuration_.greeting + ", " + request.substr(6);
        if (words.size() > 1 && words[0] == "count")
            return count(words, progress);
        return "I know 'greet WHO' and 'count FILE...', not this";
    }

    void log(const std::string& event, const std::vector<std::pair<std::string, std::string>>& fields) override {
        std::string line = "time=" + now() + " event=" + event;
        for (const auto& [key, value] : fields)
            line += " " + key + "=" + quoted(value);
        line += "\n";
        const std::lock_guard lock(log_mutex_);  // whoever likes threads may log from each of them
        if (log_file_.is_open())
            log_file_ << line << std::flush;
        else
            std::fputs(line.c_str(), stderr);
    }

    void ready(const std::string& address) override {
        try {
            ipc::say_ready(address);
        } catch (const std::system_error&) {
            // A service need not have a standard output.
        }
    }

private:
    Configuration read() const { return service_.config.empty() ? Configuration() : parse(service_.config, read_to_end(service_.config)); }

    static std::vector<std::string> split(const std::string& text) {
        std::vector<std::string> words(1);
        for (const char c : text) {
            if (c == ' ')
                words.emplace_back();
            else
                words.back() += c;
        }
        return words;
    }

    static std::string count(const std::vector<std::string>& words, const Progress& progress) {
        std::size_t bytes = 0;
        for (std::size_t i = 1; i < words.size(); ++i) {
            try {
                bytes += read_to_end(words[i]).size();
            } catch (const std::system_error& error) {
                return error.what();
            }
            progress(step("read", i, words.size() - 1));
        }
        return std::to_string(bytes) + " bytes";
    }

    static std::string now() {
        using namespace std::chrono;
        const auto moment = system_clock::now();
        const std::time_t seconds = system_clock::to_time_t(moment);
        char text[40];
        const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", std::gmtime(&seconds));
        std::snprintf(text + size, sizeof text - size, ".%03dZ", static_cast<int>(duration_cast<milliseconds>(moment.time_since_epoch()).count() % 1000));
        return text;
    }

    // Whoever asks must not be able to write lines of his own into the log.
    static std::string quoted(const std::string& value) {
        std::string text = "\"";
        for (const char c : value) {
            char escape[5];
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
                std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(c));
                text += escape;
            } else {
                text += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
            }
        }
        return text + "\"";
    }

    const Service& service_;
    Configuration configuration_;
    std::ofstream log_file_;
    std::mutex log_mutex_;
};

// ---- the verbs ----------------------------------------------------------------------------------------------------------

struct CommandLine {
    std::string verb;
    Service service;
    std::string request;
};

bool knows_option(const std::string& verb, const std::string& option) {
    if (option == "--config" || option == "--log")
        return verb == "run" || verb == "install";
#ifndef _WIN32
    if (option == "--unit-dir")
        return verb == "install" || verb == "remove";
    if (option == "--runtime")
        return verb == "run" || verb == "ask";
#endif
    return false;
}

CommandLine parse(const ipc::Arguments& arguments) {
    CommandLine line;
    if (!arguments.options.empty())
        line.verb = arguments.options[0];
    bool named = false;
    for (std::size_t i = 1; i < arguments.options.size(); ++i) {
        const std::string& word = arguments.options[i];
        if (word.starts_with("--")) {
            if (!knows_option(line.verb, word))
                throw ipc::usage_error("lab-08: " + line.verb + " has no option '" + word + "'\n" + usage);
            if (i + 1 == arguments.options.size() || arguments.options[i + 1].empty())
                throw ipc::usage_error("lab-08: " + word + " needs a path behind it");
            Service& service = line.service;
            (word == "--config" ? service.config : word == "--log" ? service.log : word == "--unit-dir" ? service.unit_dir : service.runtime) = arguments.options[++i];
        } else if (!named) {
            line.service.name = word;
            named = true;
        } else if (line.verb == "ask") {
            line.request += (line.request.empty() ? "" : " ") + word;
        } else {
            throw ipc::usage_error("lab-08: '" + word + "' is one word too many\n" + usage);
        }
    }
    if (!named || arguments.has_command || (line.verb == "ask" && line.request.empty()))
        throw ipc::usage_error(usage);
    if (line.request.find('\n') != std::string::npos || line.request.size() > control_channel::longest)
        throw ipc::usage_error("lab-08: a request is one line of at most " + std::to_string(control_channel::longest) + " bytes");
    if (line.service.unit_dir.empty())
        line.service.unit_dir = "/etc/systemd/system";
    if (line.service.runtime.empty())
        line.service.runtime = "/run/" + line.service.name;
    return line;
}

const char* word_for(services::State state) {
    switch (state) {
    case services::State::not_installed: return "not installed";
    case services::State::stopped: return "stopped";
    case services::State::starting: return "starting";
    case services::State::running: return "running";
    case services::State::reloading: return "reloading";
    case services::State::stopping: return "stopping";
    case services::State::failed: return "failed";
    }
    return "?";
}

int status(const std::string& name) {
    const services::Status status = services::status(name);
    std::string line = name + ": " + word_for(status.state);
    if (status.pid != 0)
        line += " (pid " + std::to_string(status.pid) + ")";
    if (!status.text.empty())
        line += ": " + status.text;
    ipc::print(line + "\n");
    switch (status.state) {
    case services::State::running:
    case services::State::reloading: return 0;
    case services::State::not_installed: return 4;
    default: return 3;
    }
}

void ask(const CommandLine& line) {
#ifdef _WIN32
    const std::string address = control_channel::address(line.service.name);
#else
    const std::string address = control_channel::address(line.service.runtime);
#endif
    ipc::print(control_channel::ask(address, line.request) + "\n");
}

int run(const ipc::Arguments& arguments) {
    if (arguments.options.size() == 1 && arguments.options[0] == "--help")
        return std::puts(usage) < 0;
    const CommandLine line = parse(arguments);
    const Service& service = line.service;
    if (line.verb == "run") {
        Greeter greeter(service);
        services::run(service, greeter);
    } else if (line.verb == "install") {
        services::install(service);
    } else if (line.verb == "remove") {
        services::remove(service);
    } else if (line.verb == "start") {
        services::start(service.name);
    } else if (line.verb == "stop") {
        services::stop(service.name);
    } else if (line.verb == "reload") {
        services::reload(service.name);
    } else if (line.verb == "status") {
        return status(service.name);
    } else if (line.verb == "ask") {
        ask(line);
    } else {
        throw ipc::usage_error("lab-08: unknown verb '" + line.verb + "'\n" + usage);
    }
    return ipc::exit_code::success;
}

}  // namespace

int main(int argc, char** argv) { return ipc::run_program(argc, argv, run); }
