#include "display_posix.hpp"

#include <cstdlib>
#include <fstream>
#include <poll.h>
#include <sstream>
#include <stdexcept>
#include <unistd.h>

namespace judge {

std::string installed(const std::string& program) {
    const char* const path = std::getenv("PATH");
    std::istringstream folders(path ? path : "/usr/bin:/bin");
    for (std::string folder; std::getline(folders, folder, ':');)
        if (::access((folder + "/" + program).c_str(), X_OK) == 0)
            return folder + "/" + program;
    return {};
}

namespace {

// One entry of an Xauthority file, for every host and display: numbers are big-endian and each text has its length before it.
std::string key_for(const std::string& cookie) {
    std::string entry = "\xff\xff";  // FamilyWild
    for (const std::string& text : {std::string(), std::string(), std::string("MIT-MAGIC-COOKIE-1"), cookie})
        entry += std::string(1, static_cast<char>(text.size() >> 8)) + static_cast<char>(text.size()) + text;
    return entry;
}

// The line that the server writes when it is ready for clients.
std::string first_line(Stream& output, Deadline deadline) {
    std::string line;
    while (line.find('\n') == std::string::npos) {
        pollfd entry{output.get(), POLLIN, 0};
        char buffer[64];
        if (::poll(&entry, 1, deadline.poll_ms()) <= 0)
            throw std::runtime_error("Xvfb did not say its display number in time");
        const std::size_t count = output.read(buffer, sizeof buffer);
        if (count == 0)
            throw std::runtime_error("Xvfb ended at once; run it by hand to see why: Xvfb -displayfd 1");
        line.append(buffer, count);
    }
    return line.substr(0, line.find('\n'));
}

}  // namespace

Display::Display(Stage& stage) : cookie_(stage.random().bytes(16)), key_file_(stage.files() + "/xauthority") {
    const std::string program = installed("Xvfb");
    if (program.empty())
        stage.unavailable("Xvfb is not installed (Debian: xvfb)");
    std::ofstream(key_file_, std::ios::binary) << key_for(cookie_);
    auto [words, end] = make_pipe();
    StartRequest request;
    // Without what a clipboard does not need it starts twice as fast.
    request.command = {program, "-displayfd", "1", "-auth", key_file_, "-screen", "0", "64x64x24", "-nolisten", "tcp", "-noreset",
                       "-maxbigreqsize", "1", "-fp", "built-ins"};
    for (const char* extension : {"GLX", "RANDR", "RENDER", "XINERAMA", "COMPOSITE", "DAMAGE", "MIT-SCREEN-SAVER"})
        request.command.insert(request.command.end(), {"-extension", extension});
    request.output = std::move(end);
    server_ = Process::start(std::move(request));
    name_ = ":" + first_line(words, Deadline::in(std::chrono::duration_cast<milliseconds>(milliseconds(20'000) * stage.time_scale())));
}

Display::~Display() { end(); }

void Display::end() {
    if (!server_)
        return;
    server_->terminate();  // it removes its lock file and socket
    server_->wait(Deadline::in(milliseconds(5000)));
    server_.reset();
}

std::map<std::string, std::optional<std::string>> Display::environment() const {
    return {{"DISPLAY", name_}, {"XAUTHORITY", key_file_}, {"WAYLAND_DISPLAY", std::nullopt}};
}

}  // namespace judge
