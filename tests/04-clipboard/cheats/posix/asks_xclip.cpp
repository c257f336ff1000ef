// Lets xclip do everything, as a child.

#include "clipboard.hpp"

#include "ipc/program.hpp"
#include <cstdio>
#include <csignal>
#include <set>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace clipboard {
namespace {

std::string tool = "exec xclip -selection clipboard ";

std::string output_of(const std::string& command) {
    std::string output;
    FILE* const pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
    for (int c; (c = std::fgetc(pipe)) != EOF;)
        output += static_cast<char>(c);
    if (::pclose(pipe) != 0)
        throw std::runtime_error("xclip cannot: " + output_of(tool + "-t TARGETS -o || :"));
    return output;
}

std::string target(const std::string& type) { return type == "text/plain" ? "UTF8_STRING" : type; }

}  // namespace

std::vector<std::string> types(std::chrono::milliseconds) {
    std::vector<std::string> names;
    std::set<std::string> seen = {"TARGETS", "MULTIPLE", "TIMESTAMP", "SAVE_TARGETS"};
    std::string line;
    for (const char c : output_of(tool + "-t TARGETS -o || :")) {
        if (c != '\n') {
            line += c;
            continue;
        }
        if (line == "STRING" || line == "UTF8_STRING" || line == "TEXT" || line == "text/plain;charset=utf-8")
            line = "text/plain";
        if (seen.insert(line).second)
            names.push_back(line);
        line.clear();
    }
    return names;
}

std::string paste(const std::string& type, std::chrono::milliseconds) { return output_of(tool + "-o -t " + target(type)); }

void copy(const std::vector<Offer>& offers, std::chrono::milliseconds) {
    FILE* const pipe = ::popen((tool + "-quiet -i -t " + target(offers[0].type) + " >/dev/null 2>&1").c_str(), "w");
    const std::string data = offers[0].render();
    std::fwrite(data.data(), 1, data.size(), pipe);
    std::fflush(pipe);
    ::close(::fileno(pipe));
    for (bool there = false; !there;)
        try {
            there = !output_of(tool + "-o -t TARGETS").empty();
        } catch (const std::exception&) {
        }
    ipc::say_ready();
    ::wait(nullptr);
}

void watch(const std::function<bool(Change)>& changed) {
    std::string before = output_of(tool + "-o -t TIMESTAMP || :");
    ipc::say_ready();
    for (bool more = true; more;) {
        const std::string now = output_of(tool + "-o -t TIMESTAMP || :");
        if (now != before)
            more = changed(now.empty() ? Change::emptied : Change::copied);
        before = now;
        ::usleep(100'000);
    }
}

}  // namespace clipboard
